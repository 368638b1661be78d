"""What an engine is to its callers: sessions over one video stream each, and questions forked off them.

Two implementations share these protocols: the engine of this process (`core.serving.engine.AsyncEngine`) and the one
behind the wire (`client.RemoteEngine`). This module knows nothing of models, tensors, threads or transports.

Order: requests of one session take effect in the order in which its methods were called. The call itself places the
request; awaiting the result comes later and may be left out. An ask therefore sees every frame appended before it and
none appended after it, however late its answer is read.

Threads: every method is called on the event loop on which the engine was made.
"""

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from stillwing_common.errors import InvalidInput, StillwingError
from stillwing_common.types import Frame
from stillwing_common.vectors import Vectors
from stillwing_vlm.core.limits import Limits as Limits
from stillwing_vlm.core.planner import BudgetPlan

# Requests

MAX_DEADLINE_S = 3600.0
"""Longest deadline a request may carry: a bounded one keeps the requests of others from waiting for ever."""


def check_deadline(deadline_s: float | None) -> None:
    """Raises InvalidInput where a deadline is given and not in (0, MAX_DEADLINE_S]."""
    if deadline_s is not None and not 0 < deadline_s <= MAX_DEADLINE_S:
        raise InvalidInput(f"a deadline is above 0 and at most {MAX_DEADLINE_S:g} s", deadline_s=deadline_s)


MAX_GATE_LEVELS = 255.0
"""Two pixels differ by no more."""


MAX_POOLED_LAYERS = 8
"""More would make every eviction a long message."""

MAX_POOLED_TEXTS = 64


class FramePolicy(Enum):
    """What becomes of frames that come faster than they can be appended."""

    IN_ORDER = "in_order"
    """Each is appended, in order; a frame beyond the credits is refused."""
    NEWEST_WINS = "newest_wins"
    """A newer frame takes the place of one that waits, unless another request was placed between the two."""


class EvictionLevel(Enum):
    """Which whole chunks leave a window that is full."""

    OLDEST = "oldest"
    """Level 1: the oldest. What stays is not touched, so it costs the same whatever the window holds."""
    SUBSAMPLED = "subsampled"
    """Level 2, for comparison: of the window's older half every 2^k-th chunk stays, k growing with the stream. Chunks
    before a hole are written anew, and everything it takes is kept for the whole window: more memory and time."""


class EvictionPositions(Enum):
    """Where survivors stand after an eviction."""

    CONTIGUOUS = "contiguous"
    """The hole is closed, so that positions follow on each other as in training."""
    GAP = "gap"
    """For comparison: survivors keep their positions and the sink stays where it was."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """How a session lets old chunks go."""

    level: EvictionLevel = EvictionLevel.OLDEST
    positions: EvictionPositions = EvictionPositions.CONTIGUOUS


DEFAULT_EVICTION = Eviction()


MAX_LAYOUT_FRAMES = 100_000


@dataclass(frozen=True, slots=True)
class FrameLayout:
    """The video memory `[sink | memory | window]` in units of frames, within its budget of tokens. Chunks stay whole.

    `sink`: first frames, which never leave; `memory`: most frames recalled; `window`: frames after which the oldest
    leaves.
    """

    sink: int = 1
    memory: int = 3
    window: int = 6

    def __post_init__(self) -> None:
        if not (self.sink >= 1 and self.memory >= 0 and self.window >= 1) or self.frames > MAX_LAYOUT_FRAMES:
            raise InvalidInput(
                "a layout has at least one frame in sink and window, none or more in its memory, "
                f"{MAX_LAYOUT_FRAMES} at most",
                layout=str(self),
            )

    @property
    def frames(self) -> int:
        """Of all three."""
        return self.sink + self.memory + self.window

    def __str__(self) -> str:
        return f"{self.sink}+{self.memory}+{self.window}"

    @classmethod
    def parse(cls, text: str) -> "FrameLayout | None":
        """From "3+3+6": sink, memory, window; None for "". Raises InvalidInput."""
        parts = text.strip().split("+")
        if parts == [""]:
            return None
        if len(parts) != 3 or not all(part.strip().isdecimal() and len(part) < 10 for part in parts):
            raise InvalidInput(f'{text[:40]!r} is no layout; write sink+memory+window in frames, as in "3+3+6"')
        sink, memory, window = (int(part) for part in parts)
        return cls(sink, memory, window)


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """What a session is opened with.

    `max_context_tokens` 0, `eviction` None and `gate_levels` None mean the engine's defaults; `gate_levels` is the mean
    difference of a patch's pixels, in levels of 0 to 255, above which the token-saving gate counts it as changed, 0
    leaves the gate open; `frame_period_s` is the time between frames,
    0 where it is not known: appends of different sessions go in the order of their deadlines, a period after their
    placing.
    """

    system_prompt: str = "You are a helpful assistant."
    max_context_tokens: int = 0
    label: str = ""
    peer: str = ""
    eviction: Eviction | None = None
    frame_policy: FramePolicy = FramePolicy.IN_ORDER
    frame_period_s: float = 0.0
    gate_levels: float | None = None
    from_export: str = ""
    """Name of an export to go on from: then prompt, budget, eviction and gate are those of the export."""
    periodic_export: "PeriodicExport | None" = None
    owner: str = ""
    """Whose limits it counts against, with all sessions of the same owner."""
    pooled_layers: tuple[int, ...] = ()
    """Layers, from 0 and rising, of which mean keys of each frame and mean queries of texts are handed out."""
    layout: FrameLayout | None = None
    """None: the engine's default; without one, one frame in the sink and the window as the budget allows."""

    def __post_init__(self) -> None:
        if self.gate_levels is not None and not 0 <= self.gate_levels <= MAX_GATE_LEVELS:
            raise InvalidInput(
                f"gate_levels is 0 (off) to {MAX_GATE_LEVELS:g} levels of 255", gate_levels=self.gate_levels
            )
        given = (self.eviction, self.gate_levels, self.layout)
        if self.from_export and (self.max_context_tokens or any(one is not None for one in given)):
            raise InvalidInput(
                "budget, layout, eviction and gate of a session that goes on are those of its export; leave them out"
            )
        layers = self.pooled_layers
        if len(layers) > MAX_POOLED_LAYERS or list(layers) != sorted(set(layers)) or any(one < 0 for one in layers):
            raise InvalidInput(f"pooled_layers rise from 0 on, at most {MAX_POOLED_LAYERS}", pooled_layers=layers)
        if not 0 <= self.frame_period_s <= MAX_DEADLINE_S:
            raise InvalidInput(
                f"a frame period is 0 (not known) to {MAX_DEADLINE_S:g} s", frame_period_s=self.frame_period_s
            )


@dataclass(frozen=True, slots=True)
class PeriodicExport:
    """Export the session under this name each time so many chunks more are in it.

    Appends do not wait for it; while one is being written no other is begun.
    """

    name: str
    every_chunks: int

    def __post_init__(self) -> None:
        if self.every_chunks < 1:
            raise InvalidInput("a periodic export comes every 1 chunk or more", every_chunks=self.every_chunks)


@dataclass(frozen=True, slots=True)
class View:
    """How much of the trunk an ask sees: everything, or the sink and the newest `recent_chunks` chunks."""

    recent_chunks: int | None = None

    def __post_init__(self) -> None:
        if self.recent_chunks is not None and self.recent_chunks < 1:
            raise InvalidInput("a view of recent chunks needs at least 1 chunk", chunks=self.recent_chunks)


FULL_VIEW = View()


@dataclass(frozen=True, slots=True)
class Sampling:
    """Random choice of tokens: `temperature` > 0, `top_p` in (0, 1]; one seed on one context gives one answer."""

    temperature: float
    top_p: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature <= 100.0:
            raise InvalidInput("temperature is above 0 and at most 100", temperature=self.temperature)
        if not 0.0 < self.top_p <= 1.0:
            raise InvalidInput("top_p is in (0, 1]", top_p=self.top_p)


@dataclass(frozen=True, slots=True)
class AskRequest:
    """One question; `max_tokens` 0: the engine's default, `sampling` None: greedy, `json_schema` "": free text.

    `deadline_s` after its placing the answer ends with what there is, reason DEADLINE; None: whenever it is done.
    """

    prompt: str
    max_tokens: int = 0
    json_schema: str = ""
    sampling: Sampling | None = None
    view: View = FULL_VIEW
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        check_deadline(self.deadline_s)


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """One question with its possible answers, two or more, all different.

    `deadline_s` after its placing it fails with AnswerTimeout; None: it waits until it is scored.
    """

    prompt: str
    options: tuple[str, ...]
    view: View = FULL_VIEW
    deadline_s: float | None = None

    def __post_init__(self) -> None:
        check_deadline(self.deadline_s)
        if len(self.options) < 2:
            raise InvalidInput("a choice needs at least two options", options=len(self.options))
        if len(set(self.options)) != len(self.options) or not all(self.options):
            raise InvalidInput("options are all different and none is empty")


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """A standing yes/no question, asked again after every `every_chunks`-th chunk.

    The answer is one token: the probability of `yes` against `no` as its beginning. The state is true from
    `threshold` + `margin` on and false from `threshold` - `margin` down; between the two it stays what it was.
    """

    prompt: str
    every_chunks: int = 1
    yes: str = "yes"
    no: str = "no"
    threshold: float = 0.5
    margin: float = 0.0
    view: View = FULL_VIEW

    def __post_init__(self) -> None:
        if not 1 <= self.every_chunks <= 10_000:
            raise InvalidInput("a watch is asked every 1 to 10,000 chunks", every_chunks=self.every_chunks)
        if not self.yes or not self.no or self.yes == self.no:
            raise InvalidInput("the two answers of a watch differ and neither is empty", yes=self.yes, no=self.no)
        if not 0 < self.threshold < 1 or not 0 <= self.margin < min(self.threshold, 1 - self.threshold):
            raise InvalidInput(
                "a threshold is above 0 and below 1, and so is threshold - margin and threshold + margin",
                threshold=self.threshold,
                margin=self.margin,
            )


# Results


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

    `saving`: None where the session's gate is off.
    """

    frame_ids: tuple[str, ...]
    chunk_tokens: int
    context_tokens: int
    elapsed_s: float
    saving: TokenSaving | None = None


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


@dataclass(frozen=True, slots=True)
class RecallResult:
    """The frames now in the memory segment."""

    frame_ids: tuple[str, ...]
    context_tokens: int


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


# Protocols


class Answer(Protocol):
    """An ask under way."""

    def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        """Pieces of the answer as they are decoded; ends when the answer ends. May be left unread."""

    async def done(self) -> AnswerDone:
        """Wait for the end. Raises what the ask failed with. May be called again and by several readers."""

    def cancel(self) -> None:
        """Stop decoding; `done` then returns what was decoded so far with reason CANCELLED. No effect after the end."""


class Watch(Protocol):
    """A watch condition that is set."""

    def __aiter__(self) -> AsyncIterator[WatchEvent]:
        """A log stream: its first state, then every change. Ends when it is unset or the session ends.

        Raises what it was refused with: TooManyWatches, QueueFull, TextTooLong, InvalidInput.
        """

    def unset(self) -> None:
        """Ask no more. No effect once it has ended."""


class Session(Protocol):
    """The memory of one video stream. Closing it frees everything it holds, snapshots included."""

    @property
    def session_id(self) -> str:
        """Opaque id, as `Engine.get_session` takes it."""

    @property
    def frame_credits(self) -> int:
        """Most frames that may be placed and not yet acknowledged."""

    @property
    def max_context_tokens(self) -> int:
        """The budget in force."""

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """Add one chunk: frames that the vision encoder sees together, oldest first.

        Costs a credit a frame, returned when the result (or the failure) is there. It should be in the trunk
        `deadline_s` after its placing (None: a frame period); of several sessions' appends the one with the earliest
        deadline goes first, and a late one is still appended. `skipped_frames` that the caller itself let go before
        this chunk are counted with those dropped here.

        Raises, when awaited: OutOfCredits, TooManyFrameBytes, QueueFull, ImageEmpty, ImageUndecodable, ImageTooLarge,
        InvalidInput, BudgetTooSmall; under NEWEST_WINS also FrameSuperseded, where a newer frame took its place. A
        failed append leaves the trunk as it was.

        Under NEWEST_WINS a chunk that takes the place of a waiting one needs no credit. An ask (or any other request)
        placed between two frames keeps the first from giving way to the second: the ask still sees the newest frame
        that was placed before it.
        """

    def ask(self, request: AskRequest) -> Answer:
        """Fork a branch off the trunk as it is after all requests placed so far. The trunk never changes by it.

        Raises, from `done`: TooManyBranches, QueueFull, TextTooLong, BadGrammar, InvalidInput.
        """

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """Score the options by the probability of their whole text. Raises like `ask`, and AnswerTimeout."""

    def set_watch(self, request: WatchRequest) -> Watch:
        """Ask a yes/no question now, if there is a frame, and again as chunks come; tell of changes.

        Each time it is a branch of its own that is read in steps shared with other answers, so appends wait for it no
        longer than for any answer; where the last reading is still under way, this one is left out.
        """

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """Replace the memory segment by these frames, oldest first; none empties it. Raises like `append`."""

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """Replace the memory segment by evicted frames as they were: the keys and values they had, at other positions.

        Costs no pass of the model. Their chunks come whole, with the other frames of each.
        Raises, when awaited: FrameNotKept, InvalidInput, BudgetTooSmall; then nothing has changed.
        """

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """Mean queries of texts and mean keys of frames of the trunk, in the session's `pooled_layers`.

        Frames that are not in the trunk are left out: they were evicted, and their keys were told then. The trunk never
        changes by it. Raises, when awaited: InvalidInput, for a session without `pooled_layers` too, TextTooLong.
        """

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> Awaitable[SnapshotInfo]:
        """Keep the trunk's present state. O(1). It dies with the session, or `ttl_s` after its last use.

        It takes the place of the session's snapshot of this name in one step; what was there is there still where this
        fails. Unnamed ones replace nothing.

        Raises, when awaited: InvalidInput for a name that is none or a ttl of 0 or less, Exhausted.
        """

    def restore_snapshot(self, snapshot: str) -> Awaitable[str]:
        """Put the trunk back, by id or name; returns the newest frame id of the restored context, or "".

        Raises, when awaited: UnknownSnapshot, SnapshotOverwritten.
        """

    @property
    def restored_frame_id(self) -> str:
        """Newest frame of the export it goes on from, or ""; the frames since are for the caller to append."""

    def export(self, name: str) -> Awaitable[ExportInfo]:
        """Keep the trunk, as it is after all requests placed so far, in a file of the engine's, in place of what has
        this name. Requests placed later do not wait for the file. One at a time in a session.

        Raises, when awaited: ExportsOff, InvalidInput for a name that is none, Exhausted, ExportNotWritten.
        """

    def evictions(self) -> AsyncIterator[Evicted]:
        """A log stream: every eviction after this call, in order. Ends with the session."""

    async def wait_closed(self) -> StillwingError | None:
        """Wait until the session is over; why, or None where its caller closed it."""

    async def close(self) -> None:
        """End the session. Asks under way end as cancelled. Closing twice does nothing."""


class Engine(Protocol):
    """One loaded model."""

    async def model_info(self) -> ModelInfo:
        """What is loaded."""

    async def open_session(self, config: SessionConfig) -> Session:
        """Open a session. Raises TooManySessions, TooManyContextTokens, BudgetTooSmall, TextTooLong, Exhausted; where
        it is to go on from an export also ExportsOff, UnknownExport, ExportUnusable.

        A session of which nothing is asked for `Limits.idle_timeout_s` is ended with SessionIdle.
        """

    async def list_sessions(self) -> list[SessionInfo]:
        """Open sessions, oldest first."""

    async def get_session(self, session_id: str) -> SessionInfo:
        """One open session. Raises UnknownSession."""

    async def delete_snapshot(self, snapshot: str, session_id: str = "") -> None:
        """Free a snapshot, by its id, or by its name in a session; deleting what is gone succeeds.

        Raises InvalidInput for a name without a session.
        """

    async def list_exports(self) -> list[ExportInfo]:
        """Sessions kept in files, oldest first. Raises ExportsOff."""

    async def delete_export(self, name: str) -> None:
        """Remove an export; deleting what is gone succeeds. Raises ExportsOff, InvalidInput."""

    async def close(self) -> None:
        """Close every session and let the device go."""
