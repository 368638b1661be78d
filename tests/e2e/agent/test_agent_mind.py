"""python -m pytest tests/e2e/agent/test_agent_mind.py -v

A stand-in mind in real time, everything over the wire: airfield and bridge as processes, engine and agent behind their
servers. What it cannot read or see it does not know. Its other missions are in test_mind_missions.py.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from bridge_field import Field, running_field
from chat_templates import write_chat_model

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.events import ActionStarted, Briefed, OperatorAsked
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.policy import POLICIES
from stillwing_agent.core.types import MissionRequest, MissionState, OperatorAnswer
from stillwing_agent.server import registration as agent_registration
from stillwing_airfield.scenes import build_scene
from stillwing_bridge.client import RemoteBridge
from stillwing_lab.stand_in.engine import stand_in_engine
from stillwing_lab.stand_in.mind import StandInMind
from stillwing_lab.stand_in.sight import Sight
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.serving.engine import AsyncEngine
from stillwing_vlm.server import registration as engine_registration

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SCENE = build_scene("meadow", 3)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with running_field(tmp_path_factory.mktemp("mind")) as running:
        yield running


@asynccontextmanager
async def served(registration: Registration) -> AsyncIterator[str]:
    server = RpcServer([registration], ServerSettings(drain_grace_s=1.0))
    port = await server.start()
    await server.set_serving()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.drain()


@pytest.fixture
async def agent(field: Field, tmp_path: Path) -> AsyncIterator[RemoteAgent]:
    model = write_chat_model(tmp_path / "model", "qwen2_5_vl")
    engine = AsyncEngine(stand_in_engine(model, StandInMind(), Sight(SCENE).look))
    # The model's tokenizer knows few words, and takes a token for nearly every letter.
    flight = FlightSettings(conversation_tokens=2000, max_thought_tokens=160)
    bridge = await RemoteBridge.connect(field.address)
    async with served(engine_registration(engine)) as engine_address:
        remote_engine = await RemoteEngine.connect(engine_address)
        core = MissionAgent(
            Crew(bridge, remote_engine, None),
            "tool_calling",
            POLICIES.load("tool_calling"),
            AgentConfig(flight=flight),
        )
        async with served(agent_registration(core)) as agent_address:
            agent = await RemoteAgent.connect(agent_address)
            yield agent
            await agent.close()
        await core.close()
        await remote_engine.close()
    await engine.close()
    await bridge.close()


async def test_it_asks_which_and_flies_there_in_chinese(agent: RemoteAgent) -> None:
    mission = await agent.start_mission(MissionRequest("which", "飞到一个信标。", "drone", 200.0))
    async for event in agent.watch_mission(mission.mission_id):
        if isinstance(event.happening, OperatorAsked):
            assert event.happening.question == "哪一个：绿色信标还是黄色信标？"
            await agent.answer_mission(OperatorAnswer("answer", mission.mission_id, "绿色的。"))
    events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
    ended = await agent.get_mission(mission.mission_id)
    assert (ended.state, ended.error) == (MissionState.ACHIEVED, None), ended
    assert (ended.goal, ended.instruction) == ("飞到一个信标。",) * 2
    assert ended.answer == "已到达绿色信标"
    assert ended.verification is not None and ended.verification.holds
    assert next(one for one in events if isinstance(one, Briefed)).profile == "native"
    tools = [one.tool for one in events if isinstance(one, ActionStarted)]
    assert tools.count("note") == 1 and tools.count("ask_operator") == 1
