"""Runs an evaluation: every way of flying over the same unseen scenes, resumable, with a progress bar, into a report.

It knows nothing of how an episode is flown.
"""

import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stillwing_airfield.scenes.base import build_scene
from stillwing_common.errors import InvalidInput
from stillwing_lab.evaluate.episode import MAX_DECISIONS, EpisodeResult
from stillwing_lab.evaluate.jobs import POLICIES, RANDOM_WEIGHTS, Job, Ledger, OnEpisode, fly_all, fly_on_ray
from stillwing_lab.evaluate.page import write_page
from stillwing_lab.evaluate.report import Report, row_of

FIRST_UNSEEN_SEED = 1_000_000
"""Scenes from here on are for evaluation alone; training draws below."""

_UNUSED = "–"


@dataclass(frozen=True, slots=True)
class Where:
    """Where episodes are flown: `workers` processes here, or on the Ray cluster at `ray` ("" for none)."""

    workers: int = 1
    ray: str = ""


_HERE = Where()


def evaluate(
    scene: str = "meadow",
    episodes: int = 40,
    policies: Sequence[str] = POLICIES,
    *,
    modes: Sequence[str] = ("coupled",),
    memories: Sequence[str] = ("window",),
    model: str = "pilot",
    first_seed: int = FIRST_UNSEEN_SEED,
    max_decisions: int = MAX_DECISIONS,
    thinking_s: float | None = 0.05,
    where: Where = _HERE,
    ledger: Ledger | None = None,
    on_episode: OnEpisode = lambda job, result: None,
) -> Report:
    """Fly `episodes` unseen scenes each way; `on_episode` is told of each as it ends, of those in `ledger` at once.

    Raises UnknownBackend for a policy or memory, UnknownScene for a scene that is not known, InvalidInput for no
    episodes or seen seeds or an unknown mode, ModelNotUsable, MissingExtra.
    """
    if episodes < 1:
        raise InvalidInput("an evaluation flies at least one episode", field="episodes")
    if first_seed < FIRST_UNSEEN_SEED:
        raise InvalidInput(f"unseen seeds begin at {FIRST_UNSEEN_SEED}", field="first_seed")
    build_scene(scene, first_seed)
    began_s = time.monotonic()
    ways = _ways(policies, modes, memories)
    jobs = [
        Job(policy, scene, seed, mode, memory, model, max_decisions, thinking_s)
        for policy, mode, memory in ways
        for seed in range(first_seed, first_seed + episodes)
    ]
    for job in jobs[::episodes]:
        job.check()
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
    return _report(jobs, done, scene, first_seed, max_decisions, time.monotonic() - began_s)


def _ways(policies: Sequence[str], modes: Sequence[str], memories: Sequence[str]) -> list[tuple[str, str, str]]:
    """Who flies how; those that ask no model think in no time and remember nothing, so they fly one way only."""
    ways = []
    for policy in policies:
        if Job(policy, "", 0).asks_a_model:
            ways += [(policy, mode, memory) for mode in modes for memory in memories]
        else:
            ways.append((policy, modes[0], memories[0]))
    return ways


def _report(
    jobs: Sequence[Job],
    done: dict[Job, EpisodeResult],
    scene: str,
    first_seed: int,
    max_decisions: int,
    elapsed_s: float,
) -> Report:
    rows, episodes = [], {}
    for policy, mode, memory in dict.fromkeys((job.policy, job.mode, job.memory) for job in jobs):
        mine = [job for job in jobs if (job.policy, job.mode, job.memory) == (policy, mode, memory)]
        results = tuple(done[job] for job in mine)
        if mine[0].asks_a_model:
            model = "random" if policy == RANDOM_WEIGHTS else Path(mine[0].model).name
            row = row_of(policy, model, results, mode=mode, memory=memory)
        else:
            row = row_of(policy, _UNUSED, results, mode=_UNUSED, memory=_UNUSED)
        rows.append(row)
        episodes[row.name] = results
    return Report(scene, first_seed, max_decisions, tuple(rows), episodes, elapsed_s, conditions())


def conditions() -> dict[str, str]:
    """What figures depend on beside the code: commit, command, machine, versions."""
    found = {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "hardware": f"{_processor()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
    }
    commit = _commit()
    return {"commit": commit, **found} if commit else found


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    try:
        told = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()


@contextmanager
def _bars(ways: Sequence[tuple[str, str, str]], episodes: int) -> Iterator[OnEpisode]:
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(), TimeRemainingColumn(), console=Console(stderr=True),
    )  # fmt: skip
    with bar:
        tasks = {way: bar.add_task(", ".join(way), total=episodes, note="", start=False) for way in ways}
        reached = dict.fromkeys(ways, 0)

        def on_episode(job: Job, result: EpisodeResult) -> None:
            way = (job.policy, job.mode, job.memory)
            bar.start_task(tasks[way])
            reached[way] += int(result.success)
            bar.update(tasks[way], advance=1, note=f"{reached[way]} reached")

        yield on_episode


def main(
    scene: str = "meadow",
    episodes: int = 40,
    policies: Sequence[str] = POLICIES,
    *,
    modes: Sequence[str] = ("coupled",),
    memories: Sequence[str] = ("window",),
    model: str = "pilot",
    first_seed: int = FIRST_UNSEEN_SEED,
    thinking_s: float | None = 0.05,
    where: Where = _HERE,
    out: Path | None = None,
    as_json: bool = False,
) -> Path:
    """Evaluate with a progress bar, store the report (default `runs/eval-<scene>-<time>/`), print it; its folder.

    A folder that holds part of the same evaluation is gone on with. With `as_json` stdout carries the report's JSON
    alone. Raises as `evaluate` does.
    """
    folder = out or Path("runs") / f"eval-{scene}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    with _bars(_ways(policies, modes, memories), episodes) as on_episode:
        report = evaluate(
            scene, episodes, policies,
            modes=modes, memories=memories, model=model, first_seed=first_seed, thinking_s=thinking_s, where=where,
            ledger=Ledger(folder / "episodes.jsonl"), on_episode=on_episode,
        )  # fmt: skip
    report.save(folder)
    write_page(report, folder / "report.html")
    if as_json:
        print(json.dumps(report.to_json()))
        return folder
    console = Console()
    console.print(report.to_table())
    console.print(f"stored in {folder}: report.html to look at, report.md, report.json, episodes.jsonl")
    return folder
