"""python -m pytest tests/rpc/agent/test_check_agent.py -v

What `stillwing check-agent` says of agents: ours, the example's, and those that break one promise each. The bridge is
real, over a toy vehicle; the engine is scripted; all of them over the wire.
"""

import asyncio
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from bridge_toys import ToyVehicle, toy_settings
from fake_engine import FakeEngine
from fake_world import FORWARD, World

from stillwing.agent.v1 import agent_pb2_grpc
from stillwing.vlm.v1 import vlm_pb2_grpc
from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.policy import POLICIES
from stillwing_agent.server import registration as agent_registration
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.server import DEADLINE_REQUIRED
from stillwing_bridge.server import registrations as bridge_registrations
from stillwing_cli.agent_checks import AgentChecks, Patience
from stillwing_cli.asks_seen import FlightSeen, WitnessedEngine
from stillwing_cli.check_page import Level
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.server import registration as engine_registration

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "my_agent.py"
QUICK = Patience(call_s=2.0, flight_s=10.0, limit_s=0.6, stop_s=1.0)
ENGINE = "stillwing.vlm.v1.VlmService"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("my_agent", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["my_agent"] = module
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def served(*registrations: Registration) -> AsyncIterator[str]:
    server = RpcServer(registrations, ServerSettings(drain_grace_s=0.5), deadline_required=DEADLINE_REQUIRED)
    port = await server.start()
    await server.set_serving()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.drain()


class Ground:
    """A toy vehicle behind a real bridge, and a scripted engine behind the witness."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack

    async def begin(self) -> "Ground":
        enter = self._stack.enter_async_context
        local = LocalBridge([ToyVehicle()], toy_settings())
        await local.start()
        self._stack.push_async_callback(local.close)
        self.bridge = await enter(served(*bridge_registrations(local, None)))
        remote = await RemoteBridge.connect(self.bridge)
        self._stack.push_async_callback(remote.close)
        engine = FakeEngine(World(thinking=True))
        engine.past_end = FORWARD
        behind = await enter(served(engine_registration(engine)))  # type: ignore[arg-type]
        self.flight = FlightSeen(remote, "drone")
        self.witness = WitnessedEngine(await enter(grpc.aio.insecure_channel(behind)), self.flight)
        add = vlm_pb2_grpc.add_VlmServiceServicer_to_server
        self.engine = await enter(served(Registration(ENGINE, lambda server: add(self.witness, server))))
        return self

    async def check(self, agent: str) -> dict[str, Level]:
        channel = await self._stack.enter_async_context(grpc.aio.insecure_channel(agent))
        checks = AgentChecks(agent_pb2_grpc.AgentServiceStub(channel), self.flight, self.witness.seen, QUICK)
        seen = [check async for check in checks.run()]
        return {check.what: check.level for check in seen}

    async def check_example(self, module: ModuleType, **changes: Any) -> dict[str, Level]:
        """The example's agent, with some of its `Flight` or of itself replaced."""
        enter = self._stack.enter_async_context
        flight = {name: value for name, value in changes.items() if hasattr(module.Flight, name)}
        own = {name: value for name, value in changes.items() if name not in flight}
        kind = type("Changed", (module.MyAgent,), {**own, "flight": type("Flight", (module.Flight,), flight)})
        channels = [await enter(grpc.aio.insecure_channel(address)) for address in (self.bridge, self.engine)]
        server = grpc.aio.server()
        agent_pb2_grpc.add_AgentServiceServicer_to_server(kind(*channels), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        self._stack.push_async_callback(server.stop, 0.2)
        return await self.check(f"127.0.0.1:{port}")


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    async with AsyncExitStack() as stack:
        yield await Ground(stack).begin()


def failed(levels: dict[str, Level]) -> set[str]:
    return {what for what, level in levels.items() if level is Level.FAILED}


async def test_our_own_agent_keeps_every_promise(ground: Ground) -> None:
    bridge, engine = await RemoteBridge.connect(ground.bridge), await RemoteEngine.connect(ground.engine)
    settings = AgentConfig(flight=FlightSettings(frame_rate_hz=20.0, settle_s=0.0, wait_step_s=0.05))
    core = MissionAgent(Crew(bridge, engine, None), "tool_calling", POLICIES.load("tool_calling"), settings)
    async with served(agent_registration(core)) as address:
        levels = await ground.check(address)
        await core.close()
    await engine.close()
    await bridge.close()
    assert set(levels.values()) == {Level.OK}


async def test_the_example_keeps_them_and_offers_less(ground: Ground, example: ModuleType) -> None:
    levels = await ground.check_example(example)
    assert failed(levels) == set()
    skipped = {what for what, level in levels.items() if level is Level.SKIPPED}
    assert skipped == {"answers questions", "no question, no answer", "takes instructions"}


async def test_one_that_asks_before_it_holds_fails(ground: Ground, example: ModuleType) -> None:
    async def think(self: Any, prompt: str, options: list[str]) -> Any:
        """Asks first, and holds when it has the answer."""
        self.answer = asyncio.get_running_loop().create_future()
        await self.say(ask_choice=example.vlm_pb2.AskChoice(prompt=prompt, options=options))
        done = await self.answer
        begin = example.vehicle_pb2.BeginThinkingRequest(lease=self.lease)
        held = await self.agent.vehicles.BeginThinking(begin, timeout=5)
        self.log(thinking_started=example.pb.ThinkingStarted(thinking_id=held.thinking_id, prompt=prompt))
        await self.agent.vehicles.EndThinking(example.vehicle_pb2.EndThinkingRequest(lease=self.lease), timeout=5)
        return done

    assert failed(await ground.check_example(example, think=think)) == {"holds before it asks"}


async def test_one_that_leaves_an_event_out_fails(ground: Ground, example: ModuleType) -> None:
    def log(self: Any, **event: Any) -> None:
        example.Flight.log(self, **event)
        if "action_started" in event:
            self.events[-1].event_seq += 1

    assert failed(await ground.check_example(example, log=log)) == {"logs whole, in order"}


async def test_one_that_knows_no_limit_and_no_cancel_fails(ground: Ground, example: ModuleType) -> None:
    async def run(self: Any) -> None:
        self.limit_s = 1000.0
        await example.Flight.run(self)

    async def cancel(self: Any, request: Any, context: Any) -> Any:
        return example.pb.CancelMissionResponse(mission=(await self.find(request, context)).mission)

    levels = await ground.check_example(example, run=run, CancelMission=cancel)
    assert {"cancels", "returns the lease"} <= failed(levels)


async def test_one_that_does_not_fly_is_told_why(ground: Ground, example: ModuleType) -> None:
    async def fly(self: Any) -> None:
        raise RuntimeError("the propellers are missing")

    checks = await ground.check_example(example, fly=fly)
    assert "starts at once, once" in failed(checks)
    assert checks["cancels"] is Level.SKIPPED
