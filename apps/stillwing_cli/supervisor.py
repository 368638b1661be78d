"""Keeps the parts of a stack up: ordered start, health, restarts, one end for all. It knows nothing of what they do.

Parts end in order: who commands first, what is commanded last. A part that may be restarted is started again when it
exits or falls silent, with a growing pause and no more often than `Restarts` allows; when any other part dies, all are
ended.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stillwing_cli.errors import PartFailed
from stillwing_cli.part_process import PartProcess, Say
from stillwing_cli.plan import AGENT, AIRFIELD, Part
from stillwing_common.errors import StillwingError


@dataclass(frozen=True, slots=True)
class Restarts:
    """How a dead part is started again.

    At most `most` times within `within_s`, after `first_pause_s`, which doubles with each of those up to
    `longest_pause_s`. A part that has not answered for `silent_after_s` counts as dead.
    """

    most: int = 5
    within_s: float = 600.0
    first_pause_s: float = 0.5
    longest_pause_s: float = 30.0
    silent_after_s: float = 10.0

    def pause_s(self, earlier: int) -> float:
        """How long to wait before a start that follows `earlier` others."""
        return min(self.first_pause_s * 2.0 ** min(earlier, 100), self.longest_pause_s)


class Supervisor:
    """A stack's processes. All methods run on one event loop; `stop` may be called at any time and again."""

    def __init__(
        self,
        parts: Sequence[Part],
        say: Say,
        log_folder: Path,
        *,
        restarts: Restarts | None = None,
        on_change: "Callable[[Supervisor], None]" = lambda supervisor: None,
    ) -> None:
        """`on_change` is called after each start of a process."""
        self._processes = {part.name: PartProcess(part, say, log_folder) for part in parts}
        self._say = say
        self._how = restarts or Restarts()
        self._on_change = on_change
        self._restarted = dict.fromkeys(self._processes, 0)
        self._stopping = False

    @property
    def pids(self) -> dict[str, int]:
        """Process id, which is the process group's too, of each part that was started."""
        return {name: process.pid for name, process in self._processes.items() if process.pid is not None}

    @property
    def restarts(self) -> Mapping[str, int]:
        """How often each part was started again."""
        return dict(self._restarted)

    async def start(self) -> None:
        """Start every part once those it comes after are ready; returns when all are.

        Raises `PartFailed` with the part's last lines where one exits or is not ready in time; the others then still
        run and `stop` ends them.
        """
        ready = {name: asyncio.Event() for name in self._processes}
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes.values():
                    group.create_task(self._start_in_order(process, ready))
        except* StillwingError as errors:
            raise _first(errors) from None

    async def keep_up(self) -> PartFailed:
        """Start again what dies, as long as that may be; returns what to tell of the part without which all end."""
        keeping = [asyncio.create_task(self._keep(process)) for process in self._processes.values()]
        try:
            done, _ = await asyncio.wait(keeping, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in keeping:
                task.cancel()
            await asyncio.gather(*keeping, return_exceptions=True)

    async def stop(self) -> None:
        """End every part and everything it started: the agent first, then the services, the simulator last."""
        self._stopping = True
        services = [name for name in self._processes if name not in (AGENT, AIRFIELD)]
        for group in ([AGENT], services, [AIRFIELD]):
            await asyncio.gather(*(self._processes[name].end() for name in group if name in self._processes))
        await asyncio.gather(*(process.close() for process in self._processes.values()))

    async def _start_in_order(self, process: PartProcess, ready: dict[str, asyncio.Event]) -> None:
        for name in process.part.after:
            await ready[name].wait()
        if self._stopping:
            return
        await self._start(process)
        ready[process.part.name].set()

    async def _start(self, process: PartProcess) -> None:
        await process.launch()
        self._on_change(self)
        await process.wait_ready()

    async def _keep(self, process: PartProcess) -> PartFailed:
        part, how = process.part, self._how
        starts: deque[float] = deque()
        why = await process.wait_dead(how.silent_after_s)
        while True:
            await process.kill()  # what is left of it has its port, or holds its files
            if not part.restarts:
                return process.failed(f"{why}, and nothing flies without it")
            now_s = time.monotonic()
            while starts and starts[0] < now_s - how.within_s:
                starts.popleft()
            if len(starts) >= how.most:
                return process.failed(f"{why}, after {how.most} restarts within {how.within_s / 60:g} minutes")
            pause_s = how.pause_s(len(starts))
            self._say("", f"{part.name} {why}; restart {len(starts) + 1} of {how.most} in {pause_s:g} s")
            starts.append(now_s)
            await asyncio.sleep(pause_s)
            self._restarted[part.name] += 1
            try:
                await self._start(process)
            except StillwingError as error:
                why = str(error.detail or error).partition(";")[0].removeprefix(f"{part.name} ")
            else:
                why = await process.wait_dead(how.silent_after_s)


def _first(group: BaseExceptionGroup[StillwingError]) -> StillwingError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, StillwingError)
    return error
