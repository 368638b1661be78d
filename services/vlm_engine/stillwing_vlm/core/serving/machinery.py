"""What all sessions of one engine work with: the model, the device's scheduler, threads, limits, exports.

An engine makes it once and hands it to each of its sessions, which therefore know no engine.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.serving.engine_exports import EngineExports
from stillwing_vlm.core.serving.hand_over import LoopCalls
from stillwing_vlm.core.serving.observer import Observer
from stillwing_vlm.core.serving.quotas import Quotas
from stillwing_vlm.core.serving.scheduler import Scheduler


@dataclass(frozen=True, slots=True, eq=False)
class Machinery:
    """One engine's parts. `workers` make requests ready, `calls` lead from the device's thread to the event loop."""

    loaded: LoadedEngine
    scheduler: Scheduler
    workers: ThreadPoolExecutor
    calls: LoopCalls
    quotas: Quotas
    exports: EngineExports
    observer: Observer
