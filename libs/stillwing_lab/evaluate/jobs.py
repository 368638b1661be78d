"""Episodes as jobs: what is flown by whom and how, carried out in worker processes here or on a Ray cluster.

A job is plain data and so is its result; a worker loads each model once. It knows nothing of reports.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stillwing_agent.core.cockpit import FlightSettings
from stillwing_common.errors import InvalidInput, MissingExtra, UnknownBackend
from stillwing_lab.evaluate.episode import EpisodeResult, fly_episode
from stillwing_lab.evaluate.inline_engine import BlindEngine, InlineEngine, MemoryMode
from stillwing_lab.evaluate.policies import BASELINES, MODEL_POLICIES
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine

RANDOM_WEIGHTS = "random_weights"
"""The tool-calling policy on the model's shape with weights made up."""

POLICIES = ("tool_calling", "choice", RANDOM_WEIGHTS, "random", "always_forward", "hover", "expert")

MODES = ("coupled", "paused")
"""Whether the world goes on while the model thinks."""


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to fly.

    `thinking_s` is how long an answer takes on the simulator's clock in mode "coupled"; None: as long as it really
    takes, which no two machines do alike.
    """

    policy: str
    scene: str
    seed: int
    mode: str = "coupled"
    memory: str = "window"
    model: str = "pilot"
    max_decisions: int = 60
    thinking_s: float | None = 0.05
    threads: int = 1

    def check(self) -> None:
        """Raises UnknownBackend for a policy or a memory that does not exist, InvalidInput for a mode."""
        if self.policy not in POLICIES:
            raise UnknownBackend(f"no policy is called {self.policy!r}; known: {', '.join(POLICIES)}", name=self.policy)
        if self.mode not in MODES:
            raise InvalidInput(f"a mode is {' or '.join(MODES)}, not {self.mode!r}", field="mode")
        MemoryMode.named(self.memory)

    @property
    def asks_a_model(self) -> bool:
        """Whether a model decides."""
        return self.policy not in BASELINES


def fly(job: Job) -> EpisodeResult:
    """Carry out one job in this process. Raises as `Job.check`, ModelNotUsable, UnknownScene."""
    job.check()
    flight = FlightSettings()
    if not job.asks_a_model:
        make = BASELINES[job.policy]
        return fly_episode(job.scene, job.seed, make, BlindEngine(), [], max_decisions=job.max_decisions, flight=flight)
    loaded = _loaded(job.model, job.policy == RANDOM_WEIGHTS, job.threads)
    thinking_s = 0.0 if job.mode == "paused" else job.thinking_s
    engine = InlineEngine(loaded, thinking_s, MemoryMode.named(job.memory))
    make = MODEL_POLICIES["tool_calling" if job.policy == RANDOM_WEIGHTS else job.policy]
    return fly_episode(
        job.scene, job.seed, make, engine, engine.think_s, max_decisions=job.max_decisions, flight=flight
    )


@lru_cache(maxsize=2)
def _loaded(model: str, random_weights: bool, threads: int) -> LoadedEngine:
    return load_engine(ModelSource(model, random_weights=random_weights, device="cpu", threads=threads))


def fly_all(jobs: Iterable[Job], workers: int) -> Iterator[tuple[Job, EpisodeResult]]:
    """Carry out jobs in `workers` processes, in this one if it is 1; results come as they are ready."""
    waiting = list(jobs)
    if workers <= 1 or len(waiting) <= 1:
        for job in waiting:
            yield job, fly(job)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures: dict[Future[EpisodeResult], Job] = {pool.submit(fly, job): job for job in waiting}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def fly_on_ray(jobs: Iterable[Job], address: str) -> Iterator[tuple[Job, EpisodeResult]]:
    """The same on a Ray cluster ("auto": the one this machine belongs to, "local": one started here).

    Every machine of it needs Stillwing installed. Raises MissingExtra.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise MissingExtra("episodes on a cluster need Ray: pip install 'stillwing[ray]'", extra="ray") from error
    # Ray's own log lines would tear the progress bar.
    ray.init(address=None if address == "local" else address, log_to_driver=False, logging_level="ERROR")
    try:
        task = ray.remote(num_cpus=1)(fly)
        waiting = {task.remote(job): job for job in jobs}
        while waiting:
            ready, _ = ray.wait(list(waiting), num_returns=1)
            yield waiting.pop(ready[0]), ray.get(ready[0])
    finally:
        ray.shutdown()


class Ledger:
    """Results on disk, a line each, so that an evaluation that was stopped goes on where it was."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; a line cut short by a kill is flown again."""
        self._path = path
        self.done: dict[Job, EpisodeResult] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            return
        whole = []
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                stored = json.loads(line)
                job = Job(**stored["job"])
            except (ValueError, TypeError, KeyError):
                continue
            self.done[job] = _result(stored["result"])
            whole.append(line + "\n")
        path.write_text("".join(whole), encoding="utf-8")

    def add(self, job: Job, result: EpisodeResult) -> None:
        """Keep a result."""
        self.done[job] = result
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"job": asdict(job), "result": asdict(result)}) + "\n")


def _result(stored: Mapping[str, Any]) -> EpisodeResult:
    track = tuple((float(t), float(n), float(e), float(yaw), int(thinks)) for t, n, e, yaw, thinks in stored["track"])
    return EpisodeResult(**{**stored, "track": track, "think_s": tuple(stored["think_s"])})


OnEpisode = Callable[[Job, EpisodeResult], None]
