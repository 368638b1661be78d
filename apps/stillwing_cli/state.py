"""The one stack of a folder: a lock held while it runs and a file that says where its parts listen.

Both lie in `.stillwing/run` under the current folder, so that `status`, `fly` and a second `up` there find it.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from stillwing_cli.errors import AlreadyUp
from stillwing_cli.plan import DEFAULT_PORTS, LOOPBACK, Choices, channel_of
from stillwing_rpc.channel_settings import ChannelSettings

RUN_FOLDER = Path(".stillwing/run")


@dataclass(frozen=True, slots=True)
class StackState:
    """A running stack: process of its supervisor, its parts' processes and ports, and what was chosen.

    `operator_token` clears emergency stops; whoever may read the state file, its owner alone, is the operator.
    `restarts`: how often each part was started again.
    """

    pid: int
    pids: Mapping[str, int]
    ports: Mapping[str, int]
    choices: Choices
    operator_token: str = ""
    restarts: Mapping[str, int] = field(default_factory=dict)

    def address(self, name: str) -> str:
        """Where a part listens."""
        return f"{LOOPBACK}:{self.ports[name]}"

    @property
    def channel(self) -> ChannelSettings:
        """How its services are reached; `NotFound` where its certificates are gone."""
        return channel_of(self.choices)


def default_state() -> StackState:
    """The stack as it would be had somebody started the services by hand on their default ports.

    The environment's STILLWING_CERTS names the folder of certificates that they were started with.
    """
    return StackState(0, {}, DEFAULT_PORTS, Choices(certs=os.environ.get("STILLWING_CERTS", "")))


@contextlib.contextmanager
def the_only_stack() -> Iterator[None]:
    """Hold the lock; raises `AlreadyUp` where another process has it. It is free again when this process ends."""
    RUN_FOLDER.mkdir(parents=True, exist_ok=True)
    with (RUN_FOLDER / "lock").open("a+b") as lock:
        if not _try_lock(lock.fileno()):
            raise AlreadyUp(str(RUN_FOLDER.resolve()))
        try:
            yield
        finally:
            (RUN_FOLDER / "stack.json").unlink(missing_ok=True)


def write_state(state: StackState) -> None:
    """Say where the stack is; readers see the old file or the new one, never half of one."""
    fresh = RUN_FOLDER / "stack.json.new"
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(state), indent=2) + "\n")
    fresh.replace(RUN_FOLDER / "stack.json")


def read_state() -> StackState | None:
    """The stack that is up in this folder and ready, or None."""
    try:
        text = (RUN_FOLDER / "stack.json").read_text(encoding="utf-8")
        with (RUN_FOLDER / "lock").open("a+b") as lock:
            if _try_lock(lock.fileno()):
                return None  # left over: whoever wrote it is gone
    except FileNotFoundError:
        return None
    raw = json.loads(text)
    choices = Choices(**raw["choices"])
    return StackState(raw["pid"], raw["pids"], raw["ports"], choices, raw["operator_token"], raw["restarts"])


def _try_lock(fileno: int) -> bool:
    """Take the lock of an open file; it is given up when the file is closed."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fileno, 0, os.SEEK_SET)
            msvcrt.locking(fileno, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fileno, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
