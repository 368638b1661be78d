"""Recorded flights on disk: shards by name, written in parallel, through scenes and by policies that a plan names."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from stillwing_training.pilot.config import TrainingPlan
from stillwing_training.pilot.flights import Policy, expert_policy, headlong_policy, record_shard, wandering_policy

SCENES_PER_SHARD = 25

Bar = Callable[[str], Callable[[int, int], None]]
"""Begins a bar with a text, and returns what moves it: done, of how many."""


def shard_path(folder: Path, kind: str, scene: str, first: int, last: int) -> Path:
    """Where the flights of one kind through `scene`, seeds `first` up to `last` (exclusive), are kept."""
    return folder / f"{kind}-{scene}-{first:06d}-{last:06d}.npz"


def record_flights(
    folder: Path,
    kind: str,
    scenes: Mapping[str, int],
    first_seed: int,
    salt: int,
    policy_of: Callable[[np.random.Generator], Policy],
    workers: int,
    on_shard: Callable[[int, int], None],
) -> list[Path]:
    """Record the shards that are missing in `workers` processes; `on_shard(done, total)` is called after each.

    `scenes` says through how many seeds of each family, from `first_seed` on. `policy_of` must pickle. The same scenes
    and salt give the same flights, however many workers there are.
    """
    jobs: list[tuple[Path, str, range]] = []
    for scene, count in scenes.items():
        for start in range(first_seed, first_seed + count, SCENES_PER_SHARD):
            block = range(start, min(start + SCENES_PER_SHARD, first_seed + count))
            jobs.append((shard_path(folder, kind, scene, block.start, block.stop), scene, block))
    missing = [job for job in jobs if not job[0].exists()]
    if missing:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures: list[Future[None]] = [
                pool.submit(record_shard, path, scene, block, salt, policy_of) for path, scene, block in missing
            ]
            for done, future in enumerate(futures, start=len(jobs) - len(missing) + 1):
                future.result()
                on_shard(done, len(jobs))
    return [path for path, _, _ in jobs]


def record_planned_flights(folder: Path, plan: TrainingPlan, workers: int, bar: Bar) -> list[Path]:
    """The flights that a training begins with, of three ways of flying through seeds of their own."""
    return [
        path
        for kind, scenes, first_seed, salt, policy_of, text in (
            ("expert", plan.scenes, 0, 1, expert_policy, "record the expert's flights"),
            ("headlong", plan.headlong_scenes, 200_000, 2, headlong_policy, "record flights blind to trees"),
            ("wandering", plan.wandering_scenes, 300_000, 3, wandering_policy, "record flights off course"),
        )
        if any(scenes.values())
        for path in record_flights(folder, kind, scenes, first_seed, salt, policy_of, workers, bar(text))
    ]
