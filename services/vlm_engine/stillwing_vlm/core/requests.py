"""What is asked of an engine: sessions, frames' ways in and out, questions. Each checks itself when it is made.

It knows nothing of models, tensors, threads or transports.
"""

from dataclasses import dataclass
from enum import Enum

from stillwing_common.errors import InvalidInput
from stillwing_vlm.core.conversation import AnswerFormat, Briefing, Tool, Turn, check_text, check_turns

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
    periodic_export: PeriodicExport | None = None
    owner: str = ""
    """Whose limits it counts against, with all sessions of the same owner."""
    pooled_layers: tuple[int, ...] = ()
    """Layers, from 0 and rising, of which mean keys of each frame and mean queries of texts are handed out."""
    layout: FrameLayout | None = None
    """None: the engine's default; without one, one frame in the sink and the window as the budget allows."""
    tools: tuple[Tool, ...] = ()
    """Functions that the model may call. Then the model's own chat template writes the session, from its opening on;
    without, it opens in the compact form of a system prompt.
    """

    def __post_init__(self) -> None:
        Briefing(self.system_prompt, self.tools)
        if self.gate_levels is not None and not 0 <= self.gate_levels <= MAX_GATE_LEVELS:
            raise InvalidInput(
                f"gate_levels is 0 (off) to {MAX_GATE_LEVELS:g} levels of 255", gate_levels=self.gate_levels
            )
        given = (self.eviction, self.gate_levels, self.layout)
        if self.from_export and (self.max_context_tokens or self.tools or any(one is not None for one in given)):
            raise InvalidInput(
                "tools, budget, layout, eviction and gate of a session that goes on are those of its export; leave "
                "them out"
            )
        layers = self.pooled_layers
        if len(layers) > MAX_POOLED_LAYERS or list(layers) != sorted(set(layers)) or any(one < 0 for one in layers):
            raise InvalidInput(f"pooled_layers rise from 0 on, at most {MAX_POOLED_LAYERS}", pooled_layers=layers)
        if not 0 <= self.frame_period_s <= MAX_DEADLINE_S:
            raise InvalidInput(
                f"a frame period is 0 (not known) to {MAX_DEADLINE_S:g} s", frame_period_s=self.frame_period_s
            )

    @property
    def briefing(self) -> Briefing:
        """What its asks go on from."""
        return Briefing(self.system_prompt, self.tools)


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
    """Random choice of tokens: `temperature` > 0, `top_p` in (0, 1]; one seed on one context gives one answer.

    `top_k`: of the so many most probable ones; 0: of all.
    """

    temperature: float
    top_p: float = 1.0
    seed: int = 0
    top_k: int = 0

    def __post_init__(self) -> None:
        if not 0.0 < self.temperature <= 100.0:
            raise InvalidInput("temperature is above 0 and at most 100", temperature=self.temperature)
        if not 0.0 < self.top_p <= 1.0:
            raise InvalidInput("top_p is in (0, 1]", top_p=self.top_p)
        if not 0 <= self.top_k < 2**31:
            raise InvalidInput("top_k is 0 (all tokens) or more", top_k=self.top_k)


@dataclass(frozen=True, slots=True)
class ModelSampling:
    """Tokens chosen as the model's generation_config.json says (`ChatFormat.sampling`), its repetition penalty
    included, which counts the texts of opening, question and answer.
    """

    seed: int = 0


@dataclass(frozen=True, slots=True)
class AskRequest:
    """One question; `max_tokens` 0: the engine's default, `sampling` None: greedy, `json_schema` "": free text.

    `deadline_s` after its placing the answer ends with what there is, reason DEADLINE; None: whenever it is done.
    """

    prompt: str = ""
    max_tokens: int = 0
    json_schema: str = ""
    """The answer is compact JSON that satisfies it."""
    sampling: Sampling | ModelSampling | None = None
    view: View = FULL_VIEW
    deadline_s: float | None = None
    messages: tuple[Turn, ...] = ()
    """A conversation instead of a prompt, written by the model's chat template: the rest of the user's turn that the
    frames opened, then turns of assistant, tools and user, the last one the user's or a tool's.
    """
    answer_format: AnswerFormat | None = None
    """Instead of `json_schema`: JSON in the model's own style, or a call, perhaps after a thought."""

    def __post_init__(self) -> None:
        check_deadline(self.deadline_s)
        check_text("prompt", self.prompt)
        if self.messages:
            check_turns(self.messages)
            if self.prompt:
                raise InvalidInput("an ask has a prompt or messages, not both", field="messages")
        if self.answer_format is not None and self.json_schema:
            raise InvalidInput("an ask has a json_schema or an answer_format, not both", field="answer_format")


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
        for text in (self.prompt, *self.options):
            check_text("prompt or option", text)
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
        for text in (self.prompt, self.yes, self.no):
            check_text("prompt, yes or no", text)
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
