"""Runs an evaluation: every way of flying over the same unseen scenes, resumable, with a progress bar, into a report.

It knows nothing of how an episode is flown.
"""

import json
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stillwing_common.conditions import commit, hardware
from stillwing_lab.evaluate.comparison import Comparison
from stillwing_lab.evaluate.episode import EpisodeResult
from stillwing_lab.evaluate.jobs import Job, Ledger, OnEpisode, fly_all, fly_on_ray
from stillwing_lab.evaluate.page import write_page
from stillwing_lab.evaluate.plots import draw_all
from stillwing_lab.evaluate.report import NO_MODEL, Evaluation, Report, row_of
from stillwing_lab.evaluate.ways import RANDOM_WEIGHTS, Way
from stillwing_lab.experiments.run import progress


@dataclass(frozen=True, slots=True)
class Where:
    """Where episodes are flown: `workers` processes here, or on the Ray cluster at `ray` ("" for none)."""

    workers: int = 1
    ray: str = ""


_HERE = Where()


def evaluate(
    comparison: Comparison,
    *,
    where: Where = _HERE,
    ledger: Ledger | None = None,
    on_episode: OnEpisode = lambda job, result: None,
) -> Evaluation:
    """Fly it; `on_episode` is told of each episode as it ends, of those in `ledger` at once.

    Raises as `Comparison.check`, and ModelNotUsable, MissingExtra, StoreUnavailable.
    """
    comparison.check()
    began_s = time.monotonic()
    jobs, chosen = comparison.jobs(), comparison.ways
    done = fly_missing(jobs, where, ledger, on_episode)
    reports = tuple(
        _report(scene, chosen, [job for job in jobs if job.scene == scene], done) for scene in comparison.scenes
    )
    elapsed_s = time.monotonic() - began_s
    return Evaluation(reports, comparison.first_seed, comparison.max_decisions, elapsed_s, conditions())


def fly_missing(
    jobs: Sequence[Job], where: Where, ledger: Ledger | None, on_episode: OnEpisode
) -> dict[Job, EpisodeResult]:
    """The results of all `jobs`: those in `ledger`, and those flown now, which are written down as they come."""
    done = {job: ledger.done[job] for job in jobs if ledger is not None and job in ledger.done}
    for job, result in done.items():
        on_episode(job, result)
    missing = [job for job in jobs if job not in done]
    flown = fly_on_ray(missing, where.ray) if where.ray else fly_all(missing, where.workers)
    for job, result in flown:
        done[job] = result
        if ledger is not None:
            ledger.add(job, result)
        on_episode(job, result)
    return done


def _report(scene: str, chosen: Sequence[Way], jobs: Sequence[Job], done: dict[Job, EpisodeResult]) -> Report:
    rows, episodes = [], {}
    for way in chosen:
        mine = [job for job in jobs if job.way == way]
        results = tuple(done[job] for job in mine)
        rows.append(row_of(way, model_name(mine[0]), results))
        episodes[way.name] = results
    return Report(scene, tuple(rows), episodes)


def model_name(job: Job) -> str:
    """Which model decides, in short."""
    if not job.way.asks_a_model:
        return NO_MODEL
    return "random" if job.policy == RANDOM_WEIGHTS else Path(job.model).name


def conditions() -> dict[str, str]:
    """What figures depend on beside the code: commit, command, machine, versions."""
    found = {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "hardware": hardware(),
        "python": platform.python_version(),
    }
    run_from = commit()
    return {"commit": run_from, **found} if run_from else found


@contextmanager
def bars(totals: Mapping[str, int], line_of: Callable[[Job], str]) -> Iterator[OnEpisode]:
    """A progress bar for each line, `line_of` says to which an episode belongs."""
    bar = Progress(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"), TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip
    with bar:
        tasks = {line: bar.add_task(line, total=total, note="", start=False) for line, total in totals.items()}
        reached = dict.fromkeys(totals, 0)

        def on_episode(job: Job, result: EpisodeResult) -> None:
            line = line_of(job)
            bar.start_task(tasks[line])
            reached[line] += int(result.success)
            bar.update(tasks[line], advance=1, note=f"{reached[line]} reached")

        yield on_episode


def main(
    comparison: Comparison,
    *,
    where: Where = _HERE,
    out: Path | None = None,
    keep: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Evaluate with a progress bar, store the report (default `runs/eval-<scene>-<time>/`), print it; its folder.

    A folder that holds part of the same evaluation is gone on with. `keep` is where the sums go beside, for the
    repository: a path without an ending. With `as_json` stdout carries the report's JSON alone. Raises as `evaluate`
    does.
    """
    families, episodes = comparison.scenes, comparison.episodes
    family = "all" if len(families) > 1 else families[0]
    folder = out or Path("runs") / f"eval-{family}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    if len(families) > 1:
        progressing = bars(dict.fromkeys(families, len(comparison.ways) * episodes), lambda job: job.scene)
    else:
        progressing = bars({way.name: episodes for way in comparison.ways}, lambda job: job.way.name)
    with progressing as on_episode:
        ledger = Ledger(folder / "episodes.jsonl")
        evaluation = evaluate(comparison, where=where, ledger=ledger, on_episode=on_episode)
    evaluation.save(folder)
    kept = evaluation.save_results(keep) if keep is not None else ()
    with progress() as bar:
        pictures = draw_all(evaluation, folder)
        task = bar.add_task("flights to look at", total=None)
        write_page(
            evaluation, folder / "report.html", pictures,
            lambda done, total: bar.update(task, completed=done, total=total),
        )  # fmt: skip
    if as_json:
        print(json.dumps(evaluation.to_json()))
        return folder
    console = Console(markup=False)
    console.print(evaluation.to_table())
    for report in evaluation.reports:
        if (claims := report.to_claims_table()) is not None:
            console.print(claims)
    stored = ["report.html to look at", "report.md", "report.json", *(picture.name for picture in pictures)]
    console.print(f"stored in {folder}: {', '.join(stored)}, episodes.jsonl")
    if kept:
        console.print(f"kept in {' and '.join(str(path) for path in kept)}")
    return folder
