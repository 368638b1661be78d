"""What an engine answers: of chunks, questions, watches, and of itself. Nothing but values."""

from dataclasses import dataclass, field
from enum import Enum

from stillwing_common.vectors import Vectors
from stillwing_vlm.core.chat_format import ChatFormat
from stillwing_vlm.core.conversation import ToolCall
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.planner import BudgetPlan
from stillwing_vlm.core.requests import DEFAULT_EVICTION, Eviction, FrameLayout


@dataclass(frozen=True, slots=True)
class TokenSaving:
    """What the gate made of one chunk.

    `dropped_tokens` of its vision tokens were left out, `dropped_share` of all; `changed_share` of its patches differ
    from what the model was last shown at their places: 0 where everything stands still, 1 for a picture all new.
    """

    dropped_tokens: int
    dropped_share: float
    changed_share: float


@dataclass(frozen=True, slots=True)
class AppendResult:
    """One chunk is in the trunk. `elapsed_s` runs from the request to that moment.

    `saving`: None where the session's gate is off. `shown_px`: rows and columns of its frames as the model is shown
    them, to convert places in them with (`Pointing`).
    """

    frame_ids: tuple[str, ...]
    chunk_tokens: int
    context_tokens: int
    elapsed_s: float
    saving: TokenSaving | None = None
    shown_px: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class FrameKeys:
    """Keys of a frame before rotation, averaged over its vision tokens in the trunk; layers as in `pooled_layers`.

    Frames encoded as one grid share theirs.
    """

    frame_id: str
    keys: Vectors


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Queries of a text before rotation, averaged over its `tokens`, read behind the opening text and nothing else.

    So they do not change while the session lives. The mean over heads of query · key / sqrt(dimensions) with a frame's
    keys is the mean attention, before any softmax, that the text's tokens pay the frame's.
    """

    text: str
    query: Vectors
    tokens: int


@dataclass(frozen=True, slots=True)
class Pooled:
    """Texts in the order asked, and those of the frames asked for that are in the trunk, in the order asked."""

    texts: tuple[TextQuery, ...]
    frames: tuple[FrameKeys, ...]


@dataclass(frozen=True, slots=True)
class Evicted:
    """Frames the model can no longer see, oldest first; `oldest_frame_id`: oldest visible outside the sink.

    `frame_keys`: of these frames, in their order; none without `pooled_layers`, nor of frames from an export.
    """

    frame_ids: tuple[str, ...]
    oldest_frame_id: str
    context_tokens: int
    frame_keys: tuple[FrameKeys, ...] = ()


@dataclass(frozen=True, slots=True)
class RecallResult:
    """The frames now in the memory segment."""

    frame_ids: tuple[str, ...]
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """What an answer could see. `oldest_frame_id` leaves the sink out; empty strings mean "no such frame"."""

    last_frame_id: str
    oldest_frame_id: str
    context_tokens: int
    evicted_frames: int
    recalled_frame_ids: tuple[str, ...] = ()


class DoneReason(Enum):
    """Why an answer ended."""

    STOP = "stop"
    LENGTH = "length"
    CANCELLED = "cancelled"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True)
class AnswerDelta:
    """Text to append to what came before."""

    text: str


@dataclass(frozen=True, slots=True)
class AnswerDone:
    """The whole answer and what it could see; times run from the moment the ask was placed."""

    text: str
    reason: DoneReason
    provenance: Provenance
    time_to_first_token_s: float
    elapsed_s: float
    answer_tokens: int
    thought: str = ""
    """What an `answer_format` let the model say before its JSON or its call."""
    json: str = ""
    """The JSON of a `JsonFormat`, where it is whole."""
    tool_call: ToolCall | None = None
    """The call of a `ToolCallFormat`, where it is whole."""
    question_tokens: int = 0
    """What the question took, the words that its template puts around it included."""


@dataclass(frozen=True, slots=True)
class ChoiceResult:
    """`probabilities` in the order of the options, summing to 1; `best_index` is the place of the largest."""

    probabilities: tuple[float, ...]
    best_index: int
    provenance: Provenance
    elapsed_s: float


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """A watch condition has another state than before, or its first; `frame_id`: the newest frame it saw."""

    is_true: bool
    probability: float
    frame_id: str
    provenance: Provenance


SNAPSHOT_ID_PREFIX = "snp_"
"""What every snapshot's id begins with and no snapshot's name does."""


@dataclass(frozen=True, slots=True)
class SnapshotInfo:
    """A named state of the trunk. `size_bytes` is what the engine holds for it alone."""

    snapshot_id: str
    size_bytes: int
    name: str = ""
    """"" where it was given none."""
    last_frame_id: str = ""
    """Newest frame in it, or ""."""
    is_restorable: bool = True
    """False once frames it covers were evicted, recalled or written over; it is then of no more use."""


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """A session kept in a file of the engine's."""

    name: str
    size_bytes: int
    saved_wall_ns: int
    last_frame_id: str = ""
    """Newest frame in it, told when it is made; the frames since are what it takes to go on from it."""


@dataclass(frozen=True, slots=True)
class PathProof:
    """What became of a faster path that was asked for: `setting` ("decoding") and `wanted` ("graphs"). One that is not
    taken was left for the plain path; `reason` says why, or how near it came.
    """

    setting: str
    wanted: str
    is_taken: bool
    reason: str


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What is loaded, where it runs and what the planner chose for it."""

    engine: str
    model: str
    device: str
    dtype: str
    parameters: int
    cache_bytes_per_token: int
    default_max_context_tokens: int
    budget_reason: str
    can_snapshot: bool = True
    can_recall: bool = True
    can_export: bool = False
    can_recall_kept: bool = False
    default_eviction: Eviction = DEFAULT_EVICTION
    budget_plan: BudgetPlan | None = None
    attention: str = "sdpa"
    attention_reason: str = ""
    """How the choice came about; where several were tried, how long each took."""
    decoding: str = "eager"
    kv_cache_dtype: str = ""
    """How keys and values are kept: as `dtype`, or "fp8"; empty where an engine does not say."""
    weight_dtype: str = ""
    """Of the language model's linear layers: as `dtype`, or "int8"; empty where an engine does not say."""
    default_gate_levels: float = 0.0
    limits: Limits = field(default_factory=Limits)
    layers: int = 0
    """Of the language model; `SessionConfig.pooled_layers` are below it."""
    default_layout: FrameLayout | None = None
    chat: ChatFormat = field(default_factory=ChatFormat)
    """How the model is spoken to."""
    path_proofs: tuple[PathProof, ...] = ()
    """Of each faster path that was asked for."""


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """One open session as it stands; counters only rise."""

    session_id: str
    label: str
    peer: str
    created_wall_ns: int
    context_tokens: int
    max_context_tokens: int
    sink_tokens: int
    appended_frames: int
    evicted_frames: int
    live_asks: int
    answered_asks: int
    last_frame_id: str
    oldest_frame_id: str
    eviction: Eviction = DEFAULT_EVICTION
    dropped_frames: int = 0
    recallable_frames: int = 0
    """Evicted frames whose keys and values are kept aside."""
    watches: int = 0
    gate_levels: float = 0.0
    dropped_tokens: int = 0
    snapshots: tuple[SnapshotInfo, ...] = ()
    """Oldest first."""
    layout: FrameLayout | None = None
