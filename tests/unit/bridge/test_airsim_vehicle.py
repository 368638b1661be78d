"""python -m pytest tests/unit/bridge/test_airsim_vehicle.py -v

The AirSim vehicle against a scripted simulator with the faults that real ones are known for.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from airsim_script import Script
from bridge_toys import ScriptedServer
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_bridge.core.vehicle import ClimbTo, FlyVelocity, VehicleState, View
from stillwing_bridge.core.vehicles.airsim.guidance import guided_velocity
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
from stillwing_common.errors import LinkLost, SimulatorError, UnknownCamera, Unsupported
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed


@pytest.fixture
async def vehicle(server: ScriptedServer) -> AsyncIterator[AirSimVehicle]:
    vehicle = await AirSimVehicle.discover(AirSimSettings(port=server.port, image_timeout_s=0.3))
    yield vehicle
    await vehicle.close()


async def test_the_cameras_are_asked_for(vehicle: AirSimVehicle) -> None:
    (camera,) = vehicle.spec.cameras
    assert (camera.camera_id, camera.width_px, camera.height_px, camera.hfov_deg) == ("front_center", 4, 3, 90)


@pytest.mark.parametrize(("version", "pose", "name"), [(3, {}, "version 3"), (1, [0.0] * 7, "Colosseum")])
async def test_another_dialect_is_refused_by_name(
    script: Script, server: ScriptedServer, version: int, pose: Any, name: str
) -> None:
    script.version, script.pose = version, pose
    with pytest.raises(Unsupported, match=name):
        await AirSimVehicle.discover(AirSimSettings(port=server.port))


async def test_cosys_has_fewer_parameters_and_red_first(script: Script, server: ScriptedServer) -> None:
    script.version = 4
    vehicle = await AirSimVehicle.discover(AirSimSettings(port=server.port))
    capture = await vehicle.capture("front_center", (View.COLOUR, View.DEPTH))
    assert capture.rgb is not None
    assert capture.rgb[0, 0].tolist() == [0, 1, 2]
    assert {len(params) for method, params in server.calls if method == "simGetImages"} == {2}
    assert [params for method, params in server.calls if method == "simGetCameraInfo"] == [["front_center", ""]]
    await vehicle.close()


async def test_bytes_are_blue_green_red_and_depth_is_metres(vehicle: AirSimVehicle) -> None:
    capture = await vehicle.capture("front_center", (View.DEPTH, View.COLOUR))
    assert capture.rgb is not None
    assert capture.depth_m is not None
    assert capture.rgb[0, 0].tolist() == [2, 1, 0]
    assert np.array_equal(capture.depth_m, np.arange(12, dtype=np.float32).reshape(3, 4))
    with pytest.raises(UnknownCamera):
        await vehicle.capture("rear", (View.COLOUR,))


@pytest.mark.parametrize(("fault", "words"), [("empty", "camera is not ready"), ("short", "three colours")])
async def test_a_broken_picture_is_an_error(script: Script, vehicle: AirSimVehicle, fault: str, words: str) -> None:
    script.image_fault = fault
    with pytest.raises(SimulatorError, match=words):
        await vehicle.capture("front_center", (View.COLOUR,))
    script.image_fault = ""
    await vehicle.capture("front_center", (View.COLOUR,))


async def test_a_picture_that_never_comes_delays_no_hold_and_its_connection_is_replaced(
    script: Script, server: ScriptedServer, vehicle: AirSimVehicle
) -> None:
    script.image_delay_s = 1.0
    hung = asyncio.ensure_future(vehicle.capture("front_center", (View.COLOUR,)))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(0.9):
        await vehicle.hold()
    assert not hung.done()
    with pytest.raises(LinkLost, match="simGetImages"):
        await hung
    script.image_delay_s = 0.0
    before = len(server.connections)
    await vehicle.capture("front_center", (View.COLOUR,))
    assert len(server.connections) == before + 1


async def test_collisions_are_told_once_and_the_ground_is_none(script: Script, vehicle: AirSimVehicle) -> None:
    script.collision = {"has_collided": True, "object_name": "Ground_12"}
    assert (await vehicle.state()).collided_with is None
    script.collision = {"has_collided": True, "object_name": "tree_3"}
    assert (await vehicle.state()).collided_with == "tree_3"
    assert (await vehicle.state()).collided_with is None


async def test_time_that_goes_back_is_another_clock(script: Script, vehicle: AirSimVehicle) -> None:
    first = (await vehicle.state()).stamp
    script.time_ns -= 20_000_000
    assert (await vehicle.state()).stamp.clock_id == first.clock_id
    script.time_ns = 10
    assert (await vehicle.state()).stamp.clock_id != first.clock_id


async def test_api_control_that_was_lost_is_taken_again_before_a_motion(
    script: Script, server: ScriptedServer, vehicle: AirSimVehicle
) -> None:
    await vehicle.state()
    script.api = False
    flying = asyncio.ensure_future(vehicle.fly(FlyVelocity(1, 0, 0, 0), 1))
    await asyncio.sleep(0.4)
    flying.cancel()
    await asyncio.wait({flying})
    sent = len(server.calls)
    assert script.api
    methods = [method for method, _ in server.calls]
    assert methods.count("moveByVelocityBodyFrame") >= 2
    await asyncio.sleep(0.4)
    assert len(server.calls) == sent, "something was sent after the cancellation"


async def test_a_vehicle_that_jumps_is_in_another_world(script: Script, vehicle: AirSimVehicle) -> None:
    first = (await vehicle.state()).stamp
    script.time_ns += 50_000_000
    script.down -= 2.0
    assert (await vehicle.state()).stamp.clock_id == first.clock_id
    script.time_ns += 50_000_000
    script.down -= 5.0
    assert (await vehicle.state()).stamp.clock_id != first.clock_id


async def test_a_clock_that_stands_still_while_the_vehicle_moves_is_an_error(
    script: Script, vehicle: AirSimVehicle
) -> None:
    await vehicle.state()
    script.down -= 0.1
    await vehicle.state()
    script.down -= 0.5
    with pytest.raises(SimulatorError, match="clock stood still"):
        await vehicle.state()


async def test_lost_control_is_told_with_the_state(script: Script, vehicle: AirSimVehicle) -> None:
    assert (await vehicle.state()).controlled
    script.api = False
    assert not (await vehicle.state()).controlled


async def test_nothing_is_sent_that_outlives_the_ttl(server: ScriptedServer, vehicle: AirSimVehicle) -> None:
    await vehicle.state()
    await vehicle.fly(FlyVelocity(1, 0, 0, 0), 0.4)
    lives_s = [params[3] for method, params in server.calls if method == "moveByVelocityBodyFrame"]
    assert 1 <= len(lives_s) <= 4
    assert all(life_s <= 0.4 - 0.1 * number + 0.01 for number, life_s in enumerate(lives_s))


async def test_a_simulated_battery_empties_while_the_motors_turn(script: Script, server: ScriptedServer) -> None:
    vehicle = await AirSimVehicle.discover(AirSimSettings(port=server.port, battery_endurance_s=100))
    assert (await vehicle.state()).battery_fraction == 1.0
    script.time_ns += 30_000_000_000
    assert (await vehicle.state()).battery_fraction == 1.0, "disarmed"
    await vehicle.fly(ClimbTo(2), 0.2)  # arms, and climbs nowhere
    await vehicle.state()
    script.time_ns += 30_000_000_000
    assert (await vehicle.state()).battery_fraction == pytest.approx(0.7)
    vehicle.clock_restarted()
    assert (await vehicle.state()).battery_fraction == 1.0
    await vehicle.close()


async def test_motors_are_stopped_even_where_control_was_lost(script: Script, server: ScriptedServer) -> None:
    vehicle = await AirSimVehicle.discover(AirSimSettings(port=server.port))
    original = server._handle
    server._handle = lambda method, params: script.api if method == "armDisarm" else original(method, params)
    await vehicle.fly(ClimbTo(2), 0.2)  # arms, and climbs nowhere
    script.api = False
    await vehicle.kill()
    assert script.api
    assert server.calls[-1] == ("armDisarm", [False, ""])
    await vehicle.kill()
    await vehicle.close()


async def test_a_hold_brakes_what_flies_and_leaves_alone_what_stands(
    script: Script, server: ScriptedServer, vehicle: AirSimVehicle
) -> None:
    script.speed = 1.0
    await vehicle.state()
    await vehicle.hold()
    async with asyncio.timeout(10):
        while sum(method == "moveByVelocity" for method, _ in server.calls) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    script.speed, script.landed = 0.0, 0
    await asyncio.sleep(0.3)
    await vehicle.state()
    await vehicle.hold()
    await vehicle.state()
    calls = [(method, params) for method, params in server.calls if method in ("cancelLastTask", "moveByVelocity")]
    methods = [method for method, _ in calls]
    assert methods[:3] == ["cancelLastTask", "moveByVelocity", "moveByVelocity"]
    assert methods.count("cancelLastTask") == 2
    assert methods[-1] == "cancelLastTask"
    assert all(params[0] < 0 for method, params in calls if method == "moveByVelocity"), "against its own speed"


async def test_a_refused_arming_is_an_error(script: Script, server: ScriptedServer, vehicle: AirSimVehicle) -> None:
    original = server._handle
    server._handle = lambda method, params: False if method == "armDisarm" else original(method, params)
    with pytest.raises(SimulatorError, match="arming"):
        await vehicle.fly(ClimbTo(2), 5)


@settings(max_examples=40, deadline=None)
@given(north=st.floats(-20, 20), down=st.floats(-20, 0), speed=st.floats(0.3, 3), moving=st.floats(-3, 3))
def test_guidance_never_exceeds_its_speed_and_leads_to_the_goal(
    north: float, down: float, speed: float, moving: float
) -> None:
    def state(at: PositionNed, velocity: VelocityNed) -> VehicleState:
        return VehicleState(Stamp(0, "c"), Pose(at, Quaternion(1, 0, 0, 0)), velocity, True, True)

    goal = PositionNed(0, 0, -2)
    wanted = VelocityNed(*guided_velocity(state(PositionNed(north, 0, down), VelocityNed(moving, 0, 0)), goal, speed))
    assert wanted.speed_m_s <= speed + 1e-9
    # A vehicle that answers within 0.3 s, followed until it should be there.
    at, velocity, step_s = PositionNed(north, 0.0, down), VelocityNed(0, 0, 0), 0.05
    for _ in range(int((at.distance_m(goal) / speed + 8) / step_s)):
        wanted = VelocityNed(*guided_velocity(state(at, velocity), goal, speed))
        share = step_s / 0.3
        velocity = VelocityNed(
            velocity.north_m_s + (wanted.north_m_s - velocity.north_m_s) * share,
            velocity.east_m_s + (wanted.east_m_s - velocity.east_m_s) * share,
            velocity.down_m_s + (wanted.down_m_s - velocity.down_m_s) * share,
        )
        at = PositionNed(
            at.north_m + velocity.north_m_s * step_s,
            at.east_m + velocity.east_m_s * step_s,
            at.down_m + velocity.down_m_s * step_s,
        )
    assert at.distance_m(goal) < 0.1
