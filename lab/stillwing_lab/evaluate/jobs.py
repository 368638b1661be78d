"""Episodes as jobs: what is flown by whom and how, carried out in worker processes here or on a Ray cluster.

A job is plain data and so is its result; a worker loads each model once. It knows nothing of reports.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from stillwing_agent.core.flight import FlightSettings, MissionMemorySettings, RecallBy
from stillwing_agent.core.prompting.prompts import ToolStyle
from stillwing_airfield.sim import Airfield
from stillwing_common.extras import needs_extra
from stillwing_lab.evaluate.blind_engine import BlindEngine
from stillwing_lab.evaluate.episode import EpisodeResult, fly_episode
from stillwing_lab.evaluate.inline_engine import InlineEngine, MemoryMode
from stillwing_lab.evaluate.policies import BASELINES, MODEL_POLICIES
from stillwing_lab.evaluate.reader import Reader, ReaderEngine
from stillwing_lab.evaluate.ways import RANDOM_WEIGHTS, READER, Way
from stillwing_lab.evaluate.wrong_frames import WrongFrames
from stillwing_vlm.core.catalog import LoadedEngine, ModelSource, load_engine
from stillwing_vlm.core.limits import Limits

_KEPT_BYTES = 256 * 1024 * 1024
"""Of evicted keys and values, where they are to be recalled as they were: minutes of the pilot's."""


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to fly.

    `thinking_s` is how long an answer takes on the simulator's clock in mode "coupled"; None: as long as it really
    takes, which no two machines do alike. `idle_chunks` are in the stream before the flight begins.
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
    recall: str = "pixels"
    style: str = "moves"
    idle_chunks: int = 0

    @property
    def way(self) -> Way:
        """How it is flown."""
        return Way(self.policy, self.mode, self.memory, self.recall, self.style)


def fly(job: Job) -> EpisodeResult:
    """Carry out one job in this process. Raises as `Way.check`, ModelNotUsable, UnknownScene, StoreUnavailable."""
    way = job.way
    way.check()
    if not way.asks_a_model:
        make = BASELINES[way.policy]
        return fly_episode(job.scene, job.seed, make, BlindEngine(), [], max_decisions=job.max_decisions)
    made_up, kept = way.policy == RANDOM_WEIGHTS, way.recall == "kept"
    engine = (ReaderEngine if way.policy == READER else InlineEngine)(
        _loaded(job.model, made_up, _KEPT_BYTES if kept else 0, job.threads),
        0.0 if way.mode == "paused" else job.thinking_s,
        MemoryMode.named(way.memory),
        idle_chunks=job.idle_chunks,
    )
    make = MODEL_POLICIES[{RANDOM_WEIGHTS: "tool_calling", READER: "choice"}.get(way.policy, way.policy)]
    return fly_episode(
        job.scene,
        job.seed,
        make,
        engine,
        engine.think_s,
        max_decisions=job.max_decisions,
        flight=_flight(way),
        before=partial(_before, way, engine),
    )


def _flight(way: Way) -> FlightSettings:
    flight = FlightSettings(tool_style=ToolStyle(way.style))
    if way.memory != "bank":
        return flight
    by = RecallBy.KEPT if way.recall == "kept" else RecallBy.PIXELS
    memory = MissionMemorySettings(recall=True, recall_by=by)
    return replace(flight, memory_reader="noun_phrases", memory=memory, keyframe_queue=256)


@contextmanager
def _before(way: Way, engine: InlineEngine, airfield: Airfield) -> Iterator[None]:
    if isinstance(engine, ReaderEngine):
        engine.reader = Reader(airfield)
    if way.recall != "wrong":
        yield
        return
    with closing(WrongFrames(airfield)) as redrawn:
        engine.redrawn = redrawn
        yield


@lru_cache(maxsize=2)
def _loaded(model: str, random_weights: bool, kept_bytes: int, threads: int) -> LoadedEngine:
    source = ModelSource(model, random_weights=random_weights, device="cpu", threads=threads)
    return load_engine(source, Limits(kept_kv_bytes=kept_bytes))


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
    with needs_extra("ray", "episodes on a cluster"):
        ray: Any = import_module("ray")
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
