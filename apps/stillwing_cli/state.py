"""The one stack of a folder: a lock held while it runs and a file that says where its parts listen.

Both lie in `.stillwing/run` under the current folder, so that `status`, `fly` and a second `up` there find it.
"""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from stillwing_cli.errors import AlreadyUp
from stillwing_cli.plan import AGENT, DEFAULT_PORTS, LOOPBACK, Choices, channel_of
from stillwing_common.errors import InvalidInput
from stillwing_rpc.channel_settings import ChannelSettings

RUN_FOLDER = Path(".stillwing/run")
STATE_FILE = RUN_FOLDER / "stack.json"
PID_FILE = RUN_FOLDER / "pids"
"""Processes of the stack, from the start of the first one on."""
STOP_FILE = RUN_FOLDER / "emergency_stops.json"
"""Where the bridge of this folder's stack keeps emergency stops, from one run of the stack to the next."""


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
            STATE_FILE.unlink(missing_ok=True)


def write_state(state: StackState) -> None:
    """Say where the stack is; readers see the old file or the new one, never half of one."""
    fresh = STATE_FILE.with_suffix(".json.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(json.dumps(asdict(state), indent=2) + "\n")
    fresh.replace(STATE_FILE)


def read_state() -> StackState | None:
    """The stack that is up in this folder and ready, or None; `InvalidInput` where its file cannot be read."""
    if not is_up():
        return None  # what is left over counts for nothing: whoever wrote it is gone
    state = known_state()
    if state is not None and AGENT in state.ports:
        return state
    if STATE_FILE.exists():
        raise InvalidInput(f"{STATE_FILE} is not what this version writes; end the stack and start it again")
    return None  # it is starting


def is_up() -> bool:
    """Whether a supervisor of this folder runs, its stack ready or not."""
    try:
        with (RUN_FOLDER / "lock").open("a+b") as lock:
            return not _try_lock(lock.fileno())
    except OSError:
        return False


def known_state() -> StackState | None:
    """What the state file says, whether or not a supervisor still runs; None where it says nothing.

    Whatever can be read is: a file that is cut off, or of another version, still tells where the bridge listens.
    """
    try:
        text = STATE_FILE.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raw = _salvaged(text)
    raw = raw if isinstance(raw, dict) else {}
    ports = _numbers(raw, "ports")
    if not ports:
        return None
    pid, token = raw.get("pid"), raw.get("operator_token")
    return StackState(
        pid if isinstance(pid, int) else 0,
        _numbers(raw, "pids"),
        ports,
        _choices(raw.get("choices")),
        token if isinstance(token, str) else "",
        _numbers(raw, "restarts"),
    )


def _salvaged(text: str) -> dict[str, Any]:
    ports = re.findall(r'"(\w+)":\s*(\d+)', text.partition('"ports"')[2].partition("}")[0])
    token = re.search(r'"operator_token":\s*"([\w-]+)"', text)
    certs = re.search(r'"certs":\s*"([^"\\\n]*)"', text)
    return {
        "ports": {name: int(port) for name, port in ports},
        "choices": {"certs": certs[1]} if certs else {},
        "operator_token": token[1] if token else "",
    }


def _numbers(raw: dict[str, Any], name: str) -> dict[str, int]:
    values = raw.get(name)
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if type(value) is int and 0 <= value < 2**31}


def _choices(raw: Any) -> Choices:
    kinds: dict[str, type] = {each.name: type(each.default) for each in fields(Choices)}
    values: dict[str, Any] = raw if isinstance(raw, dict) else {}
    fitting: dict[str, Any] = {name: value for name, value in values.items() if type(value) is kinds.get(name)}
    try:
        return Choices(**fitting)
    except InvalidInput:  # a profile of another version
        return Choices(certs=fitting.get("certs", ""))


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
