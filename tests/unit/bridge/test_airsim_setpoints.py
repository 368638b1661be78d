"""python -m pytest tests/unit/bridge/test_airsim_setpoints.py -v

What is flown ends by itself soon after whoever flies it is dead, by arithmetic. Nothing is sent without a fresh
reading.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from airsim_script import Script
from bridge_toys import ScriptedServer
from hypothesis import given
from hypothesis import strategies as st

from stillwing_bridge.core.judge.effects import WatchdogSettings
from stillwing_bridge.core.types import PROMISED_STILL_S, RETAIN_PERIOD_S, STILL_WITHIN_S, Limits
from stillwing_bridge.core.vehicle import ClimbTo, Descend, FlyTo, FlyVelocity, Plan, TurnTo
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
from stillwing_bridge.settings import SimBridgeSettings
from stillwing_common.errors import LinkLost, SimulatorError
from stillwing_common.types import PositionNed

SETTINGS = AirSimSettings()
TICK_S = 0.05
FLOWN = ("moveByVelocity", "moveByVelocityBodyFrame")
QUESTIONS = (
    "getMultirotorState", "isApiControlEnabled", "simGetCollisionInfo", "enableApiControl", "armDisarm",
    "cancelLastTask", "getServerVersion", "simGetVehiclePose", "simGetImages", "simGetCameraInfo",
)  # fmt: skip
PLANS: tuple[Plan, ...] = (
    ClimbTo(5.0),
    Descend(1.0),
    FlyTo(PositionNed(9.0, 0.0, -2.0), 3.0),
    FlyVelocity(3.0, 0.0, 0.0, 0.0),
    TurnTo(170.0),
)


@pytest.fixture
async def vehicle(server: ScriptedServer) -> AsyncIterator[AirSimVehicle]:
    vehicle = await AirSimVehicle.discover(
        replace(SETTINGS, port=server.port, state_timeout_s=0.2, silence_limit_s=0.8)
    )
    await vehicle.state()
    yield vehicle
    await vehicle.close()


def flown(server: ScriptedServer) -> int:
    return sum(method in FLOWN for method, _ in server.calls)


async def until_flown(server: ScriptedServer, count: int) -> None:
    async with asyncio.timeout(10):
        while flown(server) < count:  # noqa: ASYNC110 (counted by another thread)
            await asyncio.sleep(0.01)


def test_a_dead_bridge_leaves_a_vehicle_that_stands_still_in_time_at_any_speed_that_is_allowed() -> None:
    fastest_m_s = Limits().max_speed_m_s
    assert fastest_m_s == SimBridgeSettings().max_speed_m_s == 3.0
    assert SimBridgeSettings().airsim().still_after_s(fastest_m_s) <= PROMISED_STILL_S
    assert SETTINGS.still_after_s(fastest_m_s) == pytest.approx(0.25 + 0.06 + 2.9 / 3.3)
    assert SETTINGS.still_after_s(0.0) == pytest.approx(0.31), "a turn ends with its setpoint"


def test_a_silent_author_leaves_a_vehicle_that_stands_still_in_time() -> None:
    # A live bridge brakes harder than the simulator does by itself.
    silence_s = WatchdogSettings().hold_after_s
    assert silence_s + TICK_S + SETTINGS.braking_s(Limits().max_speed_m_s) <= PROMISED_STILL_S
    assert silence_s >= 4 * RETAIN_PERIOD_S, "an author that waits may be late three times"
    assert PROMISED_STILL_S < STILL_WITHIN_S


@given(st.floats(0, 30), st.floats(0, 30))
def test_faster_is_never_sooner_still(a: float, b: float) -> None:
    slow, fast = sorted((a, b))
    assert SETTINGS.still_after_s(slow) <= SETTINGS.still_after_s(fast)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: type(plan).__name__)
async def test_every_plan_is_flown_by_setpoints_that_live_for_a_moment(
    server: ScriptedServer, vehicle: AirSimVehicle, plan: Plan
) -> None:
    flying = asyncio.ensure_future(vehicle.fly(plan, 30))
    await until_flown(server, 3)
    flying.cancel()
    await asyncio.wait({flying})
    assert {method for method, _ in server.calls} <= {*FLOWN, *QUESTIONS}, "a task of the simulator's would go on"
    lives_s = [params[3] for method, params in server.calls if method in FLOWN]
    assert max(lives_s) <= SETTINGS.setpoint_life_s


async def test_a_landing_sinks_slowly_near_the_ground_and_ends_disarmed(
    script: Script, server: ScriptedServer, vehicle: AirSimVehicle
) -> None:
    script.down = -20.0
    flying = asyncio.ensure_future(vehicle.fly(Descend(1.0), 30))
    await until_flown(server, 1)
    script.down, script.time_ns = -0.4, script.time_ns + 30_000_000_000
    await until_flown(server, flown(server) + 2)
    script.landed = 0
    await flying
    sinking_m_s = [params[2] for method, params in server.calls if method == "moveByVelocity"]
    assert sinking_m_s[0] == pytest.approx(1.0)
    assert sinking_m_s[-1] == pytest.approx(0.2)
    assert server.calls[-1] == ("armDisarm", [False, ""])


async def test_a_landing_that_comes_to_no_end_says_so(vehicle: AirSimVehicle) -> None:
    with pytest.raises(SimulatorError, match=r"not on the ground after 0.2 s"):
        await vehicle.fly(Descend(1.0), 0.2)


async def test_one_silent_reading_is_asked_for_again_and_nothing_is_flown_meanwhile(
    script: Script, server: ScriptedServer, vehicle: AirSimVehicle
) -> None:
    flying = asyncio.ensure_future(vehicle.fly(FlyVelocity(1, 0, 0, 0), 30))
    await until_flown(server, 2)
    script.silent_reads = 1
    began_s = time.monotonic()
    before = flown(server)
    async with asyncio.timeout(10):
        while script.silent_reads:  # noqa: ASYNC110 (counted by another thread)
            await asyncio.sleep(0.01)
    await vehicle.state()
    await until_flown(server, before + 2)
    assert time.monotonic() - began_s > 0.2, "that long it was silent"
    flying.cancel()
    await asyncio.wait({flying})


@pytest.mark.parametrize("silent", ["state", "fly"])
async def test_a_silence_beyond_the_limit_is_a_lost_link_in_clear_words(
    script: Script, server: ScriptedServer, vehicle: AirSimVehicle, silent: str
) -> None:
    script.silent_reads = 100
    began_s = time.monotonic()
    before = flown(server)
    with pytest.raises(LinkLost, match=r"getMultirotorState got no answer within 0.8 s"):
        await (vehicle.state() if silent == "state" else vehicle.fly(FlyVelocity(1, 0, 0, 0), 30))
    assert 0.7 < time.monotonic() - began_s < 2
    assert flown(server) == before


@pytest.mark.parametrize("plan", PLANS[1:4], ids=lambda plan: type(plan).__name__)
async def test_a_process_that_stood_still_flies_nothing_before_it_was_judged_again(
    server: ScriptedServer, vehicle: AirSimVehicle, plan: Plan
) -> None:
    flying = asyncio.ensure_future(vehicle.fly(plan, 30))
    await until_flown(server, 2)
    time.sleep(0.6)  # noqa: ASYNC251 (as SIGSTOP and SIGCONT would)
    woke_s = asyncio.get_running_loop().time()
    before = flown(server)
    while asyncio.get_running_loop().time() - woke_s < 0.2:
        await asyncio.sleep(0.01)
        assert flown(server) == before
    flying.cancel()
    await asyncio.wait({flying})


async def test_a_hold_brakes_against_the_speed_until_it_is_gone_or_something_else_is_flown(
    script: Script, server: ScriptedServer, vehicle: AirSimVehicle
) -> None:
    script.speed = 2.0
    await vehicle.state()
    await vehicle.hold()
    await until_flown(server, 3)
    brakes = [params for method, params in server.calls if method == "moveByVelocity"]
    assert all(params[:3] == [-1.0, 0.0, 0.0] and params[3] <= SETTINGS.setpoint_life_s for params in brakes)
    await vehicle.kill()
    sent = flown(server)
    await asyncio.sleep(0.15)
    assert flown(server) == sent, "braking went on after the motors were stopped"
    await vehicle.hold()
    await until_flown(server, sent + 2)
    script.speed = 0.01
    await asyncio.sleep(0.3)
    sent = flown(server)
    await asyncio.sleep(0.15)
    assert flown(server) == sent, "it brakes what stands"
