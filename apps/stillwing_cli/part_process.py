"""One part of a stack as a process: started, its lines read, waited for, found dead or silent, ended.

It is a process group of its own, so that a Ctrl-C at the terminal reaches the supervisor alone. It knows nothing of the
other parts.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from stillwing_cli.errors import PartFailed
from stillwing_cli.plan import Part
from stillwing_cli.ready import wait_ready, wait_silent

Say = Callable[[str, str], None]
"""Takes a part's name ("" for the supervisor itself) and a line without its end."""

STILL_WAITING_EVERY_S = 10.0
START_LIMIT_S = 300.0
_END_LIMIT_S = 10.0
_LAST_LINES = 15

KILL = signal.SIGTERM if sys.platform == "win32" else signal.SIGKILL

_CHILD_ENV = {
    "PYTHONUNBUFFERED": "1",
    "OMP_WAIT_POLICY": "passive",  # threads that wait for the next question must not burn the simulator's core
}


class PartProcess:
    """The processes of one part, one after another. All methods run on one event loop."""

    def __init__(self, part: Part, say: Say, log_folder: Path) -> None:
        """`log_folder` gets one file for the part, besides what is said."""
        self.part = part
        self._say = say
        self._log = log_folder / f"{part.name}.log"
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._last_lines: list[str] = []

    @property
    def pid(self) -> int | None:
        """Of the newest process, and of its group; None before the first."""
        return None if self._process is None else self._process.pid

    async def launch(self) -> None:
        """Start the process; its lines go on in the log where there was one before it."""
        process = await asyncio.create_subprocess_exec(
            *self.part.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **_CHILD_ENV, **self.part.env},
            start_new_session=True,
        )
        mode = "w" if self._process is None else "a"
        self._process = process
        self._reader = asyncio.create_task(self._read(process, mode))

    async def wait_ready(self) -> None:
        """Return once the part answers. Raises PartFailed where it exits first, Unavailable after the limit."""
        process = self._started()
        began_s = time.monotonic()
        waits: list[Awaitable[object]] = [wait_ready(self.part, START_LIMIT_S), process.wait(), self._say_waiting()]
        tasks = [asyncio.ensure_future(each) for each in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[1].done():
                await asyncio.sleep(0.1)  # its last lines are on their way
                raise self.failed(f"ended with exit code {process.returncode} before it was ready")
            tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self._say("", f"{self.part.name} is ready at {self.part.address} ({time.monotonic() - began_s:.1f} s)")

    async def wait_dead(self, silent_after_s: float) -> str:
        """Wait until it has exited or has not answered for `silent_after_s`; returns which, in words."""
        process = self._started()
        exit_task = asyncio.create_task(process.wait())
        silent_task = asyncio.create_task(wait_silent(self.part, silent_after_s))
        try:
            await asyncio.wait({exit_task, silent_task}, return_when=asyncio.FIRST_COMPLETED)
            if exit_task.done():
                return f"has ended with exit code {process.returncode}"
            silent_task.result()
            return f"runs and has not answered for {silent_after_s:g} s"
        finally:
            for task in (exit_task, silent_task):
                task.cancel()
            await asyncio.gather(exit_task, silent_task, return_exceptions=True)

    async def end(self) -> None:
        """End it and everything it started: asked first, killed after a limit. Nothing happens before its start."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            signal_group(process.pid, signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), _END_LIMIT_S)
            except TimeoutError:
                self._say("", f"{self.part.name} did not end within {_END_LIMIT_S:.0f} s and is killed")
        await self.kill()

    async def kill(self) -> None:
        """Kill it and everything in its group, whatever it is doing, and wait for its end."""
        process = self._started()
        signal_group(process.pid, KILL)
        await process.wait()

    async def close(self, timeout_s: float = 1.0) -> None:
        """Read what is left of its lines, at most `timeout_s`."""
        if self._reader is not None:
            await asyncio.wait({self._reader}, timeout=timeout_s)
            self._reader.cancel()

    def failed(self, what: str) -> PartFailed:
        """What to tell of its end, with its last lines."""
        last = "\n".join(f"  {line}" for line in self._last_lines)
        name = self.part.name
        return PartFailed(f"{name} {what}; its last lines (all in {self._log}):\n{last}", part=name)

    def _started(self) -> asyncio.subprocess.Process:
        assert self._process is not None, f"{self.part.name} was not launched"
        return self._process

    async def _say_waiting(self) -> None:
        began_s = time.monotonic()
        while True:
            await asyncio.sleep(STILL_WAITING_EVERY_S)
            self._say("", f"still waiting for {self.part.name} after {time.monotonic() - began_s:.0f} s")

    async def _read(self, process: asyncio.subprocess.Process, mode: str) -> None:
        assert process.stdout is not None
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open(mode, encoding="utf-8", buffering=1) as log:
            while True:
                try:
                    raw = await process.stdout.readline()
                except ValueError:  # a line longer than the pipe's limit; the rest of it follows as lines of its own
                    continue
                if not raw:
                    return
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                log.write(line + "\n")
                self._last_lines = [*self._last_lines, line][-_LAST_LINES:]
                self._say(self.part.name, line)


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal a part and everything it started; nothing happens if none of it is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            os.kill(pid, number)
        else:
            os.killpg(pid, number)
