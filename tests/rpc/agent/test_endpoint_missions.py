"""python -m pytest tests/rpc/agent/test_endpoint_missions.py -v

Missions whose model answers behind a url: the engine as a process, before a real server of chat completions.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import agent_fakes
import chat_endpoint
import pytest
from agent_fakes import FAST, FakeBridge
from chat_endpoint import KEY, ChatServer, Fault, calls, chat_server
from fake_world import VEHICLE, World
from vlm_frames import frame

from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.events import Briefed, NoCall, ThinkingFinished, ThinkingStarted
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.mission_record import event_to_json
from stillwing_agent.core.policy import POLICIES
from stillwing_agent.core.types import Mission, MissionRequest, MissionState
from stillwing_vlm.client import RemoteEngine

FLIGHT = replace(FAST, frame_rate_hz=20.0, answer_timeout_s=20.0)


@dataclass
class Endpoint:
    """The process, where it listens and what it wrote."""

    address: str
    log: Path
    process: subprocess.Popen[bytes]


def start_endpoint(url: str, log: Path, **settings: str) -> subprocess.Popen[bytes]:
    given = {
        "URL": url,
        "MODEL": "eyes-1",
        "KEY": KEY,
        "PORT": "0",
        "LOG_LEVEL": "debug",
        "TIMEOUT_S": "0.6",
    } | settings
    env = os.environ | {f"STILLWING_ENDPOINT_{name}": value for name, value in given.items()}
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "stillwing_vlm.endpoint"], stdout=file, stderr=file, env=env)


@pytest.fixture(scope="module")
def chat() -> Iterator[ChatServer]:
    with chat_server() as running:
        yield running


@pytest.fixture(scope="module")
def endpoint(chat: ChatServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    log = tmp_path_factory.mktemp("endpoint") / "log"
    process = start_endpoint(chat.url, log)
    try:
        until_s = time.monotonic() + 60
        while "rpc.serving" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until_s, log.read_text()
            time.sleep(0.05)
        line = next(line for line in log.read_text().splitlines() if "rpc.serving" in line)
        yield Endpoint("127.0.0.1:" + line.split("port=")[1].split()[0], log, process)
    finally:
        process.terminate()
        process.wait(20)


@dataclass
class Rig:
    """One agent over the endpoint and a bridge that writes down what was in force."""

    world: World
    agent: MissionAgent

    async def fly(self) -> tuple[Mission, list[Any], str]:
        """The mission at its end, what happened, and its log as text."""
        started = await self.agent.start_mission(MissionRequest("one", "Fly to the red beacon.", VEHICLE, 30.0))
        events = [event async for event in self.agent.watch_mission(started.mission_id)]
        assert [event.event_seq for event in events] == list(range(1, len(events) + 1))
        text = json.dumps([event_to_json(event) for event in events])
        return await self.agent.get_mission(started.mission_id), [event.happening for event in events], text


@pytest.fixture
async def rig(chat: ChatServer, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(agent_fakes, "PICTURE", frame(1).image)
    chat.fault = None
    chat.requests.clear()
    world = World()
    engine = await RemoteEngine.connect(endpoint.address)
    crew = Crew(FakeBridge(world), engine, None)  # type: ignore[arg-type]
    agent = MissionAgent(crew, "tool_calling", POLICIES.load("tool_calling"), AgentConfig(flight=FLIGHT))
    yield Rig(world, agent)
    await agent.close()
    await engine.close()


async def test_a_mission_is_flown_and_the_vehicle_held_while_the_endpoint_thinks(rig: Rig, chat: ChatServer) -> None:
    said = [
        calls("move_forward", "A beacon ahead.", distance_m=2),
        {"role": "assistant", "content": "I am not sure."},
        calls("turn", direction="left", angle_deg=30),
        calls("final_answer", achieved=True, answer="I am there."),
    ]

    def say(request: dict[str, Any]) -> dict[str, Any]:
        rig.world.check_still("endpoint")
        return said.pop(0) if said else {"role": "assistant", "content": "yes"}

    chat.say = say
    mission, happened, text = await rig.fly()
    assert (mission.state, mission.answer, mission.error) == (MissionState.ACHIEVED, "I am there.", None)
    assert mission.verification is None  # it tells no probabilities
    assert rig.world.violations == []
    assert len(rig.world.motions) == 2
    assert next(one for one in happened if isinstance(one, Briefed)).profile == "native"
    assert [one.answer for one in happened if isinstance(one, NoCall)] == ["I am not sure."]
    turns = chat.requests[3]["messages"]
    assert [turn["role"] for turn in turns[:4]] == ["system", "user", "assistant", "tool"]
    assert "A beacon ahead." in [turn["content"] for turn in turns if turn["role"] == "assistant"]
    assert {tool["function"]["name"] for tool in chat.requests[3]["tools"]} > {"move_forward", "final_answer"}
    assert KEY not in text


FAULTS: dict[str, tuple[Fault, str]] = {
    "slow": (chat_endpoint.slow, "ANSWER_TIMEOUT"),
    "endless": (chat_endpoint.endless, "ENDPOINT_UNREADABLE"),
    "trickling": (chat_endpoint.trickling, "ANSWER_TIMEOUT"),
    "hanging_up": (chat_endpoint.hanging_up, "ENDPOINT_UNREACHABLE"),
    "unauthorized": (chat_endpoint.unauthorized, "ENDPOINT_REFUSED"),
    "busy": (chat_endpoint.busy, "ENDPOINT_BUSY"),
    "broken_down": (chat_endpoint.broken_down, "ENDPOINT_UNREACHABLE"),
    "redirecting": (chat_endpoint.redirecting, "ENDPOINT_REFUSED"),
    "nonsense": (chat_endpoint.nonsense, "ENDPOINT_UNREADABLE"),
    "wrong_shape": (chat_endpoint.wrong_shape, "ENDPOINT_UNREADABLE"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_whatever_goes_wrong_the_vehicle_holds_and_the_log_is_whole(
    name: str, rig: Rig, chat: ChatServer, endpoint: Endpoint
) -> None:
    chat.fault, reason = FAULTS[name]
    mission, happened, text = await rig.fly()
    assert mission.state is MissionState.FAILED
    assert mission.error is not None
    assert mission.error.reason == reason, mission.error
    assert [type(one) for one in happened if isinstance(one, ThinkingStarted | ThinkingFinished)] == [ThinkingStarted]
    assert (rig.world.in_force, rig.world.returned, rig.world.motions) == (None, 1, [])
    assert len(chat.requests) == (3 if name == "busy" else len(chat.requests))
    for written in (text, str(mission.error), endpoint.log.read_text()):
        assert KEY not in written
        assert "token=abc" not in written


def test_a_wrong_key_is_told_at_the_start(chat: ChatServer, tmp_path: Path) -> None:
    process = start_endpoint(chat.url, tmp_path / "log", KEY="another-key")
    assert process.wait(30) != 0
    log = (tmp_path / "log").read_text()
    assert "does not accept the key" in log
    assert "Traceback" not in log
    assert "another-key" not in log
