"""One video through the engine: its frames in order, and every question at its instant, in one of four modes.

`refill`: everything up to the question is computed anew for each; `stream`: one pass, questions forked off it, nothing
evicted; `evict`: the same within the engine's budget; `recent`: as `evict`, and a question sees the first chunk and the
newest four alone. It knows nothing of annotation files, scores or reports.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from stillwing_common.errors import InvalidInput
from stillwing_lab.video_benchmarks.matching import means_yes
from stillwing_lab.video_benchmarks.probes import Answer, Probe, ProbeKind
from stillwing_lab.video_benchmarks.prompts import Phrasing
from stillwing_lab.video_benchmarks.watching import Playing, Question, Refill, Stream, whole_chunks
from stillwing_recording.base import Recording
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import FULL_VIEW, View

MODES = ("refill", "stream", "evict", "recent")
RECENT_CHUNKS = 4

OnProgress = Callable[[float], None]
"""Told how far the video is, in seconds."""


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
    watched: Refill | Stream
    if mode == "refill":
        watched = Refill(engine, recording, playing)
    else:
        view = View(RECENT_CHUNKS) if mode == "recent" else FULL_VIEW
        watched = Stream(engine, recording, playing, probes, evicts=mode != "stream", view=view)
    end_s = 0.0
    for chunk in whole_chunks(recording, playing.chunk_frames):
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
    watched: Refill | Stream,
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
    reply = watched.ask(at_s, Question(phrased.prompt, phrased.options, playing.max_tokens))
    said: str | None = phrased.means[reply.best] if phrased.options else reply.text
    if probe.kind is ProbeKind.PROACTIVE:
        assert said is not None
        due.dialog.append((due.at_s, said))
        if means_yes(said):
            last = watched.ask(at_s, Question(phrasing.say(probe), (), playing.max_tokens))
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
        first_token_s=reply.late.first_token_s,
        elapsed_s=reply.elapsed_s,
        waited_s=reply.late.waited_s,
        staleness_s=reply.late.staleness_s,
        frames=watched.frames,
        context_tokens=reply.seen.context_tokens,
        evicted_frames=reply.seen.evicted_frames,
        after_end=after_end,
        probabilities=reply.probabilities,
        dialog=tuple(due.dialog),
    )
