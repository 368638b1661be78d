"""Five processes come up and go down: by signal, by the death of one that all need, and never twice.

Run: python -m pytest tests/e2e/test_up_and_down.py -v
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.events import FramesEvicted, ServiceBack, ThinkingFinished
from stillwing_agent.core.types import MissionRequest, MissionState

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc"),
]

RESTARTED = ("memory_bank", "vlm_engine", "agent")
PARTS = {"airfield", "sim_bridge", "memory_bank", "vlm_engine", "agent"}
_UP_LIMIT_S = 180
_DOWN_LIMIT_S = 40


class Up:
    """`stillwing up` in a folder of its own, which every process it leads to names, or else carries a mark."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"STILLWING_TEST_MARK={uuid4()}"
        name, _, value = self.mark.partition("=")
        self.env = {**os.environ, name: value, "STILLWING_AGENT_EXPORT_EVERY_CHUNKS": "3"}
        self.log = folder / "up.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stillwing_cli.main", "up", "--ports", "auto", "--json"],
                cwd=folder,
                env=self.env,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def ready(self) -> dict[str, Any]:
        """What the ready line says; stdout ends without one where the stack fails."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()[-4000:]
        told: dict[str, Any] = json.loads(line)
        return told

    def pids(self) -> dict[str, int]:
        """Process of each part, as the stack's own file says."""
        pids: dict[str, int] = json.loads((self.folder / ".stillwing" / "run" / "stack.json").read_text())["pids"]
        return pids

    def wait_restarted(self, times: dict[str, int]) -> dict[str, Any]:
        """Rows of `status` once these parts were started again so often and all serve."""
        until_s = time.monotonic() + _UP_LIMIT_S
        while True:
            rows = {row["part"]: row for row in json.loads(self.command("status", "--json").stdout)["parts"]}
            came_back = all(rows[part]["restarts"] == number for part, number in times.items())
            if came_back and all(row["health"] == "serving" for row in rows.values()):
                return rows
            assert time.monotonic() < until_s, self.log.read_text()[-4000:]
            time.sleep(0.2)

    def end(self) -> int:
        """Wait for the end; returns the exit code."""
        assert self.process.stdout is not None
        try:
            return self.process.wait(_DOWN_LIMIT_S)
        finally:
            self.process.kill()
            self.process.stdout.close()

    def left(self) -> list[str]:
        """Command lines of every process that is still there; the database drops the mark and names the folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != self.process.pid:
                try:
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if self.mark.encode() in (entry / "environ").read_bytes() or str(self.folder) in command:
                        found.append(command)
                except OSError:
                    continue  # it ended while we looked
        return found

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Another `stillwing` command in the same folder, which goes on; its result on stdout is nobody's."""
        argv = [sys.executable, "-m", "stillwing_cli.main", *arguments]
        return subprocess.Popen(
            argv, cwd=self.folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Another `stillwing` command in the same folder."""
        argv = [sys.executable, "-m", "stillwing_cli.main", *arguments]
        return subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def up() -> Iterator[Up]:
    # Not pytest's own folder: each further pytest closes that to other users, and the database runs as one.
    with tempfile.TemporaryDirectory(prefix="stillwing-") as folder:
        running = Up(Path(folder))
        try:
            yield running
        finally:
            if running.process.poll() is None:
                running.process.send_signal(signal.SIGTERM)
            running.end()


def test_up_is_seen_stopped_cleared_and_ended(up: Up) -> None:
    told = up.ready()
    assert told["state"] == "ready"
    assert set(told["addresses"]) == PARTS
    assert len(up.left()) > len(PARTS)

    status = json.loads(up.command("status", "--json").stdout)
    assert {part["part"]: part["health"] for part in status["parts"]} == dict.fromkeys(PARTS, "serving")
    again = up.command("up", "--json")
    assert again.returncode == 0
    assert json.loads(again.stdout)["addresses"] == told["addresses"]
    assert "already up" in again.stderr

    watched = up.command("watch")
    assert watched.returncode == 1
    assert "no mission yet" in watched.stderr

    flying = up.start("fly", "--json", "--record-fps", "0")
    assert flying.stderr is not None
    lines = iter(flying.stderr.readline, "")
    assert any("▶" in line for line in lines), "it flies"
    stopped = json.loads(up.command("stop", "--json", "--who", "anna", "a bird").stdout)
    assert stopped["latched"] == {"drone": "HOLD"}
    assert [each["vehicles"][0]["stop"]["not_on_disk"] for each in stopped["bridges"] if each["vehicles"]] == [""]
    words = "drone: emergency stop HOLD by anna at "
    told = "".join(lines)
    assert words in told and ": a bird" in told and "Next: stillwing stop --clear" in told
    assert flying.wait(60) == 1
    flying.stderr.close()
    assert words in up.command("watch").stdout
    status = up.command("status", "--json")
    assert words in status.stderr and json.loads(status.stdout)["emergency_stops"][0]["who"] == "anna"
    assert words in up.command("fly").stderr, "nothing begins"

    wrong = up.command("stop", "--clear", "--operator-token", "wrong")
    assert wrong.returncode == 1
    assert "stillwing:" in wrong.stderr
    assert json.loads(up.command("stop", "--clear", "--json").stdout) == {"latched": {"drone": "NONE"}}

    up.process.send_signal(signal.SIGTERM)
    assert up.end() == 0, up.log.read_text()[-4000:]
    assert up.left() == []
    assert "nothing is left running" in up.log.read_text()
    assert json.loads(up.command("status", "--json").stdout)["managed"] is False


async def flies_on_over_a_killed_engine(addresses: dict[str, str], up: Up) -> None:
    """A mission of the pilot's: the engine killed with -9 is back with its memory, and it flies on."""
    agent = await RemoteAgent.connect(addresses["agent"])
    mission = await agent.start_mission(MissionRequest("over", "Fly to the red beacon.", "drone", 200.0))
    seen: list[object] = []
    killed = False
    async with asyncio.timeout(120):
        async for event in agent.watch_mission(mission.mission_id):
            seen.append(event.happening)
            decided = sum(isinstance(one, ThinkingFinished) for one in seen)
            if decided == 4 and not killed:
                os.kill(up.pids()["vlm_engine"], signal.SIGKILL)
                killed = True
            if decided == 8:
                break
    back = [one for one in seen if isinstance(one, ServiceBack)]
    assert [one.service for one in back] == ["vlm_engine"]
    assert "its memory from the export up to" in back[0].detail
    told = [one for event in seen if isinstance(event, FramesEvicted) for one in event.frame_ids]
    assert len(told) == len(set(told))
    assert (await agent.cancel_mission(mission.mission_id)).state is MissionState.CANCELLED
    assert list((up.folder / ".stillwing" / "run" / "exports").glob("*.safetensors")) == []
    await agent.close()


def test_what_dies_comes_back_and_what_nothing_flies_without_ends_all(up: Up) -> None:
    told = up.ready()
    pids = up.pids()
    for part in RESTARTED:
        os.kill(pids[part], signal.SIGKILL)
    rows = up.wait_restarted(dict.fromkeys(RESTARTED, 1))
    assert {part: row["health"] for part, row in rows.items()} == dict.fromkeys(PARTS, "serving")
    assert up.pids()["airfield"] == pids["airfield"]
    assert all(up.pids()[part] != pids[part] for part in RESTARTED)
    assert "vlm_engine has ended with exit code -9; restart 1 of 5 in 0.5 s" in up.log.read_text()
    asyncio.run(flies_on_over_a_killed_engine(told["addresses"], up))
    os.kill(pids["sim_bridge"], signal.SIGKILL)
    assert up.end() == 1
    assert up.left() == []
    assert "sim_bridge has ended with exit code -9, and nothing flies without it" in up.log.read_text()


def test_a_signal_while_it_starts_leaves_nothing(up: Up) -> None:
    until_s = time.monotonic() + _UP_LIMIT_S
    while "airfield is ready" not in up.log.read_text() and time.monotonic() < until_s:
        time.sleep(0.1)
    time.sleep(0.5)
    up.process.send_signal(signal.SIGINT)
    assert up.end() == 0, up.log.read_text()[-4000:]
    assert up.left() == []
