"""Recorded flights on disk: shards by name, written in parallel, loaded as one.

It knows nothing of what they are for.
"""

from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from stillwing_lab.pilot.rollout import Frames, Policy, expert_policy, headlong_policy, record_shard

SCENES_PER_SHARD = 25
_EXPERT_SALT, _HEADLONG_SALT = 1, 2
_HEADLONG_FIRST_SEED = 200_000


def shard_path(folder: Path, kind: str, first: int, last: int) -> Path:
    """Where the flights through scenes `first` up to `last` (exclusive) of one kind are kept."""
    return folder / f"{kind}-{first:06d}-{last:06d}.npz"


def record_flights(
    folder: Path,
    kind: str,
    seeds: range,
    salt: int,
    policy_of: Callable[[np.random.Generator], Policy],
    workers: int,
    on_shard: Callable[[int, int], None],
) -> list[Path]:
    """Record the shards that are missing in `workers` processes; `on_shard(done, total)` is called after each.

    `policy_of` must pickle. The same seeds and salt give the same flights, however many workers there are.
    """
    starts = range(seeds.start, seeds.stop, SCENES_PER_SHARD)
    blocks = [range(start, min(start + SCENES_PER_SHARD, seeds.stop)) for start in starts]
    paths = [shard_path(folder, kind, block.start, block.stop) for block in blocks]
    missing = [(path, block) for path, block in zip(paths, blocks, strict=True) if not path.exists()]
    if missing:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            futures: list[Future[None]] = [
                pool.submit(record_shard, path, block, salt, policy_of) for path, block in missing
            ]
            for done, future in enumerate(futures, start=len(paths) - len(missing) + 1):
                future.result()
                on_shard(done, len(paths))
    return paths


def record_expert_flights(folder: Path, scenes: int, workers: int, on_shard: Callable[[int, int], None]) -> list[Path]:
    """The expert's flights through meadows 0 up to `scenes`."""
    return record_flights(folder, "expert", range(scenes), _EXPERT_SALT, expert_policy, workers, on_shard)


def record_headlong_flights(
    folder: Path, scenes: int, workers: int, on_shard: Callable[[int, int], None]
) -> list[Path]:
    """Flights straight at the goal through as many further meadows."""
    seeds = range(_HEADLONG_FIRST_SEED, _HEADLONG_FIRST_SEED + scenes)
    return record_flights(folder, "headlong", seeds, _HEADLONG_SALT, headlong_policy, workers, on_shard)


def load_flights(paths: list[Path]) -> Frames:
    """All shards as one."""
    return Frames.join([Frames.load(path) for path in paths])
