"""What an evaluation found: one row a policy, with intervals, as a table, as Markdown and as JSON.

It knows nothing of how episodes are flown.
"""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from stillwing_lab.evaluate.episode import EpisodeResult

_Z_95 = 1.959964


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    # Rounding must not push the ends past the proportion itself.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


@dataclass(frozen=True, slots=True)
class Row:
    """One policy over all episodes; rates are shares of the episodes, intervals 95 %."""

    policy: str
    model: str
    episodes: int
    success: float
    success_interval: tuple[float, float]
    collided: float
    collided_interval: tuple[float, float]
    decisions_mean: float
    refusals_mean: float
    spl: float
    think_ms_median: float | None
    ends: dict[str, int]


def row_of(policy: str, model: str, results: Sequence[EpisodeResult]) -> Row:
    """Sum up one policy's episodes (at least one)."""
    count = len(results)
    successes = sum(result.success for result in results)
    collisions = sum(result.collided for result in results)
    think_s = [seconds for result in results for seconds in result.think_s]
    ends: dict[str, int] = {}
    for result in results:
        ends[result.end] = ends.get(result.end, 0) + 1
    return Row(
        policy=policy,
        model=model,
        episodes=count,
        success=successes / count,
        success_interval=wilson(successes, count),
        collided=collisions / count,
        collided_interval=wilson(collisions, count),
        decisions_mean=statistics.fmean(result.decisions for result in results),
        refusals_mean=statistics.fmean(result.refusals for result in results),
        spl=statistics.fmean(result.spl for result in results),
        think_ms_median=1000 * statistics.median(think_s) if think_s else None,
        ends=ends,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """A whole evaluation."""

    scene: str
    first_seed: int
    max_decisions: int
    rows: tuple[Row, ...]
    episodes: dict[str, tuple[EpisodeResult, ...]]
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "scene": self.scene,
            "first_seed": self.first_seed,
            "max_decisions": self.max_decisions,
            "elapsed_s": round(self.elapsed_s, 1),
            "rows": [asdict(row) for row in self.rows],
            "episodes": {
                policy: [{**asdict(result), "spl": result.spl} for result in results]
                for policy, results in self.episodes.items()
            },
        }

    def to_markdown(self) -> str:
        """As a Markdown table with its heading."""
        lines = [f"# {self._title()}", "", "| " + " | ".join(_COLUMNS) + " |", "|---" * len(_COLUMNS) + "|"]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in self.rows]
        return "\n".join([*lines, "", _LEGEND, ""])

    def to_table(self) -> Table:
        """For a terminal."""
        table = Table(
            title=self._title(), caption=_LEGEND, caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1)
        )
        for index, column in enumerate(_COLUMNS):
            table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
        for row in self.rows:
            table.add_row(*_cells(row))
        return table

    def save(self, folder: Path) -> None:
        """Write `report.json` and `report.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(self.to_markdown(), encoding="utf-8")

    def _title(self) -> str:
        count = self.rows[0].episodes if self.rows else 0
        models = sorted({row.model for row in self.rows} - {"–", "random"})
        flown = f", model {', '.join(models)}" if models else ""
        return f"{self.scene}: {count} unseen scenes, seeds from {self.first_seed}{flown}"


_COLUMNS = ("policy", "success", "collided", "decisions", "refused", "SPL", "think")
_LEGEND = (
    "success: ended by the pilot itself within 3.2 m of the named beacon, untouched; in brackets 95 % Wilson "
    "intervals; decisions, refused: mean of a mission; think: median of an answer"
)


def _cells(row: Row) -> list[str]:
    return [
        row.policy,
        _share(row.success, row.success_interval),
        _share(row.collided, row.collided_interval),
        f"{row.decisions_mean:.1f}",
        f"{row.refusals_mean:.1f}",
        f"{row.spl:.2f}",
        "–" if row.think_ms_median is None else f"{row.think_ms_median:.0f} ms",
    ]


def _share(share: float, interval: tuple[float, float]) -> str:
    return f"{share:.0%} ({100 * interval[0]:.0f}–{100 * interval[1]:.0f})"
