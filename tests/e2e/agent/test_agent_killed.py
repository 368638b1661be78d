"""python -m pytest tests/e2e/agent/test_agent_killed.py -v

Real processes, killed without warning in the middle of a mission: the vehicle stops, and it or the next one flies on.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fake_world import FORWARD

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Happening,
    KeyframeFiled,
    KeyframeLost,
    MissionEvent,
    ServiceBack,
    ServiceLost,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.types import MissionRequest, MissionState
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.types import PROMISED_STILL_S
from stillwing_common.errors import MissionEnded
from stillwing_common.ids import new_id
from stillwing_memory.client import RemoteMemoryBank

pytestmark = [pytest.mark.e2e, pytest.mark.serial]

SUPPORT = Path(__file__).parents[2] / "support"
READY_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """Five ports and the processes behind them; each can be killed or frozen, and started again or woken."""

    def __init__(self, folder: Path, bank_folder: Path) -> None:
        self._folder = folder
        self._bank_folder = bank_folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("airfield", "bridge", "engine", "memory", "agent")}

    def start(self, name: str, *arguments: str, memory: str = "") -> None:
        command = {
            "airfield": ["-m", "stillwing_airfield", "--port", str(self.ports["airfield"]), "--seed", "3"],
            "bridge": [
                "-m", "stillwing_bridge", "--port", str(self.ports["bridge"]),
                "--simulator", f"127.0.0.1:{self.ports['airfield']}",
            ],
            "memory": [
                "-m", "stillwing_memory", "--port", str(self.ports["memory"]), "--folder", str(self._bank_folder),
            ],
            "engine": [str(SUPPORT / "scripted_engine.py"), str(self.ports["engine"])],
            "agent": [
                "-m", "stillwing_agent", "--port", str(self.ports["agent"]), "--memory", memory,
                "--bridge", f"127.0.0.1:{self.ports['bridge']}", "--engine", f"127.0.0.1:{self.ports['engine']}",
            ],
        }[name]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with (self._folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, *command, *arguments],
                stdout=log,
                stderr=log,
                env=environment,
            )

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def freeze(self, name: str) -> None:
        self._running[name].send_signal(signal.SIGSTOP)

    def wake(self, name: str) -> None:
        self._running[name].send_signal(signal.SIGCONT)

    def end(self) -> None:
        for name in ("agent", "memory", "engine", "bridge", "airfield"):
            process = self._running.pop(name, None)
            if process is not None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(15)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(5)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    # The database's own user cannot reach pytest's folder.
    with tempfile.TemporaryDirectory(prefix="swm-") as bank_folder:
        processes = Processes(tmp_path, Path(bank_folder) / "m")
        processes.start("airfield")
        processes.start("bridge")
        yield processes
        processes.end()


@pytest.fixture
async def bridge(processes: Processes) -> AsyncIterator[RemoteBridge]:
    bridge = await RemoteBridge.connect(f"127.0.0.1:{processes.ports['bridge']}", wait_s=READY_S)
    yield bridge
    await bridge.close()


async def reach(processes: Processes) -> RemoteAgent:
    return await RemoteAgent.connect(f"127.0.0.1:{processes.ports['agent']}", wait_s=READY_S)


def request() -> MissionRequest:
    return MissionRequest(new_id("req"), "Fly to the red beacon.", "drone", 120.0)


async def seconds_until_still(bridge: RemoteBridge) -> float:
    """How long until the vehicle is slower than 0.1 m/s, and stays so for half a second."""
    loop = asyncio.get_running_loop()
    began_s = still_since_s = loop.time()
    async with asyncio.timeout(20):
        async for telemetry in bridge.watch_telemetry("drone"):
            now_s = loop.time()
            if telemetry.velocity.speed_m_s >= 0.1:
                still_since_s = now_s
            elif now_s - still_since_s > 0.5:
                break
    return still_since_s - began_s


async def fly_until(agent: RemoteAgent, kind: type, count: int) -> str:
    """Start a mission and return its id at the `count`th event of a kind."""
    mission = await agent.start_mission(request())
    async for event in agent.watch_mission(mission.mission_id):
        if isinstance(event.happening, kind):
            count -= 1
            if count == 0:
                return mission.mission_id
    ended = await agent.get_mission(mission.mission_id)
    pytest.fail(f"the mission ended before: {ended}")


async def test_the_engine_killed_mid_mission(processes: Processes, bridge: RemoteBridge) -> None:
    """The vehicle is held, and the mission goes on with the engine that comes back; with another bridge it ends."""
    processes.start("engine", FORWARD)
    processes.start("agent")
    agent = await reach(processes)
    mission = await agent.start_mission(request())
    events = agent.watch_mission(mission.mission_id)
    await seen_until(events, ActionStarted, 3)
    processes.kill("engine")
    (*_, lost) = await seen_until(events, ServiceLost)
    assert isinstance(lost, ServiceLost)
    assert (lost.service, lost.error.reason) == ("vlm_engine", "ENGINE_AWAY")
    assert await seconds_until_still(bridge) < PROMISED_STILL_S
    waiting = await agent.get_mission(mission.mission_id)
    assert (waiting.state, waiting.error) == (MissionState.RUNNING, None)
    assert await bridge.get_lease("drone") is not None, "it is the mission's vehicle all the while"

    processes.start("engine", FORWARD)
    away = await seen_until(events, ServiceBack)
    broken_off = [one for one in away if isinstance(one, ActionFinished)]
    assert [one.error.reason for one in broken_off if one.error is not None] == ["ENGINE_AWAY"]
    assert not any(isinstance(one, ActionStarted | ThinkingStarted) for one in away)
    assert any(isinstance(one, ThinkingFinished) for one in await seen_until(events, ActionStarted))

    processes.kill("bridge")
    processes.start("bridge")
    async with asyncio.timeout(30):
        _ = [event async for event in events]
    ended = await agent.get_mission(mission.mission_id)
    assert ended.state is MissionState.FAILED
    assert ended.error is not None
    assert ended.error.reason == "BRIDGE_GONE"
    await agent.close()


async def test_the_agent_killed_mid_motion(processes: Processes, bridge: RemoteBridge) -> None:
    processes.start("engine", FORWARD)
    processes.start("agent")
    agent = await reach(processes)
    mission_id = await fly_until(agent, ActionStarted, 2)
    processes.kill("agent")
    await agent.close()
    assert await seconds_until_still(bridge) < PROMISED_STILL_S

    processes.start("agent")
    agent = await reach(processes)
    with pytest.raises(MissionEnded, match="started anew"):
        _ = [event async for event in agent.watch_mission(mission_id, 1)]
    mission_id = await fly_until(agent, ThinkingFinished, 1)
    cancelled = await agent.cancel_mission(mission_id)
    assert cancelled.state is MissionState.CANCELLED
    assert await seconds_until_still(bridge) < PROMISED_STILL_S
    assert await bridge.get_lease("drone") is None
    await agent.close()


async def seen_until(events: AsyncIterator[MissionEvent], kind: type, count: int = 1) -> list[Happening]:
    """What happened up to the `count`th event of a kind."""
    seen: list[Happening] = []
    async with asyncio.timeout(90):
        async for event in events:
            seen.append(event.happening)
            if sum(isinstance(happening, kind) for happening in seen) == count:
                return seen
    pytest.fail(f"the mission ended before: {seen[-3:]}")


async def test_the_memory_bank_frozen_and_killed_mid_mission(processes: Processes, bridge: RemoteBridge) -> None:
    """The mission flies on without it, says what could not be filed, and files again once the bank is back."""
    address = f"127.0.0.1:{processes.ports['memory']}"
    processes.start("memory")
    processes.start("engine", FORWARD)
    await (await RemoteMemoryBank.connect(address, wait_s=READY_S)).close()
    processes.start("agent", memory=address)
    agent = await reach(processes)
    mission = await agent.start_mission(request())
    events = agent.watch_mission(mission.mission_id)

    async def flies_without_it(reason: str) -> None:
        seen = await seen_until(events, KeyframeLost)
        assert isinstance(seen[-1], KeyframeLost)
        assert seen[-1].error.reason == reason
        assert [one.service for one in seen if isinstance(one, ServiceLost)] == ["memory_bank"]
        seen += await seen_until(events, ActionFinished)
        assert any(isinstance(one, ActionFinished) and one.error is None for one in seen)

    await seen_until(events, KeyframeFiled)
    processes.freeze("memory")
    await flies_without_it("EXPIRED")
    processes.wake("memory")
    await seen_until(events, ServiceBack)
    await seen_until(events, KeyframeFiled)
    processes.kill("memory")
    await flies_without_it("UNAVAILABLE")
    processes.start("memory")
    (*_, back) = await seen_until(events, ServiceBack)
    assert isinstance(back, ServiceBack)
    assert back.service == "memory_bank"
    await seen_until(events, KeyframeFiled)

    assert (await agent.cancel_mission(mission.mission_id)).state is MissionState.CANCELLED
    assert await seconds_until_still(bridge) < PROMISED_STILL_S
    assert await bridge.get_lease("drone") is None
    await agent.close()
