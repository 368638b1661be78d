"""python -m pytest tests/e2e/test_ended_by_signals.py -v

Every process of ours ends cleanly at a SIGTERM, also at one that comes the instant it says a first or a last word.
"""

import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from bridge_field import end, start, wait_for_line
from run_profile import sized
from stack_process import start_stack, stop_stack

from stillwing_lab.tiny_model import write_tiny_model

SCRIPTED_ENGINE = Path(__file__).resolve().parents[1] / "support" / "scripted_engine.py"
FLIES_ON = '{"name":"move","arguments":{"direction":"forward","distance_m":1}}'
END_LIMIT_S = 60.0
TIMES = sized(ci=1, nightly=20)
NAMES = ("airfield", "bridge", "memory", "engine", "agent")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@dataclass(frozen=True)
class Program:
    """A process of ours, and a word of the first and of the last line it says before it is up."""

    arguments: tuple[str, ...]
    first: str
    last: str


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Program]]:
    """All of them; those that reach others find them running."""
    logs = tmp_path_factory.mktemp("signals")
    running = [start("stillwing_airfield", "--seed", "3", "--port", "0", log=logs / "airfield.log")]
    try:
        simulator = wait_for_line(logs / "airfield.log", "listening on").split()[-1]
        bridge = ("stillwing_bridge", "--simulator", simulator, "--port", "0")
        running.append(start(*bridge, log=logs / "bridge.log"))
        with (logs / "engine.log").open("wb") as log:
            scripted = [sys.executable, str(SCRIPTED_ENGINE), "0", FLIES_ON]
            running.append(subprocess.Popen(scripted, stdout=log, stderr=log))
        vehicles, engine = (_address(logs / f"{name}.log") for name in ("bridge", "engine"))
        model = write_tiny_model(logs / "model")
        # Not pytest's own folder: that is closed to other users, and the database runs as one.
        with tempfile.TemporaryDirectory(prefix="sw-") as folder:
            yield {
                "airfield": Program(
                    ("stillwing_airfield", "--seed", "3", "--port", "0"), "airfield: scene", "airfield: listening"
                ),
                "bridge": Program(bridge, "bridge.connected", "rpc.serving"),
                "memory": Program(
                    ("stillwing_memory", "--port", "0", "--folder", f"{folder}/m"), "rpc.listening", "rpc.serving"
                ),
                "engine": Program(
                    ("stillwing_vlm", "--port", "0", "--model", str(model), "--device", "cpu", "--metrics-port", "0"),
                    "metrics.serving", "rpc.serving",
                ),
                "agent": Program(
                    ("stillwing_agent", "--port", "0", "--bridge", vehicles, "--engine", engine, "--memory", "",
                     "--run-folder", f"{folder}/runs"),
                    "agent.waiting", "rpc.serving",
                ),
            }  # fmt: skip
    finally:
        for process in reversed(running):
            end(process)


def _address(log: Path) -> str:
    return "127.0.0.1:" + wait_for_line(log, "rpc.serving").split("port=")[1].split()[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_signal_at_the_last_word(programs: dict[str, Program], name: str) -> None:
    for _ in range(TIMES):
        _end_at(programs[name], programs[name].last)


@pytest.mark.parametrize("name", sized(ci=("airfield", "memory", "engine"), nightly=NAMES))
def test_a_signal_at_the_first_word(programs: dict[str, Program], name: str) -> None:
    for _ in range(TIMES):
        _end_at(programs[name], programs[name].first)


def test_a_signal_at_any_moment(programs: dict[str, Program], run_seed: int) -> None:
    """Until a process says its first word its modules are imported, and the system ends it as it ends any other."""
    dice = random.Random(run_seed)
    for name in dice.choices(NAMES, k=sized(ci=2, nightly=100)):
        process = _launch(programs[name])
        time.sleep(dice.uniform(0, 4))
        _end_cleanly(process, [], {0, -signal.SIGTERM})


def test_a_signal_the_instant_a_stack_is_ready() -> None:
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        stack = start_stack(Path(folder), "--seed", "3")
        parts = psutil.Process(stack.process.pid).children(recursive=True)
        code = stop_stack(stack, signal.SIGTERM)
        assert code == 0, (stack.folder / "up.log").read_text(encoding="utf-8")[-4000:]
        assert len(parts) > len(NAMES)
        assert not any(part.is_running() for part in parts)


def _end_at(program: Program, word: str) -> None:
    process = _launch(program)
    said = []
    assert process.stdout is not None
    for line in process.stdout:
        said.append(line)
        if word in line:
            break
    _end_cleanly(process, said, {0})


def _launch(program: Program) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-u", "-m", *program.arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _end_cleanly(process: "subprocess.Popen[str]", said: list[str], codes: set[int]) -> None:
    """At once by SIGTERM; with one of the exit codes, no traceback, and nothing left running."""
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    rest, _ = process.communicate(timeout=END_LIMIT_S)
    text = "".join([*said, rest])
    assert process.returncode in codes, text
    assert process.returncode == 0 or text == ""
    assert "Traceback" not in text
    _, left = psutil.wait_procs(children, timeout=END_LIMIT_S)
    assert left == []
