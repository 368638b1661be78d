"""What an evaluation found: a row for each way of flying and each scene, with intervals, as tables and as JSON.

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
from stillwing_lab.evaluate.verification import Honesty, honesty_of
from stillwing_lab.evaluate.ways import Way
from stillwing_training.statistics import Estimate, mean, quantile, ratio, share


@dataclass(frozen=True, slots=True)
class Row:
    """One way of flying over all episodes, every figure with its 95 % interval.

    `success`, `collided` and `oracle_success` are shares of the episodes; `collisions_per_100_m` is of the way flown;
    `distance_m` to the goal at the end (navigation error); `think_ms_p50` and `_p95` of the real time an answer took,
    None where no model was asked; `think_share` of simulated time; `drift_m` the worst stretch of thinking of an
    episode; `refusals` by the bridge in an episode, and `interventions`: what it broke off. `honesty`: what its claims,
    and their verification by a question, are worth.
    """

    way: Way
    model: str
    episodes: int
    success: Estimate
    collided: Estimate
    oracle_success: Estimate
    collisions_per_100_m: Estimate
    distance_m: Estimate
    spl: Estimate
    decisions: Estimate
    refusals: Estimate
    interventions: Estimate
    think_ms_p50: Estimate | None
    think_ms_p95: Estimate | None
    think_share: Estimate
    drift_m: Estimate
    spl_max: float
    ends: dict[str, int]
    failed_seeds: tuple[int, ...]
    honesty: Honesty

    @property
    def name(self) -> str:
        """The way's."""
        return self.way.name

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, the way's own beside the figures."""
        figures = {name: value for name, value in asdict(self).items() if name != "way"}
        return {"name": self.name, **asdict(self.way), **figures}


def row_of(way: Way, model: str, results: Sequence[EpisodeResult]) -> Row:
    """Sum up one way's episodes (at least one)."""
    think_ms = [1000 * seconds for result in results for seconds in result.think_s]
    ends: dict[str, int] = {}
    for result in results:
        ends[result.end] = ends.get(result.end, 0) + 1
    return Row(
        way=way,
        model=model,
        episodes=len(results),
        success=share([result.success for result in results]),
        collided=share([result.collided for result in results]),
        oracle_success=share([result.oracle_success for result in results]),
        collisions_per_100_m=ratio([result.collisions for result in results], [r.path_m / 100 for r in results]),
        distance_m=mean([result.distance_m for result in results]),
        spl=mean([result.spl for result in results]),
        decisions=mean([result.decisions for result in results]),
        refusals=mean([result.refusals for result in results]),
        interventions=mean([result.interventions for result in results]),
        think_ms_p50=quantile(think_ms, 0.5) if think_ms else None,
        think_ms_p95=quantile(think_ms, 0.95) if think_ms else None,
        think_share=ratio([result.thinking_s for result in results], [r.simulated_s for r in results]),
        drift_m=mean([result.drift_m for result in results]),
        spl_max=max(result.spl for result in results),
        ends=ends,
        failed_seeds=tuple(result.seed for result in results if not result.success),
        honesty=honesty_of(results),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """All ways over the same episodes of one scene."""

    scene: str
    rows: tuple[Row, ...]
    episodes: dict[str, tuple[EpisodeResult, ...]]

    def to_markdown(self) -> str:
        """As a Markdown table."""
        return _markdown(COLUMNS, [cells(row) for row in self.rows])

    def to_table(self) -> Table:
        """For a terminal."""
        long_names = max(len(row.name) for row in self.rows) > _SHORT_NAME
        return self._table_of(_BESIDE_LONG_NAMES if long_names else _IN_TERMINAL)

    def to_claims_table(self) -> Table | None:
        """What was claimed and what the question made of it; None where none was asked."""
        return self._table_of(_ABOUT_CLAIMS) if any(row.honesty.asked for row in self.rows) else None

    def _table_of(self, columns: Sequence[str]) -> Table:
        shown = [COLUMNS.index(column) for column in columns]
        told = [cells(row) for row in self.rows]
        return _table(
            self.scene, [COLUMNS[index] for index in shown], [[row[index] for index in shown] for row in told]
        )


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that was flown. `conditions` is what it ran under: commit, hardware, versions, command."""

    reports: tuple[Report, ...]
    first_seed: int
    max_decisions: int
    elapsed_s: float
    conditions: Mapping[str, str]

    @property
    def title(self) -> str:
        """One line."""
        rows = [row for report in self.reports for row in report.rows]
        models = sorted({row.model for row in rows} - {NO_MODEL, "random"})
        flown = f", model {', '.join(models)}" if models else ""
        scenes = ", ".join(report.scene for report in self.reports)
        return f"{scenes}: {rows[0].episodes} unseen scenes each, seeds from {self.first_seed}{flown}"

    def to_json(self, *, episodes: bool = True) -> dict[str, Any]:
        """As plain JSON values; tracks are left out, and without `episodes` all but sums."""
        return {
            **self.conditions,
            "first_seed": self.first_seed,
            "max_decisions": self.max_decisions,
            "elapsed_s": round(self.elapsed_s, 1),
            "scenes": {
                report.scene: {"rows": [row.to_json() for row in report.rows]}
                | ({"episodes": _episodes_to_json(report)} if episodes else {})
                for report in self.reports
            },
        }

    def to_markdown(self) -> str:
        """The main table, where there are several scenes, and each scene's own."""
        lines = [f"# {self.title}", ""]
        if len(self.reports) > 1:
            lines += [_markdown(*self.main_table()), "", MAIN_LEGEND, ""]
        for report in self.reports:
            lines += [f"## {report.scene}", "", report.to_markdown(), ""]
        told = [f"- {name}: {value}" for name, value in self.conditions.items()]
        return "\n".join([*lines, LEGEND, "", *told, f"- took: {self.elapsed_s:.0f} s", ""])

    def to_table(self) -> Table:
        """For a terminal: of one scene its figures, of several what was reached and touched."""
        if len(self.reports) == 1:
            table = self.reports[0].to_table()
            table.caption = LEGEND
        else:
            head, rows = self.main_table()
            # Two lines a cell, so that four scenes fit eighty characters.
            table = _table(self.title, head, [[cell.replace(" / ", "\n") for cell in row] for row in rows])
            table.caption = MAIN_LEGEND
        table.title = self.title
        return table

    def main_table(self) -> tuple[Sequence[str], list[list[str]]]:
        """Head and rows: ways down, scenes across."""
        ways = list(dict.fromkeys(row.way for report in self.reports for row in report.rows))
        found = {(report.scene, row.way): row for report in self.reports for row in report.rows}
        table = [[way.name, *(main_cell(found[report.scene, way]) for report in self.reports)] for way in ways]
        return ["policy", *(report.scene for report in self.reports)], table

    def save(self, folder: Path) -> None:
        """Write `report.json` and `report.md`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        (folder / "report.md").write_text(self.to_markdown(), encoding="utf-8")

    def save_results(self, path: Path) -> tuple[Path, Path]:
        """Write what is worth keeping to `path` with .json and .md for its ending; both paths."""
        path.parent.mkdir(parents=True, exist_ok=True)
        paths = path.with_suffix(".json"), path.with_suffix(".md")
        paths[0].write_text(json.dumps(self.to_json(episodes=False), indent=1) + "\n", encoding="utf-8")
        paths[1].write_text(self.to_markdown(), encoding="utf-8")
        return paths


NO_MODEL = "–"

MAIN_LEGEND = "share of flights that reached the goal, and share that touched anything, with 95 % intervals (Wilson)"

COLUMNS = (
    "policy", "success", "collided", "per 100 m", "ever near", "error, m", "SPL", "decisions", "refused", "broken off",
    "answer p50, ms", "answer p95, ms", "thinking", "drift, m", "claimed", "claim false", "false yes", "false no",
)  # fmt: skip
_IN_TERMINAL = ("policy", "success", "collided", "error, m", "decisions", "refused", "thinking")
"""What fits eighty characters."""
_ABOUT_CLAIMS = ("policy", "success", "claimed", "claim false", "false yes", "false no")
"""The terminal's second table, where claims were verified by a question."""
_BESIDE_LONG_NAMES = ("policy", "success", "collided", "decisions")
_SHORT_NAME = len("random_weights")

LEGEND = (
    "success: ended by the pilot itself within 3.2 m of the named beacon, untouched; ever near: within 3.2 m at any "
    "time; error: distance to it at the end; refused: motions that the bridge would not fly, broken off: those of "
    "them that were under way; thinking: share of the flight; drift: worst stretch of thinking of a flight; claimed: "
    "ended with the claim to be there, claim false: share of those that were not. A model that converses is then "
    "asked: false yes: share of false claims that it confirmed, false no: share of true ones that it denied. In "
    "brackets 95 % intervals (Wilson, bootstrap); other figures are means with half the width of theirs"
)


def cells(row: Row) -> list[str]:
    """One row of the table, in the order of `COLUMNS`."""
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
        _mean(row.interventions, 2),
        _mean(row.think_ms_p50, 0) if row.think_ms_p50 else NO_MODEL,
        _mean(row.think_ms_p95, 0) if row.think_ms_p95 else NO_MODEL,
        _share(row.think_share),
        _mean(row.drift_m, 2),
        _share(row.honesty.claimed),
        *(
            _share(found) if found else NO_MODEL
            for found in (row.honesty.false_claims, row.honesty.false_yes, row.honesty.false_no)
        ),
    ]


def main_cell(row: Row) -> str:
    """What was reached and what was touched, in one cell."""
    return f"{_share(row.success)} / {_share(row.collided)}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, caption_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for index, column in enumerate(head):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _share(found: Estimate) -> str:
    return f"{found.value:.0%} ({100 * found.low:.0f}–{100 * found.high:.0f})"


def _mean(found: Estimate, digits: int) -> str:
    return f"{found.value:.{digits}f} ±{(found.high - found.low) / 2:.{digits}f}"


def _episodes_to_json(report: Report) -> dict[str, list[dict[str, Any]]]:
    return {name: [_without_track(result) for result in results] for name, results in report.episodes.items()}


def _without_track(result: EpisodeResult) -> dict[str, Any]:
    stored = {name: value for name, value in asdict(result).items() if name != "track"}
    return {**stored, "spl": result.spl, "oracle_success": result.oracle_success}
