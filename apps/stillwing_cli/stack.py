"""One stack from start to end, as `up` and `fly` use it: lock, ports, supervisor, state file, leftovers."""

import asyncio
import os
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from stillwing_cli.part_process import KILL, Say, signal_group
from stillwing_cli.plan import DEFAULT_PORTS, EXPORTS_FOLDER, Choices, free_ports, make_parts, refuse_taken_ports
from stillwing_cli.state import PID_FILE, RUN_FOLDER, STOP_FILE, StackState, the_only_stack, write_state
from stillwing_cli.supervisor import Supervisor
from stillwing_common.errors import InvalidInput

LOG_FOLDER = RUN_FOLDER / "logs"
_LEFTOVER_LIMIT_S = 10.0


@asynccontextmanager
async def running_stack(choices: Choices, ports: str, say: Say) -> AsyncIterator[tuple[StackState, Supervisor]]:
    """Bring a stack up, and take it down however the block is left.

    `ports` is "default" or "auto". Raises `AlreadyUp`, `PortInUse`, `PartFailed`.
    """
    if ports not in ("default", "auto"):
        raise InvalidInput(f"ports is default or auto, not {ports!r}", ports=ports)
    with the_only_stack():
        await end_leftovers(say)
        shutil.rmtree(EXPORTS_FOLDER, ignore_errors=True)  # of missions that ended with their agent
        numbers = free_ports(tuple(DEFAULT_PORTS)) if ports == "auto" else DEFAULT_PORTS
        operator_token = secrets.token_urlsafe(16)
        stop_file = None if "STILLWING_BRIDGE_STOP_FILE" in os.environ else STOP_FILE.resolve()
        parts = make_parts(choices, numbers, operator_token, stop_file)
        refuse_taken_ports(parts)
        used = {part.name: part.port for part in parts}
        is_up = False

        def note() -> StackState:
            now = StackState(os.getpid(), supervisor.pids, used, choices, operator_token, supervisor.restarts)
            write_state(now)
            return now

        def changed(supervisor: Supervisor) -> None:
            _note_pids(supervisor.pids)
            if is_up:
                note()

        supervisor = Supervisor(parts, say, LOG_FOLDER, on_change=changed)
        try:
            await supervisor.start()
            state, is_up = note(), True
            yield state, supervisor
        finally:
            await asyncio.shield(supervisor.stop())
            PID_FILE.unlink(missing_ok=True)


async def end_leftovers(say: Say) -> None:
    """End parts whose supervisor was killed before it could; they hold ports and the memory bank's folder."""
    try:
        pids = [int(word) for word in PID_FILE.read_text(encoding="utf-8").split()]
    except FileNotFoundError:
        return
    left = [pid for pid in pids if _is_ours(pid)]
    for pid in left:
        say("", f"ending process {pid}, left over from a stack that was killed")
        signal_group(pid, signal.SIGTERM)
    until_s = time.monotonic() + _LEFTOVER_LIMIT_S
    # They are no children of this process, so nothing tells of their end.
    while any(_is_ours(pid) for pid in left) and time.monotonic() < until_s:  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    for pid in left:
        if _is_ours(pid):
            signal_group(pid, KILL)
    PID_FILE.unlink(missing_ok=True)


def _note_pids(pids: Mapping[str, int]) -> None:
    PID_FILE.write_text(" ".join(str(pid) for pid in pids.values()), encoding="utf-8")


def _is_ours(pid: int) -> bool:
    """Whether the process runs one of our parts: the number may be somebody else's by now."""
    try:
        return b"stillwing_" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
