"""Ways to watch a video: as one stream, or all of it anew for each question; how much memory each needs.

It knows nothing of when which question is asked, and of annotations.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stillwing_common.errors import Exhausted, InternalFault, InvalidInput
from stillwing_common.types import Frame
from stillwing_lab.video_benchmarks.live_clock import Lateness, LiveClock
from stillwing_lab.video_benchmarks.probes import Probe
from stillwing_recording.base import Recording
from stillwing_vlm.core.catalog import planned_use
from stillwing_vlm.core.inputs.chunk_tokens import label_tokens
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.planner import SLAB_SLACK, STREAM_POSITIONS
from stillwing_vlm.core.requests import FULL_VIEW, View
from stillwing_vlm.core.results import Provenance

_TRUNK_SHARE = 0.75
"""Share of the positions of a stream that a trunk may span, see `planner.STREAM_POSITIONS`."""


@dataclass(frozen=True, slots=True)
class Playing:
    """How videos are played.

    `fps` is the rate of the frames in `Recording`; `max_context_tokens` is for modes that evict, 0: as planned.
    """

    fps: float = 2.0
    chunk_frames: int = 2
    system_text: str = "You are a helpful assistant."
    max_tokens: int = 32
    max_context_tokens: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.fps <= 100 or self.chunk_frames < 1:
            raise InvalidInput("fps is above 0 and at most 100, and a chunk has one frame or more")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Frames that the vision encoder sees together; `newest_s` since the video's first."""

    frames: tuple[Frame, ...]
    newest_s: float


@dataclass(frozen=True, slots=True)
class Question:
    """Words to answer; with `options`, one of those."""

    prompt: str
    options: tuple[str, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What was answered, and when on the video's clock; `best` is the place of the option, -1 without options."""

    text: str
    best: int
    probabilities: tuple[float, ...]
    late: Lateness
    elapsed_s: float
    seen: Provenance


class Stream:
    """One session over the whole video."""

    def __init__(
        self,
        engine: LocalEngine,
        recording: Recording,
        playing: Playing,
        probes: Sequence[Probe],
        *,
        evicts: bool,
        view: View,
    ) -> None:
        self.frames = 0
        self._evicts = evicts
        self._view = view
        self._clock = LiveClock()
        budget = playing.max_context_tokens
        if not evicts:
            budget = _whole_budget(engine, recording, playing, max(probe.last_s for probe in probes))
        self._session = engine.open(playing.system_text, budget)

    def show(self, chunk: Chunk) -> None:
        """The next chunk."""
        result = self._session.append(*chunk.frames)
        self.frames += len(chunk.frames)
        self._clock.frames(chunk.newest_s, result.elapsed_s)
        if self._session.evicted and not self._evicts:
            raise InternalFault("the budget reckoned for a whole video was too small for it")
        self._session.evicted.clear()

    def ask(self, at_s: float, question: Question) -> Reply:
        """Fork a question off the stream."""
        return _reply(self._session, question, self._clock, at_s, view=self._view)


class Refill:
    """A session for each question, filled with the video up to it; frames are read from the file again each time."""

    def __init__(self, engine: LocalEngine, recording: Recording, playing: Playing) -> None:
        self.frames = 0
        self._engine, self._recording, self._playing = engine, recording, playing
        self._chunks = 0
        self._newest_s = 0.0
        self._clock = LiveClock()

    def show(self, chunk: Chunk) -> None:
        """Note that it is there."""
        self.frames += len(chunk.frames)
        self._chunks += 1
        self._newest_s = chunk.newest_s
        self._clock.frames(chunk.newest_s, 0.0)

    def ask(self, at_s: float, question: Question) -> Reply:
        """Compute everything up to now, then ask."""
        playing = self._playing
        budget = tokens_of(self._engine, self._recording, playing, self._chunks)
        session = self._engine.open(playing.system_text, budget)
        took_s = 0.0
        for number, chunk in enumerate(whole_chunks(self._recording, playing.chunk_frames), 1):
            took_s += session.append(*chunk.frames).elapsed_s
            if number == self._chunks:
                break
        if session.evicted:
            raise InternalFault("the budget reckoned for a whole video was too small for it")
        return _reply(session, question, self._clock, at_s, before_s=took_s)


def _reply(
    session: LocalSession,
    question: Question,
    clock: LiveClock,
    at_s: float,
    *,
    view: View = FULL_VIEW,
    before_s: float = 0.0,
) -> Reply:
    """Ask one session; `before_s` of work came first for this question alone."""
    if question.options:
        found = session.ask_choice(question.prompt, question.options, view=view)
        late = clock.ask(at_s, before_s + found.elapsed_s, before_s + found.elapsed_s)
        chances = tuple(round(p, 6) for p in found.probabilities)
        return Reply("", found.best_index, chances, late, before_s + found.elapsed_s, found.provenance)
    done = session.ask(question.prompt, max_tokens=question.max_tokens, view=view)
    late = clock.ask(at_s, before_s + done.time_to_first_token_s, before_s + done.elapsed_s)
    return Reply(done.text, -1, (), late, before_s + done.elapsed_s, done.provenance)


def whole_chunks(recording: Recording, chunk_frames: int) -> Iterator[Chunk]:
    """Whole chunks, times since the first frame; at the video's end what is left over."""
    first_ns: int | None = None
    waiting: list[Frame] = []
    newest_s = 0.0
    for entry in recording.frames():
        first_ns = entry.time_ns if first_ns is None else first_ns
        waiting.append(entry.value.frame)
        newest_s = (entry.time_ns - first_ns) / 1e9
        if len(waiting) == chunk_frames:
            yield Chunk(tuple(waiting), newest_s)
            waiting = []
    if waiting:
        yield Chunk(tuple(waiting), newest_s)


def _whole_budget(engine: LocalEngine, recording: Recording, playing: Playing, last_s: float) -> int:
    """Tokens of the video up to `last_s` at most; where that is too much, of the video as long as it really is.

    Raises Exhausted.
    """

    def until(end_s: float) -> int:
        return tokens_of(engine, recording, playing, math.ceil(end_s * playing.fps / playing.chunk_frames) + 1)

    try:
        return until(last_s)
    except Exhausted:
        # Some annotations ask long after the end. How long a video is, only reading it through tells.
        duration_s = recording.info().duration_s
        if duration_s >= last_s:
            raise
        return until(duration_s)


def tokens_of(engine: LocalEngine, recording: Recording, playing: Playing, chunks: int) -> int:
    """Tokens that so many chunks take at most.

    Raises Exhausted where memory does not hold them, or the model's positions do not reach so far.
    """
    loaded, camera = engine.loaded, recording.vehicle.cameras[0]
    how = loaded.backend.preprocessing
    labels = label_tokens(loaded.backend.chunk_format, loaded.text)
    frame_px = (camera.height_px, camera.width_px)
    use = planned_use(how, loaded.limits, frame_px, playing.chunk_frames, labels)
    grids = -(-playing.chunk_frames // how.temporal_patch)
    # Where each grid stands in delimiters and a time of its own.
    chunk_tokens = use.chunk_tokens + (grids - 1) * (2 + labels)
    opening = len(loaded.preparer.opening(playing.system_text))
    budget = opening + (chunks + 1) * chunk_tokens
    figures = loaded.backend.figures
    positions = opening + (chunks + 1) * (use.chunk_positions + (grids - 1) * (2 + labels))
    reach = int(figures.max_positions * STREAM_POSITIONS * _TRUNK_SHARE)
    if positions > reach:
        raise Exhausted(
            f"{chunks} chunks without eviction run through {positions} positions, the model through {reach}: "
            "use --mode evict alone, or fewer frames with --fps",
            needed=positions,
        )
    needed = round(budget * (1 + SLAB_SLACK) * figures.cache_bytes)
    if needed > loaded.backend.free_bytes():
        raise Exhausted(
            f"{chunks} chunks without eviction need {needed / 1e9:.1f} GB of memory, "
            f"{loaded.backend.free_bytes() / 1e9:.1f} are free: use --mode evict alone, or fewer frames with --fps",
            needed=needed,
        )
    return budget
