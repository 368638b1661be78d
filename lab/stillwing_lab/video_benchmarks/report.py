"""What a benchmark found: scores by task and mode, official and strict, how long answers took, how old they were.

It knows nothing of how answers came about.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

from stillwing_lab.video_benchmarks.probes import Answer, Probe, Verdict
from stillwing_training.statistics import Estimate, quantile, share

Judge = Callable[[Probe, Answer], Verdict]
Total = Callable[[Mapping[str, float], Mapping[str, int]], tuple[dict[str, float], float]]
"""From tasks' scores and numbers of questions: the score of each category, and of all."""


@dataclass(frozen=True, slots=True)
class TaskScore:
    """One task in one mode. `official` None where the official matching counts none of its answers."""

    asked: int
    counted: int
    official: Estimate | None
    strict: Estimate


@dataclass(frozen=True, slots=True)
class ModeScore:
    """One mode. Categories and totals are official averages of shares, of official and of strict verdicts.

    Times in ms and s; `same_as_refill` is the share of answers that are word for word those of `refill`.
    """

    mode: str
    tasks: Mapping[str, TaskScore]
    categories: Mapping[str, float]
    total: float
    strict_categories: Mapping[str, float]
    strict_total: float
    first_token_ms: Mapping[str, Estimate]
    staleness_s: Mapping[str, Estimate]
    waited_s: Mapping[str, Estimate]
    context_tokens: float
    evicted_frames: float
    after_end: int
    same_as_refill: Estimate | None
    extra: Mapping[str, float]


def score_mode(
    mode: str,
    answered: Sequence[tuple[Probe, Answer]],
    judge: Judge,
    total: Total,
    refill: Mapping[str, Answer],
    extra: Mapping[str, float],
) -> ModeScore:
    """Score one mode's answers (at least one). `refill`: that mode's answers by probe, to compare with."""
    verdicts: dict[str, list[Verdict]] = {}
    for probe, answer in answered:
        verdicts.setdefault(probe.task, []).append(judge(probe, answer))
    tasks = {task: _task(found) for task, found in verdicts.items()}
    counted = {task: score.official.value for task, score in tasks.items() if score.official is not None}
    categories, official = total(counted, {task: tasks[task].counted for task in counted})
    strict_categories, strict = total(
        {task: score.strict.value for task, score in tasks.items()},
        {task: score.asked for task, score in tasks.items()},
    )
    answers = [answer for _, answer in answered]
    same = [answer.said == refill[answer.probe_id].said for answer in answers if answer.probe_id in refill]
    return ModeScore(
        mode=mode,
        tasks=tasks,
        categories=categories,
        total=official,
        strict_categories=strict_categories,
        strict_total=strict,
        first_token_ms=_spread([1000 * answer.first_token_s for answer in answers]),
        staleness_s=_spread([answer.staleness_s for answer in answers]),
        waited_s=_spread([answer.waited_s for answer in answers]),
        context_tokens=sum(answer.context_tokens for answer in answers) / len(answers),
        evicted_frames=sum(answer.evicted_frames for answer in answers) / len(answers),
        after_end=sum(answer.after_end for answer in answers),
        same_as_refill=share(same) if same and mode != "refill" else None,
        extra=extra,
    )


def _task(verdicts: Sequence[Verdict]) -> TaskScore:
    official = [verdict.official for verdict in verdicts if verdict.official is not None]
    strict = share([verdict.strict for verdict in verdicts])
    return TaskScore(len(verdicts), len(official), share(official) if official else None, strict)


def _spread(values: Sequence[float]) -> dict[str, Estimate]:
    return {"p50": quantile(values, 0.5), "p95": quantile(values, 0.95)}


@dataclass(frozen=True, slots=True)
class BenchmarkReport:
    """A whole run. `settings`: all that answers depend on; `conditions`: commit, hardware, command."""

    name: str
    settings: Mapping[str, Any]
    conditions: Mapping[str, str]
    videos: int
    missing: tuple[str, ...]
    modes: tuple[ModeScore, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "benchmark": self.name,
            "settings": dict(self.settings),
            "conditions": dict(self.conditions),
            "videos": self.videos,
            "missing_videos": list(self.missing),
            "notes": list(self.notes),
            "modes": [asdict(mode) for mode in self.modes],
        }

    @property
    def title(self) -> str:
        """One line."""
        asked = sum(score.asked for score in self.modes[0].tasks.values()) if self.modes else 0
        return f"{self.name}: {asked} questions about {self.videos} videos, model {self.settings['model']}"

    def to_table(self) -> Table:
        """Both totals and medians of times by mode, for a terminal of eighty characters."""
        table = Table(
            title=self.title, caption=LEGEND, caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0)
        )
        for column in IN_TERMINAL:
            table.add_column(column, justify="left" if column == "mode" else "right", no_wrap=True)
        for mode in self.modes:
            medians = (mode.first_token_ms["p50"].value, mode.staleness_s["p50"].value)
            told = dict(zip(SUMMARY, _summary(mode), strict=True))
            told |= {"token, ms": f"{medians[0]:.1f}", "stale, s": f"{medians[1]:.2f}"}
            table.add_row(*(told[column] for column in IN_TERMINAL))
        return table

    def to_markdown(self) -> str:
        """Totals and times by mode, then every task."""
        lines = [f"# {self.title}", "", *_rows(SUMMARY, [_summary(mode) for mode in self.modes]), "", LEGEND + ".", ""]
        head = ["task", "asked", *(f"{mode.mode}, {which}" for mode in self.modes for which in ("official", "strict"))]
        lines += _rows(head, [self._task_row(task) for task in self.modes[0].tasks])
        for which in self.modes[0].categories:
            cells = [
                _percent(found.get(which)) for mode in self.modes for found in (mode.categories, mode.strict_categories)
            ]
            lines.append(f"| **{which}** | | " + " | ".join(cells) + " |")
        lines += ["", *(f"- {note}" for note in self.notes)]
        told = {**self.settings, **self.conditions}
        return "\n".join([*lines, "", *(f"- {name}: {value}" for name, value in told.items()), ""])

    def _task_row(self, task: str) -> list[str]:
        scores = [mode.tasks[task] for mode in self.modes]
        cells = [_share(found) for score in scores for found in (score.official, score.strict)]
        return [task, str(scores[0].asked), *cells]


SUMMARY = (
    "mode",
    "official",
    "strict",
    "first token, ms",
    "staleness, s",
    "waited, s",
    "tokens",
    "evicted",
    "= refill",
)
IN_TERMINAL = ("mode", "official", "strict", "token, ms", "stale, s", "tokens", "evicted", "= refill")

LEGEND = (
    "official: the benchmark's own matching and averages; strict: the answer says the right thing and nothing else. "
    "Times are medians / 95 %: to the first token on the device; how old the newest frame seen was when it came, and "
    "how long the question waited, if the video were live. tokens and evicted frames: means at the question. = refill: "
    "answers word for word those of computing everything anew. In brackets 95 % intervals"
)


def _summary(mode: ModeScore) -> list[str]:
    same = "–" if mode.same_as_refill is None else f"{mode.same_as_refill.value:.0%}"
    return [
        mode.mode,
        _percent(mode.total),
        _percent(mode.strict_total),
        _pair(mode.first_token_ms, 1),
        _pair(mode.staleness_s, 2),
        _pair(mode.waited_s, 2),
        f"{mode.context_tokens:.0f}",
        f"{mode.evicted_frames:.0f}",
        same,
    ]


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|---" * len(head) + "|", *("| " + " | ".join(row) + " |" for row in rows)]


def _pair(spread: Mapping[str, Estimate], digits: int) -> str:
    return f"{spread['p50'].value:.{digits}f} / {spread['p95'].value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def _share(found: Estimate | None) -> str:
    return "–" if found is None else f"{found.value:.0%} ({100 * found.low:.0f}–{100 * found.high:.0f})"
