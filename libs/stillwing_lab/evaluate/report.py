"""What an evaluation found: one row for each way of flying, with intervals, as a table, as Markdown and as JSON.

It knows nothing of how episodes are flown.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from stillwing_lab.evaluate.episode import EpisodeResult
from stillwing_lab.evaluate.statistics import Estimate, mean, quantile, ratio, share


@dataclass(frozen=True, slots=True)
class Row:
    """One way of flying over all episodes, every figure with its 95 % interval.

    `success`, `collided` and `oracle_success` are shares of the episodes; `collisions_per_100_m` is of the way flown;
    `distance_m` to the goal at the end (navigation error); `think_ms_p50` and `_p95` of the real time an answer took,
    None where no model was asked; `think_share` of simulated time; `drift_m` the worst stretch of thinking of an
    episode; `refusals` by the bridge in an episode.
    """

    policy: str
    model: str
    mode: str
    memory: str
    episodes: int
    success: Estimate
    collided: Estimate
    oracle_success: Estimate
    collisions_per_100_m: Estimate
    distance_m: Estimate
    spl: Estimate
    decisions: Estimate
    refusals: Estimate
    think_ms_p50: Estimate | None
    think_ms_p95: Estimate | None
    think_share: Estimate
    drift_m: Estimate
    spl_max: float
    ends: dict[str, int]

    @property
    def name(self) -> str:
        """The policy, with mode and memory where they are not the usual."""
        unusual = [word for word in (self.mode, self.memory) if word not in ("–", "coupled", "window")]
        return ", ".join([self.policy, *unusual])


def row_of(
    policy: str, model: str, results: Sequence[EpisodeResult], *, mode: str = "coupled", memory: str = "window"
) -> Row:
    """Sum up one way's episodes (at least one)."""
    think_ms = [1000 * seconds for result in results for seconds in result.think_s]
    ends: dict[str, int] = {}
    for result in results:
        ends[result.end] = ends.get(result.end, 0) + 1
    return Row(
        policy=policy,
        model=model,
        mode=mode,
        memory=memory,
        episodes=len(results),
        success=share([result.success for result in results]),
        collided=share([result.collided for result in results]),
        oracle_success=share([result.oracle_success for result in results]),
        collisions_per_100_m=ratio([result.collisions for result in results], [r.path_m / 100 for r in results]),
        distance_m=mean([result.distance_m for result in results]),
        spl=mean([result.spl for result in results]),
        decisions=mean([result.decisions for result in results]),
        refusals=mean([result.refusals for result in results]),
        think_ms_p50=quantile(think_ms, 0.5) if think_ms else None,
        think_ms_p95=quantile(think_ms, 0.95) if think_ms else None,
        think_share=ratio([result.thinking_s for result in results], [r.simulated_s for r in results]),
        drift_m=mean([result.drift_m for result in results]),
        spl_max=max(result.spl for result in results),
        ends=ends,
    )


@dataclass(frozen=True, slots=True)
class Report:
    """A whole evaluation. `conditions` is what it ran under: commit, hardware, versions, command."""

    scene: str
    first_seed: int
    max_decisions: int
    rows: tuple[Row, ...]
    episodes: dict[str, tuple[EpisodeResult, ...]]
    elapsed_s: float
    conditions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; tracks are left out, they lie beside it."""
        return {
            "scene": self.scene,
            "first_seed": self.first_seed,
            "max_decisions": self.max_decisions,
            "elapsed_s": round(self.elapsed_s, 1),
            "conditions": dict(self.conditions),
            "rows": [asdict(row) for row in self.rows],
            "episodes": {
                name: [_without_track(result) for result in results] for name, results in self.episodes.items()
            },
        }

    def to_markdown(self) -> str:
        """As a Markdown table with its heading."""
        lines = [f"# {self.title}", "", "| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
        lines += ["| " + " | ".join(cells(row)) + " |" for row in self.rows]
        told = [f"- {name}: {value}" for name, value in self.conditions.items()]
        return "\n".join([*lines, "", LEGEND, "", *told, ""])

    def to_table(self) -> Table:
        """For a terminal."""
        table = Table(
            title=self.title, caption=LEGEND, caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1)
        )
        shown = [COLUMNS.index(column) for column in _IN_TERMINAL]
        for index in shown:
            table.add_column(COLUMNS[index], justify="left" if index == 0 else "right", no_wrap=True)
        for row in self.rows:
            told = cells(row)
            table.add_row(*(told[index] for index in shown))
        return table

    def save(self, folder: Path) -> None:
        """Write `report.json` and `report.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(self.to_markdown(), encoding="utf-8")

    @property
    def title(self) -> str:
        """One line."""
        count = self.rows[0].episodes if self.rows else 0
        models = sorted({row.model for row in self.rows} - {"–", "random"})
        flown = f", model {', '.join(models)}" if models else ""
        return f"{self.scene}: {count} unseen scenes, seeds from {self.first_seed}{flown}"


COLUMNS = (
    "policy", "success", "collided", "per 100 m", "ever near", "error, m", "SPL", "decisions", "refused",
    "answer p50/p95, ms", "thinking", "drift, m",
)  # fmt: skip
_IN_TERMINAL = ("policy", "success", "collided", "error, m", "decisions", "refused", "thinking")
"""What fits eighty characters."""

LEGEND = (
    "success: ended by the pilot itself within 3.2 m of the named beacon, untouched; ever near: within 3.2 m at any "
    "time; error: distance to it at the end; thinking: share of the flight; drift: worst stretch of thinking of a "
    "flight. In brackets 95 % intervals (Wilson, bootstrap); other figures are means with half the width of theirs"
)


def cells(row: Row) -> list[str]:
    """One row of the table, in the order of `COLUMNS`."""
    think = "–"
    if row.think_ms_p50 is not None and row.think_ms_p95 is not None:
        think = f"{row.think_ms_p50.value:.0f} / {row.think_ms_p95.value:.0f}"
    return [
        row.name,
        _share(row.success),
        _share(row.collided),
        _mean(row.collisions_per_100_m, 1),
        _share(row.oracle_success),
        _mean(row.distance_m, 1),
        f"{_mean(row.spl, 2)}, max {row.spl_max:.2f}",
        _mean(row.decisions, 1),
        _mean(row.refusals, 1),
        think,
        f"{row.think_share.value:.0%}",
        _mean(row.drift_m, 2),
    ]


def _share(found: Estimate) -> str:
    return f"{found.value:.0%} ({100 * found.low:.0f}–{100 * found.high:.0f})"


def _mean(found: Estimate, digits: int) -> str:
    return f"{found.value:.{digits}f} ±{(found.high - found.low) / 2:.{digits}f}"


def _without_track(result: EpisodeResult) -> dict[str, Any]:
    stored = {name: value for name, value in asdict(result).items() if name != "track"}
    return {**stored, "spl": result.spl, "oracle_success": result.oracle_success}
