"""python -m pytest tests/rpc/agent/test_smolagents_flight.py -v

Agents that users make of smolagents' own classes, over a real bridge before a toy vehicle and a scripted engine.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from bridge_toys import ToyVehicle, toy_settings
from fake_engine import FakeEngine
from fake_world import DONE, FORWARD, LEFT, World
from smolagents import LogLevel, ToolCallingAgent

from stillwing_agent.core.agent import AgentConfig
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.types import MissionState
from stillwing_agent.smolagents_flight import SmolagentsFlight, smolagents_flight
from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.server import registrations
from stillwing_common.errors import TimeLimitReached, UnknownVehicle
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.settings import ServerSettings
from stillwing_vlm.server import registration

QUICK = AgentConfig(flight=FlightSettings(frame_rate_hz=20.0, settle_s=0.0, wait_step_s=0.05))


@asynccontextmanager
async def served(*given: Registration) -> AsyncIterator[str]:
    server = RpcServer(given, ServerSettings(drain_grace_s=0.5))
    port = await server.start()
    await server.set_serving()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.drain()


@dataclass
class Ground:
    """Where bridge and engine are, and what stands behind them."""

    bridge: LocalBridge
    engine: FakeEngine
    where: dict[str, Any]

    async def fly(self, work: Callable[[SmolagentsFlight], Any], **order: Any) -> tuple[SmolagentsFlight, Any]:
        """What a user's program does, on a thread of its own."""

        def program() -> tuple[SmolagentsFlight, Any]:
            with smolagents_flight("Fly to the red beacon.", **{**self.where, **order}) as flight:
                said = work(flight)
            return flight, said

        return await asyncio.to_thread(program)


@pytest.fixture
async def ground() -> AsyncIterator[Ground]:
    local = LocalBridge([ToyVehicle()], toy_settings())
    await local.start()
    engine = FakeEngine(World(thinking=True), [FORWARD, LEFT, DONE])
    async with (
        served(*registrations(local, None)) as bridge_address,
        served(registration(engine)) as engine_address,  # type: ignore[arg-type]
    ):
        where = {"bridge_address": bridge_address, "engine_address": engine_address, "config": QUICK}
        yield Ground(local, engine, where)
    await local.close()


def run(flight: SmolagentsFlight, **given: Any) -> Any:
    agent = ToolCallingAgent(tools=flight.tools, model=flight.model, verbosity_level=LogLevel.OFF, **given)
    return agent.run(flight.goal)


async def test_a_plain_agent_flies_to_its_final_answer(ground: Ground) -> None:
    flight, said = await ground.fly(run)
    assert "reached" in str(said)
    assert (flight.mission.state, flight.mission.answer) == (MissionState.ACHIEVED, "reached")
    assert flight.mission.figures.decisions == 3
    assert await ground.bridge.get_lease("drone") is None


async def test_one_that_is_out_of_steps_sums_up_in_words_and_has_claimed_nothing(ground: Ground) -> None:
    ground.engine.script = [FORWARD, LEFT, "A meadow."]
    flight, said = await ground.fly(lambda flight: run(flight, max_steps=2))
    assert said == "A meadow."
    assert flight.mission.state is MissionState.NOT_ACHIEVED
    assert await ground.bridge.get_lease("drone") is None


async def test_an_error_of_the_users_own_ends_the_mission_holding(ground: Ground) -> None:
    def work(flight: SmolagentsFlight) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ground.fly(work)
    assert await ground.bridge.get_lease("drone") is None


async def test_what_ends_the_mission_is_told_and_not_what_smolagents_made_of_it(ground: Ground) -> None:
    ground.engine.past_end = FORWARD
    ground.engine.script = []
    with pytest.raises(TimeLimitReached):
        await ground.fly(run, time_limit_s=0.7)
    assert await ground.bridge.get_lease("drone") is None


async def test_a_mission_that_cannot_begin_says_so(ground: Ground) -> None:
    with pytest.raises(UnknownVehicle):
        await ground.fly(run, vehicle_id="no-such")
