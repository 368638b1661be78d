"""Recorded flights on disk: shards by name, written in parallel, loaded as one.

It knows nothing of what they are for.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from stillwing_training.pilot.rollout import (
    Frames,
    Policy,
    expert_policy,
    headlong_policy,
    record_shard,
    wandering_policy,
)

SCENES_PER_SHARD = 25
_EXPERT_SALT, _HEADLONG_SALT, _WANDERING_SALT = 1, 2, 3
_HEADLONG_FIRST_SEED, _WANDERING_FIRST_SEED = 200_000, 300_000


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


def record_expert_flights(
    folder: Path, scenes: Mapping[str, int], workers: int, on_shard: Callable[[int, int], None]
) -> list[Path]:
    """The expert's flights."""
    return record_flights(folder, "expert", scenes, 0, _EXPERT_SALT, expert_policy, workers, on_shard)


def record_headlong_flights(
    folder: Path, scenes: Mapping[str, int], workers: int, on_shard: Callable[[int, int], None]
) -> list[Path]:
    """Flights straight at the goal, through further seeds."""
    return record_flights(
        folder, "headlong", scenes, _HEADLONG_FIRST_SEED, _HEADLONG_SALT, headlong_policy, workers, on_shard
    )


def record_wandering_flights(
    folder: Path, scenes: Mapping[str, int], workers: int, on_shard: Callable[[int, int], None]
) -> list[Path]:
    """Flights of an expert who turns on and on at times, through further seeds."""
    return record_flights(
        folder, "wandering", scenes, _WANDERING_FIRST_SEED, _WANDERING_SALT, wandering_policy, workers, on_shard
    )


def load_flights(paths: list[Path]) -> Frames:
    """All shards as one."""
    return Frames.load_all(paths)
