"""One video through the engine: its frames in order, and every question at its instant, in one of four modes.

`refill`: everything up to the question is computed anew for each; `stream`: one pass, questions forked off it, nothing
evicted; `evict`: the same within the engine's budget; `recent`: as `evict`, and a question sees the first chunk and the
newest four alone. It knows nothing of annotation files, scores or reports.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from stillwing_common.errors import Exhausted, InternalFault, InvalidInput
from stillwing_common.types import Frame
from stillwing_lab.video_benchmarks.live_clock import Lateness, LiveClock
from stillwing_lab.video_benchmarks.matching import means_yes
from stillwing_lab.video_benchmarks.probes import Answer, Probe, ProbeKind
from stillwing_lab.video_benchmarks.prompts import Phrasing
from stillwing_recording.base import Recording
from stillwing_vlm.core.base import FULL_VIEW, Provenance, View
from stillwing_vlm.core.catalog import planned_use
from stillwing_vlm.core.inputs.chunk_tokens import label_tokens
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.planner import SLAB_SLACK, STREAM_POSITIONS

MODES = ("refill", "stream", "evict", "recent")
RECENT_CHUNKS = 4

_TRUNK_SHARE = 0.75
"""Share of the positions of a stream that a trunk may span, see `planner.STREAM_POSITIONS`."""

OnProgress = Callable[[float], None]
"""Told how far the video is, in seconds."""


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
class _Chunk:
    frames: tuple[Frame, ...]
    newest_s: float


@dataclass(order=True, slots=True)
class _Due:
    """An ask that is to come; of several at one instant the first in the annotations goes first."""

    at_s: float
    order: int
    probe: Probe = field(compare=False)
    dialog: list[tuple[float, str]] = field(compare=False)


class _Agenda:
    """What is to be asked when; a proactive question that is answered with no comes again a second later."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._due: list[_Due] = []
        for order, probe in enumerate(probes):
            first_s = probe.time_s + (1.0 if probe.kind is ProbeKind.PROACTIVE else 0.0)
            heapq.heappush(self._due, _Due(first_s, order, probe, []))

    def __bool__(self) -> bool:
        return bool(self._due)

    def before(self, time_s: float) -> Iterator[_Due]:
        """Asks due at `time_s` or earlier, those that come again included."""
        while self._due and self._due[0].at_s <= time_s:
            yield heapq.heappop(self._due)

    def again(self, due: _Due) -> None:
        """Put it off by a second."""
        heapq.heappush(self._due, _Due(due.at_s + 1.0, due.order, due.probe, due.dialog))


def play(
    engine: LocalEngine,
    recording: Recording,
    probes: Sequence[Probe],
    phrasing: Phrasing,
    mode: str,
    playing: Playing,
    on_progress: OnProgress = lambda at_s: None,
) -> list[Answer]:
    """Answers in the order of `probes`.

    A question sees the whole chunks of frames before its instant, the first one always. Raises what the recording
    raises, Exhausted where `refill` or `stream` would need more memory than there is, InvalidInput for a mode.
    """
    if mode not in MODES:
        raise InvalidInput(f"a mode is {', '.join(MODES)}, not {mode!r}", field="mode")
    agenda, answers = _Agenda(probes), dict[int, Answer]()
    watched: _Refill | _Stream
    if mode == "refill":
        watched = _Refill(engine, recording, playing)
    else:
        view = View(RECENT_CHUNKS) if mode == "recent" else FULL_VIEW
        watched = _Stream(engine, recording, playing, probes, evicts=mode != "stream", view=view)
    end_s = 0.0
    for chunk in _chunks(recording, playing.chunk_frames):
        # The question comes before a chunk that is not whole at its instant.
        if watched.frames:
            for due in agenda.before(chunk.newest_s):
                _ask(watched, due, due.at_s, phrasing, playing, agenda, answers)
            if not agenda:
                break
        watched.show(chunk)
        end_s = chunk.newest_s + 1 / playing.fps
        on_progress(chunk.newest_s)
    if not watched.frames:
        raise InvalidInput(f"{recording.info().path} holds no frame", field="videos")
    for due in agenda.before(math.inf):
        _ask(watched, due, min(end_s, due.at_s), phrasing, playing, agenda, answers, after_end=due.at_s > end_s)
    return [answers[order] for order in range(len(probes))]


def _ask(
    watched: "_Refill | _Stream",
    due: _Due,
    at_s: float,
    phrasing: Phrasing,
    playing: Playing,
    agenda: _Agenda,
    answers: dict[int, Answer],
    *,
    after_end: bool = False,
) -> None:
    probe = due.probe
    phrased = phrasing.ask(probe)
    told = watched.ask(at_s, _Question(phrased.prompt, phrased.options, playing.max_tokens))
    said: str | None = phrased.means[told.best] if phrased.options else told.text
    if probe.kind is ProbeKind.PROACTIVE:
        assert said is not None
        due.dialog.append((due.at_s, said))
        if means_yes(said):
            last = watched.ask(at_s, _Question(phrasing.say(probe), (), playing.max_tokens))
            said = last.text
            due.dialog.append((due.at_s, said))
        elif due.at_s + 1.0 <= probe.last_s:
            agenda.again(due)
            return
        else:
            said = None
    answers[due.order] = Answer(
        probe_id=probe.probe_id,
        said=said,
        asked_s=due.at_s,
        first_token_s=told.late.first_token_s,
        elapsed_s=told.elapsed_s,
        waited_s=told.late.waited_s,
        staleness_s=told.late.staleness_s,
        frames=watched.frames,
        context_tokens=told.seen.context_tokens,
        evicted_frames=told.seen.evicted_frames,
        after_end=after_end,
        probabilities=told.probabilities,
        dialog=tuple(due.dialog),
    )


@dataclass(frozen=True, slots=True)
class _Question:
    prompt: str
    options: tuple[str, ...]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class _Told:
    text: str
    best: int
    probabilities: tuple[float, ...]
    late: Lateness
    elapsed_s: float
    seen: Provenance


def _told(
    session: LocalSession,
    question: _Question,
    clock: LiveClock,
    at_s: float,
    *,
    view: View = FULL_VIEW,
    before_s: float = 0.0,
) -> _Told:
    """Ask one session; `before_s` of work came first for this question alone."""
    if question.options:
        found = session.ask_choice(question.prompt, question.options, view=view)
        late = clock.ask(at_s, before_s + found.elapsed_s, before_s + found.elapsed_s)
        chances = tuple(round(p, 6) for p in found.probabilities)
        return _Told("", found.best_index, chances, late, before_s + found.elapsed_s, found.provenance)
    done = session.ask(question.prompt, max_tokens=question.max_tokens, view=view)
    late = clock.ask(at_s, before_s + done.time_to_first_token_s, before_s + done.elapsed_s)
    return _Told(done.text, -1, (), late, before_s + done.elapsed_s, done.provenance)


class _Stream:
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

    def show(self, chunk: _Chunk) -> None:
        """The next chunk."""
        result = self._session.append(*chunk.frames)
        self.frames += len(chunk.frames)
        self._clock.frames(chunk.newest_s, result.elapsed_s)
        if self._session.evicted and not self._evicts:
            raise InternalFault("the budget reckoned for a whole video was too small for it")
        self._session.evicted.clear()

    def ask(self, at_s: float, question: _Question) -> _Told:
        """Fork a question off the stream."""
        return _told(self._session, question, self._clock, at_s, view=self._view)


class _Refill:
    """A session for each question, filled with the video up to it; frames are read from the file again each time."""

    def __init__(self, engine: LocalEngine, recording: Recording, playing: Playing) -> None:
        self.frames = 0
        self._engine, self._recording, self._playing = engine, recording, playing
        self._chunks = 0
        self._newest_s = 0.0
        self._clock = LiveClock()

    def show(self, chunk: _Chunk) -> None:
        """Note that it is there."""
        self.frames += len(chunk.frames)
        self._chunks += 1
        self._newest_s = chunk.newest_s
        self._clock.frames(chunk.newest_s, 0.0)

    def ask(self, at_s: float, question: _Question) -> _Told:
        """Compute everything up to now, then ask."""
        playing = self._playing
        budget = _budget(self._engine, self._recording, playing, self._chunks)
        session = self._engine.open(playing.system_text, budget)
        took_s = 0.0
        for number, chunk in enumerate(_chunks(self._recording, playing.chunk_frames), 1):
            took_s += session.append(*chunk.frames).elapsed_s
            if number == self._chunks:
                break
        if session.evicted:
            raise InternalFault("the budget reckoned for a whole video was too small for it")
        return _told(session, question, self._clock, at_s, before_s=took_s)


def _chunks(recording: Recording, chunk_frames: int) -> Iterator[_Chunk]:
    """Whole chunks, times since the first frame; at the video's end what is left over."""
    first_ns: int | None = None
    waiting: list[Frame] = []
    newest_s = 0.0
    for entry in recording.frames():
        first_ns = entry.time_ns if first_ns is None else first_ns
        waiting.append(entry.value.frame)
        newest_s = (entry.time_ns - first_ns) / 1e9
        if len(waiting) == chunk_frames:
            yield _Chunk(tuple(waiting), newest_s)
            waiting = []
    if waiting:
        yield _Chunk(tuple(waiting), newest_s)


def _whole_budget(engine: LocalEngine, recording: Recording, playing: Playing, last_s: float) -> int:
    """Tokens of the video up to `last_s` at most; where that is too much, of the video as long as it really is.

    Raises Exhausted.
    """

    def until(end_s: float) -> int:
        return _budget(engine, recording, playing, math.ceil(end_s * playing.fps / playing.chunk_frames) + 1)

    try:
        return until(last_s)
    except Exhausted:
        # Some annotations ask long after the end. How long a video is, only reading it through tells.
        duration_s = recording.info().duration_s
        if duration_s >= last_s:
            raise
        return until(duration_s)


def _budget(engine: LocalEngine, recording: Recording, playing: Playing, chunks: int) -> int:
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
