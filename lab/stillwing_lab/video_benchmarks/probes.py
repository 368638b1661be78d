"""What a benchmark asks, whichever it is: probes at instants of videos, and what came of each.

It knows nothing of models, prompts or annotation files.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from stillwing_common.errors import InvalidInput, NotFound

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
YES, NO = "Yes", "No"


class ProbeKind(Enum):
    """What an answer has to look like."""

    CHOICE = "choice"
    """A letter of `Probe.options`."""
    COUNT = "count"
    """How often something was done so far."""
    STEP = "step"
    """Whether a step is being carried out now, yes or no."""
    ENOUGH = "enough"
    """Whether enough was shown to answer the question, yes or no."""
    PROACTIVE = "proactive"
    """Asked every second whether it is time to say something, and once it is, to say it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One question at `time_s` of its video.

    `answer`: the letter, the count, "Yes" or "No", or what is to be said; `context`: in a sequence of
    questions, those before it with their right answers, in words; `due_s`: when a proactive one is to be answered.
    """

    probe_id: str
    task: str
    kind: ProbeKind
    time_s: float
    question: str
    answer: str
    options: tuple[str, ...] = ()
    context: str | None = None
    due_s: float = 0.0

    @property
    def last_s(self) -> float:
        """The latest instant at which it may be asked."""
        return self.due_s + PROACTIVE_AFTER_S if self.kind is ProbeKind.PROACTIVE else self.time_s


PROACTIVE_AFTER_S = 4.0
"""Seconds after which a proactive question is given up; StreamingBench's own."""

PROACTIVE_WITHIN_S = 2.0
"""Seconds that a proactive answer may be early or late; StreamingBench's own."""


@dataclass(frozen=True, slots=True)
class VideoProbes:
    """A video, by its name in the annotations, and what is asked of it."""

    name: str
    probes: tuple[Probe, ...]

    @property
    def last_s(self) -> float:
        """The latest instant at which anything is asked."""
        return max(probe.last_s for probe in self.probes)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to one probe; times in seconds.

    `said` None: nothing, because it never became time to. `asked_s` of the video; `first_token_s` from there on the
    device; `waited_s` and `staleness_s` as they would be live: how long the question waited for the engine, and how old
    the newest frame it saw was when the first token came. `after_end`: it was due after the video's end and was asked
    there. `dialog`: a proactive question's asks, each with its instant.
    """

    probe_id: str
    said: str | None
    asked_s: float
    first_token_s: float
    elapsed_s: float
    waited_s: float
    staleness_s: float
    frames: int
    context_tokens: int
    evicted_frames: int
    after_end: bool = False
    probabilities: tuple[float, ...] = ()
    dialog: tuple[tuple[float, str], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Answer":
        """What `to_json` wrote. Raises TypeError, ValueError."""
        dialog = tuple((float(at_s), str(said)) for at_s, said in stored["dialog"])
        return cls(**{**stored, "probabilities": tuple(stored["probabilities"]), "dialog": dialog})


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is right by the benchmark's own matching (None: it leaves it out) and by the strict one."""

    official: bool | None
    strict: bool


def find_video(videos: Path, name: str) -> Path | None:
    """The file of a video: where the annotations say, below `videos`, or by its bare name in it; None if absent."""
    for candidate in (videos / name, videos / Path(name).name):
        if candidate.is_file():
            return candidate
    return None


def find_videos(
    videos: Path, groups: Sequence[VideoProbes], *, skip_missing: bool
) -> tuple[list[tuple[VideoProbes, Path]], list[str]]:
    """Each video with its file, and names of those that are absent.

    Raises NotFound where `videos` is no folder, or where any is absent and `skip_missing` is not given, or all are.
    """
    if not videos.is_dir():
        raise NotFound(f"{videos} is no folder", path=videos)
    found, missing = [], []
    for group in groups:
        path = find_video(videos, group.name)
        if path is None:
            missing.append(group.name)
        else:
            found.append((group, path))
    if missing and (not skip_missing or not found):
        some = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        raise NotFound(
            f"{len(missing)} of {len(groups)} videos are not below {videos}: {some}; "
            "--skip-missing leaves out what is asked of them",
            missing=len(missing),
        )
    return found, missing


def keep_tasks(groups: Sequence[VideoProbes], tasks: Sequence[str], limit: int) -> list[VideoProbes]:
    """Only probes of these tasks (none given: all), and only the first `limit` videos (0: all).

    Raises InvalidInput where a task does not occur.
    """
    known = sorted({probe.task for group in groups for probe in group.probes})
    unknown = [task for task in tasks if task not in known]
    if unknown:
        raise InvalidInput(f"no task is called {', '.join(unknown)}; here are {', '.join(known)}", field="task")
    kept = [
        VideoProbes(group.name, tuple(probe for probe in group.probes if not tasks or probe.task in tasks))
        for group in groups
    ]
    kept = [group for group in kept if group.probes]
    return kept[:limit] if limit else kept
