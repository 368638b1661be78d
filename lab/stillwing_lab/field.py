"""Airfield and a bridge as processes of their own, for programs that measure the two from outside."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stillwing_common.errors import Unavailable

_START_LIMIT_S = 60.0
_END_LIMIT_S = 15.0


@dataclass(frozen=True, slots=True)
class Field:
    """Where they listen, "host:port" each."""

    simulator: str
    bridge: str


@contextmanager
def running_field() -> Iterator[Field]:
    """Both on free ports until the block is left. Raises `Unavailable` with the last of what one of them wrote."""
    processes: list[subprocess.Popen[bytes]] = []
    with tempfile.TemporaryDirectory() as folder:

        def start(module: str, *words: str) -> Path:
            log = Path(folder) / f"{module}.log"
            with log.open("wb") as file:
                command = [sys.executable, "-m", module, *words, "--port", "0"]
                processes.append(subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT))
            return log

        try:
            simulator = _line_with(start("stillwing_airfield"), "listening on").split()[-1]
            serving = _line_with(start("stillwing_bridge", "--simulator", simulator), "rpc.serving")
            yield Field(simulator, "127.0.0.1:" + serving.split("port=")[1].split()[0])
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(_END_LIMIT_S)


def _line_with(log: Path, text: str) -> str:
    until_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < until_s:
        for line in log.read_text(encoding="utf-8").splitlines():
            if text in line:
                return line
        time.sleep(0.1)
    raise Unavailable(f"no {text!r}:\n{log.read_text(encoding='utf-8')[-2000:]}")
