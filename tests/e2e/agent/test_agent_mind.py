"""python -m pytest tests/e2e/agent/test_agent_mind.py -v

Missions of a mind that reads what the agent tells it, over the wire: airfield and bridge as processes, engine and agent
behind their servers. What it cannot read it does not know.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from bridge_field import Field, running_field
from fake_engine import CHATTY, FakeEngine
from fake_world import World
from scripted_mind import BeaconMind

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.agent import MissionAgent
from stillwing_agent.core.events import ActionStarted, Briefed, OperatorAsked
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.policy import POLICIES
from stillwing_agent.core.types import MissionRequest, MissionState, OperatorAnswer
from stillwing_agent.server import registration as agent_registration
from stillwing_airfield.scenes import build_scene
from stillwing_bridge.client import RemoteBridge
from stillwing_common.types import Pose
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.server import registration as engine_registration

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SCENE = build_scene("meadow", 3)
COLOURS = [str(beacon.colour) for beacon in SCENE.of_kind("beacon")]
HALF_VIEW_DEG = 40.0


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with running_field(tmp_path_factory.mktemp("mind")) as running:
        yield running


class Eyes:
    """What a good model sees of beacons, from the vehicle's pose as the bridge tells it."""

    def __init__(self) -> None:
        self.pose: Pose | None = None

    async def follow(self, bridge: RemoteBridge) -> None:
        async for telemetry in bridge.watch_telemetry("drone"):
            self.pose = telemetry.pose

    def sight(self, colour: str) -> tuple[float, float] | None:
        """Degrees to the right and metres of a beacon in view."""
        assert self.pose is not None
        beacon = next(one for one in SCENE.of_kind("beacon") if one.colour == colour)
        north_m = beacon.position_ned_m[0] - self.pose.position.north_m
        east_m = beacon.position_ned_m[1] - self.pose.position.east_m
        bearing_deg = math.degrees(math.atan2(east_m, north_m))
        aside_deg = (bearing_deg - self.pose.orientation.yaw_deg + 180) % 360 - 180
        distance_m = math.hypot(north_m, east_m)
        return (aside_deg, distance_m) if abs(aside_deg) < HALF_VIEW_DEG or distance_m < 3 else None


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
async def agent(field: Field) -> AsyncIterator[RemoteAgent]:
    bridge = await RemoteBridge.connect(field.address)
    eyes = Eyes()
    following = asyncio.create_task(eyes.follow(bridge))
    engine = FakeEngine(World(thinking=True), think_s=0.05)
    engine.chat, engine.mind = CHATTY, BeaconMind(eyes.sight)
    async with served(engine_registration(engine)) as engine_address:  # type: ignore[arg-type]
        remote_engine = await RemoteEngine.connect(engine_address)
        core = MissionAgent(Crew(bridge, remote_engine, None), "tool_calling", POLICIES.load("tool_calling"))
        async with served(agent_registration(core)) as agent_address:
            agent = await RemoteAgent.connect(agent_address)
            yield agent
            await agent.close()
        await core.close()
        await remote_engine.close()
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    await bridge.close()


async def test_one_beacon_and_then_the_other(agent: RemoteAgent) -> None:
    first, second = COLOURS[1], COLOURS[0]
    goal = f"Fly to the {first} beacon, then to the {second} beacon."
    mission = await agent.start_mission(MissionRequest("both", goal, "drone", 200.0))
    events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
    ended = await agent.get_mission(mission.mission_id)
    assert (ended.state, ended.error) == (MissionState.ACHIEVED, None), ended
    assert ended.answer == f"I was at the {first} and then the {second} beacon."
    assert next(one for one in events if isinstance(one, Briefed)).profile == "native"
    notes = [one.arguments["text"] for one in events if isinstance(one, ActionStarted) and one.tool == "note"]
    assert notes == [f"reached the {colour} beacon" for colour in (first, second)]


async def test_it_lands_takes_off_again_and_asks_the_operator(agent: RemoteAgent) -> None:
    mission = await agent.start_mission(MissionRequest("land", "Land. Then go to a beacon.", "drone", 200.0))
    async for event in agent.watch_mission(mission.mission_id):
        if isinstance(event.happening, OperatorAsked):
            assert event.happening.question == "Which beacon?"
            await agent.answer_mission(OperatorAnswer("answer", mission.mission_id, f"the {COLOURS[0]} one"))
    events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
    ended = await agent.get_mission(mission.mission_id)
    assert (ended.state, ended.error) == (MissionState.ACHIEVED, None), ended
    assert (ended.goal, ended.instruction) == ("Land. Then go to a beacon.",) * 2
    tools = [one.tool for one in events if isinstance(one, ActionStarted)]
    assert tools.index("land") < tools.index("takeoff", tools.index("land")) < tools.index("ask_operator")
