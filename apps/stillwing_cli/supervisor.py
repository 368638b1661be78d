"""Runs the parts of a stack: ordered start, health, prefixed lines, one end for all. It knows nothing of what they do.

Each part is a process group of its own, so that a Ctrl-C at the terminal reaches the supervisor alone and parts end in
order: who commands first, what is commanded last. When any part exits, all are ended.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from stillwing_cli.errors import PartFailed
from stillwing_cli.plan import AGENT, AIRFIELD, Part
from stillwing_cli.ready import wait_ready
from stillwing_common.errors import StillwingError

Say = Callable[[str, str], None]
"""Takes a part's name ("" for the supervisor itself) and a line without its end."""

STILL_WAITING_EVERY_S = 10.0
START_LIMIT_S = 300.0
_END_LIMIT_S = 10.0
_LAST_LINES = 15


class Supervisor:
    """A stack's processes. All methods run on one event loop; `stop` may be called at any time and again."""

    def __init__(
        self,
        parts: Sequence[Part],
        say: Say,
        log_folder: Path,
        *,
        on_started: Callable[[Mapping[str, int]], None] = lambda pids: None,
    ) -> None:
        """`log_folder` gets one file for each part, besides what is said; `on_started` all process ids so far."""
        self._parts = tuple(parts)
        self._say = say
        self._log_folder = log_folder
        self._on_started = on_started
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._last_lines: dict[str, list[str]] = {part.name: [] for part in parts}
        self._stopping = False

    @property
    def pids(self) -> dict[str, int]:
        """Process id, which is the process group's too, of each part that was started."""
        return {name: process.pid for name, process in self._processes.items()}

    async def start(self) -> None:
        """Start every part once those it comes after are ready; returns when all are.

        Raises `PartFailed` with the part's last lines where one exits or is not ready in time; the others then still
        run and `stop` ends them.
        """
        ready = {part.name: asyncio.Event() for part in self._parts}
        try:
            async with asyncio.TaskGroup() as group:
                for part in self._parts:
                    group.create_task(self._start(part, ready))
        except* StillwingError as errors:
            raise _first(errors) from None

    async def wait_exit(self) -> PartFailed:
        """Wait until any part exits; returns what to tell."""
        waits = {asyncio.create_task(process.wait()): name for name, process in self._processes.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
        name = waits[next(iter(done))]
        return self._failed(name, f"has ended with exit code {self._processes[name].returncode}")

    async def stop(self) -> None:
        """End every part and everything it started: the agent first, then the services, the simulator last."""
        self._stopping = True
        names = [part.name for part in self._parts]
        services = [name for name in names if name not in (AGENT, AIRFIELD)]
        for group in ([AGENT], services, [AIRFIELD]):
            await asyncio.gather(*(self._end(name) for name in group if name in self._processes))
        if self._readers:
            await asyncio.wait(self._readers, timeout=1.0)
        for reader in self._readers:
            reader.cancel()

    async def _start(self, part: Part, ready: dict[str, asyncio.Event]) -> None:
        for name in part.after:
            await ready[name].wait()
        if self._stopping:
            return
        began_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *part.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **_CHILD_ENV, **part.env},
            start_new_session=True,
        )
        self._processes[part.name] = process
        self._on_started(self.pids)
        self._readers.append(asyncio.create_task(self._read(part.name, process)))
        waits: list[Awaitable[object]] = [wait_ready(part, START_LIMIT_S), process.wait(), self._say_waiting(part.name)]
        tasks = [asyncio.ensure_future(each) for each in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[1].done():
                await asyncio.sleep(0.1)  # its last lines are on their way
                raise self._failed(part.name, f"ended with exit code {process.returncode} before it was ready")
            tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._say("", f"{part.name} is ready at {part.address} ({time.monotonic() - began_s:.1f} s)")
        ready[part.name].set()

    async def _say_waiting(self, name: str) -> None:
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(STILL_WAITING_EVERY_S)
            self._say("", f"still waiting for {name} after {time.monotonic() - began_s:.0f} s")

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        self._log_folder.mkdir(parents=True, exist_ok=True)
        with (self._log_folder / f"{name}.log").open("w", encoding="utf-8", buffering=1) as log:
            while True:
                try:
                    raw = await process.stdout.readline()
                except ValueError:  # a line longer than the pipe's limit; the rest of it follows as lines of its own
                    continue
                if not raw:
                    return
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                log.write(line + "\n")
                self._last_lines[name] = [*self._last_lines[name], line][-_LAST_LINES:]
                self._say(name, line)

    async def _end(self, name: str) -> None:
        process = self._processes[name]
        if process.returncode is None:
            signal_group(process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _END_LIMIT_S)
            except TimeoutError:
                self._say("", f"{name} did not end within {_END_LIMIT_S:.0f} s and is killed")
        signal_group(process.pid, KILL)
        await process.wait()

    def _failed(self, name: str, what: str) -> PartFailed:
        last = "\n".join(f"  {line}" for line in self._last_lines[name])
        log = self._log_folder / f"{name}.log"
        return PartFailed(f"{name} {what}; its last lines (all in {log}):\n{last}", part=name)


_CHILD_ENV = {
    "PYTHONUNBUFFERED": "1",
    "OMP_WAIT_POLICY": "passive",  # threads that wait for the next question must not burn the simulator's core
}
KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a part and everything it started; nothing happens if none of it is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            os.kill(pid, number)
        else:
            os.killpg(pid, number)


def _first(group: BaseExceptionGroup[StillwingError]) -> StillwingError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, StillwingError)
    return error
