"""Runs the memory experiment with a progress bar, resumable, and stores figures, table and plots."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from stillwing_airfield.scenes.base import build_scene
from stillwing_common.errors import InvalidInput
from stillwing_lab.evaluate.jobs import Job, Ledger
from stillwing_lab.evaluate.memory_experiment import ARMS, POSITIONS, Cell, Findings, Plan, findings
from stillwing_lab.evaluate.memory_plot import draw_memory, draw_positions
from stillwing_lab.evaluate.run import Where, bars, conditions, fly_missing
from stillwing_lab.evaluate.ways import READER
from stillwing_lab.experiments.report import results_folder
from stillwing_training.pilot.config import FIRST_UNSEEN_SEED
from stillwing_training.statistics import Estimate
from stillwing_vlm.core.catalog import PILOT_WINDOW_FRAMES

_DPI = 140
_WORTH_IT = 0.05
"""By so much kept keys and values have to win over pictures to be worth their memory."""


def main(
    plan: Plan,
    where: Where,
    *,
    out: Path | None = None,
    keep: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Fly the plan, store it (an `out` that holds part of it is gone on with), print the table; the folder.

    `keep`, a path without an ending, gets JSON, Markdown and plots for a repository. Raises InvalidInput,
    UnknownBackend, ModelNotUsable, StoreUnavailable.
    """
    if plan.first_seed < FIRST_UNSEEN_SEED or plan.episodes < 1:
        raise InvalidInput(f"at least one episode, of unseen seeds, which begin at {FIRST_UNSEEN_SEED}", field="seed")
    mazes, meadows = plan.memory_jobs(), plan.position_jobs()
    _check([job for jobs in (*mazes.values(), *meadows.values()) for job in jobs])
    folder = results_folder("memory", out)
    began_s = time.monotonic()
    lines = {job: f"{name}, {corridor_m:g} m" for (name, corridor_m), jobs in mazes.items() for job in jobs}
    lines |= {job: f"{name}, {chunks} frames before" for (name, chunks), jobs in meadows.items() for job in jobs}
    totals: dict[str, int] = {}
    for line in lines.values():
        totals[line] = totals.get(line, 0) + 1
    ledger = Ledger(folder / "episodes.jsonl")
    with bars(totals, lambda job: lines[job]) as on_episode:
        done = fly_missing(_turn_about(list(lines), plan.episodes), where, ledger, on_episode)
    found = findings(plan, done)
    about = {**conditions(), "elapsed_s": round(time.monotonic() - began_s, 1), "plan": asdict(plan)}
    for stem in (folder / "memory", *((keep,) if keep else ())):
        _save(stem, found, about, plan)
    if as_json:
        print(json.dumps({**about, **found.to_json()}))
        return folder
    console = Console(highlight=False, markup=False)
    console.print(_table(found))
    console.print("\n".join(verdicts(found)), soft_wrap=True)
    positions = ", -positions.png" if found.positions else ""
    console.print(f"stored in {keep or folder / 'memory'}: .json, .md, .png{positions}", soft_wrap=True)
    return folder


def _check(jobs: list[Job]) -> None:
    """Every way and every scene, before anything flies. Raises InvalidInput, UnknownBackend."""
    for job in jobs:
        job.way.check()
    for scene, seed in {job.scene: job.seed for job in jobs}.items():
        build_scene(scene, seed)


def _turn_about(jobs: Sequence[Job], episodes: int) -> list[Job]:
    """Seed by seed over all memories, so that a run that is stopped early has something of everything."""
    return [job for index in range(episodes) for job in jobs[index::episodes]]


def _save(stem: Path, found: Findings, about: dict[str, object], plan: Plan) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".json").write_text(json.dumps({**about, **found.to_json()}, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(to_markdown(found, about), encoding="utf-8")
    by = (
        "a reader that misses nothing" if plan.policy == READER else f"the model {Path(plan.model).name}, {plan.policy}"
    )
    draw_memory(found, PILOT_WINDOW_FRAMES, by).savefig(stem.with_suffix(".png"), dpi=_DPI)
    if found.positions:
        draw_positions(found).savefig(stem.with_name(f"{stem.name}-positions.png"), dpi=_DPI)


def verdicts(found: Findings) -> list[str]:
    """What the figures say, in words."""
    gain = found.kept_gain
    told = f"{100 * gain.value:+.0f} points ({100 * gain.low:+.0f} to {100 * gain.high:+.0f})"
    worth = gain.low > 0 and gain.value >= _WORTH_IT
    return [
        f"Kept keys and values against pictures encoded again: {told}: "
        f"{'worth their memory' if worth else 'not worth their memory, pictures are enough'}."
    ]


def _head(found: Findings) -> list[tuple[float, str]]:
    corridors = {cell.corridor_m: cell.chunks for cell in found.cells}
    return [
        (corridor_m, f"{corridor_m:g} m, " + ("sign never passed" if chunks is None else f"{chunks:.0f} frames ago"))
        for corridor_m, chunks in sorted(corridors.items())
    ]


def _rows(found: Findings) -> list[list[str]]:
    by = {(cell.memory, cell.corridor_m): cell for cell in found.cells}
    return [[memory, *(_told(by[memory, corridor_m]) for corridor_m, _ in _head(found))] for memory in ARMS]


def _told(cell: Cell) -> str:
    return f"{_share(cell.success)}, wrong way {cell.wrong_way.value:.0%}"


def _share(one: Estimate) -> str:
    return f"{one.value:.0%} ({100 * one.low:.0f}–{100 * one.high:.0f})"


def _table(found: Findings) -> Table:
    table = Table(title="Maze: reached, by memory and corridor", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
    for index, head in enumerate(["memory", *(told.replace(", ", "\n") for _, told in _head(found))]):
        table.add_column(head, justify="left" if index == 0 else "right")
    for row in _rows(found):
        table.add_row(*(cell.replace(", wrong", "\nwrong") for cell in row))
    return table


def to_markdown(found: Findings, about: dict[str, object]) -> str:
    """Both tables, the verdicts, and what it was measured with."""
    head = ["memory", *(told for _, told in _head(found))]
    lines = ["# What memory is worth in the maze", "", _bar(head), "|---" * len(head) + "|"]
    lines += [_bar(row) for row in _rows(found)]
    lines += ["", _LEGEND, "", *verdicts(found), ""]
    if found.positions:
        lines += _positions(found)
    return "\n".join([*lines, *(f"- {name}: {value}" for name, value in about.items()), ""])


_LEGEND = (
    "Reached, with 95 % intervals (Wilson); the way from start to turn, and how many frames before the turn the sign "
    "was last in view (median). Wrong way: ended round the other corner."
)


def _positions(found: Findings) -> list[str]:
    lines = ["# Positions after long streams", "", _bar(["frames before", *POSITIONS]), "|---|---|---|"]
    by = {(cell.positions, cell.idle_chunks): cell.success for cell in found.positions}
    for chunks in sorted({cell.idle_chunks for cell in found.positions}):
        lines.append(_bar([str(chunks), *(_share(by[name, chunks]) for name in POSITIONS)]))
    return [*lines, ""]


def _bar(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
