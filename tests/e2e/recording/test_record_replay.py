"""python -m pytest tests/e2e/recording/test_record_replay.py -v

`stillwing record` and `stillwing replay` as processes over a real simulator: what was flown is what is shown again.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.events import CommandEnded, CommandStarted
from stillwing_common.errors import InvalidInput
from stillwing_recording.base import Recording
from stillwing_recording.opening import open_recording

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ENV = os.environ | {"OMP_NUM_THREADS": "1"}
WITHIN_S = 60


def start(module: str, *arguments: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=file, stderr=file, env=ENV)


def wait_for_line(log: Path, text: str) -> str:
    until_s = time.monotonic() + WITHIN_S
    while time.monotonic() < until_s:
        for line in log.read_text(encoding="utf-8").splitlines():
            if text in line:
                return line
        time.sleep(0.05)
    pytest.fail(f"no {text!r} in {log}:\n" + log.read_text(encoding="utf-8")[-3000:])


@dataclass
class Field:
    """A bridge before a simulator."""

    folder: Path
    address: str


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    folder = tmp_path_factory.mktemp("field")
    processes = [start("stillwing_airfield", "--seed", "3", "--port", "0", log=folder / "airfield.log")]
    simulator = wait_for_line(folder / "airfield.log", "listening on").split()[-1]
    processes.append(start("stillwing_bridge", "--simulator", simulator, "--port", "0", log=folder / "bridge.log"))
    port = wait_for_line(folder / "bridge.log", "rpc.serving").split("port=")[1].split()[0]
    yield Field(folder, f"127.0.0.1:{port}")
    for process in reversed(processes):
        process.kill()
        process.wait(10)


def cli(field: Field, name: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
    """Start `stillwing …` beside the field; its output goes to the log."""
    log = field.folder / f"{name}.log"
    log.unlink(missing_ok=True)
    return start("stillwing_cli.main", *arguments, log=log), log


def started(recording: Recording) -> list[str]:
    return [e.value.event.kind for e in recording.flight_log() if isinstance(e.value.event, CommandStarted)]


@pytest.fixture(scope="module")
def flight(field: Field) -> Path:
    """A flight by script, recorded."""
    script = field.folder / "flight.txt"
    script.write_text("0 takeoff altitude_m=1\n+0 step up_m=0.5\n+0 turn angle_deg=30\n+0 land\n")
    path = field.folder / "flight.mcap"
    process, log = cli(
        field, "record", "record", "--bridge", field.address, "--script", str(script), "--out", str(path), "--json"
    )
    assert process.wait(WITHIN_S) == 0, log.read_text()
    summary = json.loads(next(line for line in log.read_text().splitlines() if '"duration_s"' in line))
    assert summary["frames"] >= 4
    assert not summary["dropped"]
    return path


def test_a_script_is_flown_and_recorded(flight: Path) -> None:
    recording = open_recording(flight)
    assert started(recording) == ["takeoff", "step", "turn", "land"]
    ends = [e.value.event.status for e in recording.flight_log() if isinstance(e.value.event, CommandEnded)]
    assert all(status.state.value == "succeeded" for status in ends)
    heights_m = [-entry.value.pose.position.down_m for entry in recording.telemetry()]
    assert max(heights_m) > 1.2
    assert recording.info().whole


async def test_the_replay_shows_the_same_frames(field: Field, flight: Path) -> None:
    process, log = cli(field, "replay", "replay", str(flight), "--speed", "0", "--port", "0", "--json")
    try:
        address = json.loads(wait_for_line(log, '"serving"'))["address"]
        bridge = await RemoteBridge.connect(address, wait_s=20)
        shown = [update.frame async for update in bridge.watch_frames("drone")]
        await bridge.close()
        assert process.wait(WITHIN_S) == 0, log.read_text()
    finally:
        process.kill()
    recorded = [entry.value.frame for entry in open_recording(flight).frames()]
    assert [frame.image.data for frame in shown] == [frame.image.data for frame in recorded]
    assert [(f.frame_id, f.capture) for f in shown] == [(f.frame_id, f.capture) for f in recorded]


def test_the_glance(field: Field, flight: Path) -> None:
    process, log = cli(field, "info", "replay", str(flight), "--info")
    assert process.wait(WITHIN_S) == 0
    assert "/camera/front_center/frame" in log.read_text()
    assert "Next: stillwing replay" in log.read_text()


def test_a_killed_recorder_leaves_a_file_that_reads(field: Field) -> None:
    path = field.folder / "killed.mcap"
    process, log = cli(
        field, "watch", "record", "--bridge", field.address, "--watch", "--fps", "10", "--out", str(path), "--json"
    )
    wait_for_line(log, '"recording"')
    count = 0
    until_s = time.monotonic() + WITHIN_S
    while count < 15 and time.monotonic() < until_s:
        time.sleep(0.3)
        try:
            count = sum(1 for _ in open_recording(path).frames())
        except InvalidInput:
            continue  # not even its first chunk yet
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    recording = open_recording(path)
    frames = list(recording.frames())
    assert len(frames) >= count >= 15
    assert not recording.info().whole
    assert all(entry.value.frame.image.data.startswith(b"\xff\xd8") for entry in frames)
    assert all(entry.value.frame.image.data.endswith(b"\xff\xd9") for entry in frames)


def test_the_keyboard_flies(field: Field) -> None:
    path = field.folder / "keys.mcap"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stillwing_cli.main", "record", "--bridge", field.address, "--out", str(path)],
        stdin=theirs, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENV,
    )  # fmt: skip
    os.close(theirs)

    def seen(*wanted: str) -> bool:
        try:
            return set(wanted) <= set(started(open_recording(path)))
        except (InvalidInput, StopIteration):
            return False

    def press_until(key: bytes, *wanted: str) -> None:
        until_s = time.monotonic() + WITHIN_S
        while (path.exists() and not seen(*wanted)) or not path.exists():
            assert time.monotonic() < until_s, wanted
            os.write(ours, key)
            time.sleep(0.3)

    try:
        press_until(b"t", "takeoff")
        time.sleep(1)
        press_until(b"r", "takeoff", "set_velocity")
        press_until(b" ", "hold")
        press_until(b"l", "land")
        os.write(ours, b"x")
        assert process.wait(WITHIN_S) == 0
    finally:
        process.kill()
        os.close(ours)
    assert open_recording(path).info().whole
