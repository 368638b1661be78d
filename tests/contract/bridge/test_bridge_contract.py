"""python -m pytest tests/contract/bridge/test_bridge_contract.py -v

What every `Bridge` and `Simulation` does, in this process and behind the wire, over a toy vehicle in real time.
"""

import asyncio
import itertools
import time
from dataclasses import replace

import pytest

from stillwing_bridge.core.commands import CommandState, FlyTowards, GoTo, Hold, Land, SetVelocity, Step, Takeoff, Turn
from stillwing_bridge.core.events import (
    Collided,
    CommandEnded,
    CommandStarted,
    EmergencyStopChanged,
    FlightLogEntry,
    Held,
    LandingBegan,
    LeaseChanged,
    Refused,
    ThinkingBegan,
    ThinkingEnded,
)
from stillwing_bridge.core.types import StopLevel
from stillwing_common.errors import (
    BatteryLow,
    EmergencyStopped,
    InvalidInput,
    LeaseHeld,
    LeaseStale,
    LeaseSuperseded,
    LeaseWrongEpoch,
    LinkLost,
    NotFlying,
    NotPermitted,
    ObservationRequired,
    ObservationStale,
    Obstructed,
    SimulatorError,
    StillMoving,
    Thinking,
    TtlRequired,
    TtlTooLong,
    UnknownCamera,
    UnknownCommand,
    UnknownFrame,
    UnknownObject,
    UnknownVehicle,
    WayUnseen,
)
from stillwing_common.types import ImageEncoding, PositionNed


async def log_of(rig) -> list[FlightLogEntry]:
    return [entry async for entry in rig.bridge.watch_flight_log("drone", until_now=True)]


async def test_a_vehicle_says_what_it_is(rig) -> None:
    (vehicle,) = await rig.bridge.list_vehicles()
    assert vehicle.vehicle_id == "drone"
    assert vehicle.simulated
    assert vehicle.cameras == rig.vehicle.spec.cameras
    assert vehicle.limits.max_step_m == 50


async def test_a_flight_from_the_ground_to_the_ground(rig) -> None:
    lease = await rig.take_off()
    for command in (Step(forward_m=1), Turn(90), Step(forward_m=0.5, up_m=0.5), GoTo(PositionNed(0, 0, -2))):
        command_id = await rig.bridge.command(lease, command, ttl_s=5, based_on_frame_id=await rig.frame_id())
        status = await rig.bridge.wait_command(command_id, 5)
        assert (status.state, status.error) == (CommandState.SUCCEEDED, None)
        assert not rig.vehicle.moving
    assert rig.vehicle.position == pytest.approx([0, 0, -2], abs=0.1)
    command_id = await rig.bridge.command(lease, Land(), ttl_s=5)
    assert (await rig.bridge.wait_command(command_id, 5)).state is CommandState.SUCCEEDED
    assert not rig.vehicle.armed
    await rig.bridge.return_lease(lease)
    assert await rig.bridge.get_lease("drone") is None
    log = await log_of(rig)
    assert [entry.log_seq for entry in log] == list(range(1, len(log) + 1))
    assert all(a.log_time_ns <= b.log_time_ns for a, b in itertools.pairwise(log))
    started = [entry.event.kind for entry in log if isinstance(entry.event, CommandStarted)]
    assert started == ["takeoff", "step", "turn", "step", "go_to", "land"]


async def test_a_lapsed_ttl_holds(rig) -> None:
    lease = await rig.take_off()
    command_id = await rig.bridge.command(
        lease, SetVelocity(forward_m_s=1), ttl_s=0.3, based_on_frame_id=await rig.frame_id()
    )
    status = await rig.bridge.wait_command(command_id, 5)
    assert status.state is CommandState.TIMEOUT
    assert not rig.vehicle.moving
    assert (await log_of(rig))[-1].event == Held("ttl")


async def test_a_silent_author_is_held(rig) -> None:
    lease = await rig.take_off()
    await rig.bridge.command(lease, SetVelocity(forward_m_s=0.5), ttl_s=5, based_on_frame_id=await rig.frame_id())
    await asyncio.sleep(0.5)
    assert rig.vehicle.moving
    await asyncio.sleep(1.0)
    assert not rig.vehicle.moving
    assert (await log_of(rig))[-1].event == Held("watchdog")


async def test_waiting_for_a_command_is_a_sign_of_life(rig) -> None:
    lease = await rig.take_off()
    command_id = await rig.bridge.command(lease, Step(forward_m=2), ttl_s=5, based_on_frame_id=await rig.frame_id())
    assert (await rig.bridge.wait_command(command_id, 0.3)).state is CommandState.RUNNING
    assert (await rig.bridge.wait_command(command_id, 10)).state is CommandState.SUCCEEDED


async def test_a_newer_motion_replaces_and_a_hold_ends(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    first = await rig.bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    second = await rig.bridge.command(lease, SetVelocity(right_m_s=1), ttl_s=2, based_on_frame_id=frame_id)
    assert (await rig.bridge.wait_command(first, 1)).state is CommandState.PREEMPTED
    held = await rig.bridge.command(lease, Hold())
    assert not rig.vehicle.moving
    assert (await rig.bridge.wait_command(second, 1)).state is CommandState.PREEMPTED
    assert (await rig.bridge.wait_command(held, 1)).state is CommandState.SUCCEEDED


async def test_nothing_moves_while_its_author_thinks(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    command_id = await rig.bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    interval = await rig.bridge.begin_thinking(lease, 1.0)
    assert not rig.vehicle.moving
    assert interval.held_since is not None
    assert (await rig.bridge.wait_command(command_id, 1)).state is CommandState.PREEMPTED
    with pytest.raises(Thinking):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)
    await rig.bridge.end_thinking(lease)
    await rig.bridge.end_thinking(lease)
    command_id = await rig.bridge.command(lease, Step(forward_m=0.2), ttl_s=5, based_on_frame_id=frame_id)
    assert (await rig.bridge.wait_command(command_id, 5)).state is CommandState.SUCCEEDED
    events = [entry.event for entry in await log_of(rig)]
    began = events.index(ThinkingBegan(interval.thinking_id, 1.0))
    ended = events.index(ThinkingEnded(interval.thinking_id))
    assert [type(event) for event in events[began + 1 : ended]] == [Refused]
    preempted = [i for i, e in enumerate(events) if isinstance(e, CommandEnded) and e.status.command_id == command_id]
    assert preempted[0] > ended


async def test_thinking_begins_when_the_vehicle_stands_still(rig) -> None:
    lease = await rig.take_off()
    velocity = SetVelocity(forward_m_s=1)
    await rig.bridge.command(lease, velocity, ttl_s=5, based_on_frame_id=await rig.frame_id())
    await asyncio.sleep(0.1)
    rig.vehicle.coast_s = 0.4
    began_s = time.monotonic()
    interval = await rig.bridge.begin_thinking(lease, 1.0)
    assert time.monotonic() - began_s >= 0.4
    assert not rig.vehicle.moving
    assert interval.held_since is not None
    await rig.bridge.end_thinking(lease)


async def test_thinking_is_refused_where_the_vehicle_does_not_come_to_rest(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    await rig.bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    await asyncio.sleep(0.1)
    rig.vehicle.coast_s = 60.0
    with pytest.raises(StillMoving, match=r"0\.1 m/s"):
        await rig.bridge.begin_thinking(lease, 1.0, within_s=0.4)
    await rig.bridge.command(lease, Turn(10), ttl_s=5, based_on_frame_id=frame_id)
    rig.vehicle.coast_s = 0.0
    assert (await rig.bridge.begin_thinking(lease, 1.0, within_s=1.0)).held_since is not None
    with pytest.raises(Thinking):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)


async def test_a_taken_lease_stops_the_old_holder(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    with pytest.raises(LeaseHeld) as held:
        await rig.bridge.acquire_lease("drone", "other")
    assert held.value.metadata["holder"] == "test"
    await rig.bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    with pytest.raises(InvalidInput):
        await rig.bridge.take_lease("drone", "person", " ")
    taken = await rig.bridge.take_lease("drone", "person", "it flew off")
    await asyncio.sleep(0.1)
    assert not rig.vehicle.moving
    with pytest.raises(LeaseSuperseded) as superseded:
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)
    assert superseded.value.metadata["holder"] == "person"
    state = await rig.bridge.get_lease("drone")
    assert state is not None
    assert state.lease == taken.lease
    changes = [entry.event for entry in await log_of(rig) if isinstance(entry.event, LeaseChanged)]
    assert [(c.change, c.reason) for c in changes] == [("acquired", ""), ("taken", "it flew off")]


async def test_a_lease_goes_stale_and_belongs_to_one_run(rig) -> None:
    state = await rig.bridge.acquire_lease("drone", "test", stale_after_s=0.2)
    with pytest.raises(LeaseWrongEpoch):
        await rig.bridge.retain_lease(replace(state.lease, epoch="epo_before"))
    with pytest.raises(InvalidInput):
        await rig.bridge.retain_lease(replace(state.lease, sequence=99))
    await asyncio.sleep(0.4)
    with pytest.raises(LeaseStale):
        await rig.bridge.retain_lease(state.lease)
    again = await rig.bridge.acquire_lease("drone", "other")
    assert again.lease.sequence > state.lease.sequence
    with pytest.raises(InvalidInput):
        await rig.bridge.take_lease("drone", "", "no name")


async def test_what_a_motion_needs(rig) -> None:
    lease = await rig.lease()
    frame_id = await rig.frame_id()
    step = Step(forward_m=1)
    with pytest.raises(NotFlying):
        await rig.bridge.command(lease, step, ttl_s=1, based_on_frame_id=frame_id)
    await rig.bridge.return_lease(lease)
    lease = await rig.take_off()
    with pytest.raises(TtlRequired):
        await rig.bridge.command(lease, step, based_on_frame_id=frame_id)
    with pytest.raises(TtlRequired):
        await rig.bridge.command(lease, step, ttl_s=0, based_on_frame_id=frame_id)
    with pytest.raises(TtlTooLong):
        await rig.bridge.command(lease, step, ttl_s=61, based_on_frame_id=frame_id)
    with pytest.raises(TtlTooLong):
        await rig.bridge.command(lease, SetVelocity(), ttl_s=6, based_on_frame_id=frame_id)
    with pytest.raises(ObservationRequired):
        await rig.bridge.command(lease, step, ttl_s=1)
    with pytest.raises(UnknownFrame):
        await rig.bridge.command(lease, step, ttl_s=1, based_on_frame_id="drone/front_center/999")
    rig.vehicle.started_s -= 60
    await asyncio.sleep(0.1)
    with pytest.raises(ObservationStale):
        await rig.bridge.command(lease, step, ttl_s=1, based_on_frame_id=frame_id)
    assert not rig.vehicle.moving
    refusals = [entry.event for entry in await log_of(rig) if isinstance(entry.event, Refused)]
    assert [type(refused.error) for refused in refusals] == [
        NotFlying, TtlRequired, TtlRequired, TtlTooLong, TtlTooLong,
        ObservationRequired, UnknownFrame, ObservationStale,
    ]  # fmt: skip


async def test_a_repeated_request_is_answered_again_and_not_flown_again(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    rig.vehicle.slow_capture_s = 0.1
    flown = len(rig.vehicle.plans)
    ids = await asyncio.gather(
        *(
            rig.bridge.command(lease, Step(forward_m=0.3), ttl_s=5, based_on_frame_id=frame_id, request_id="one")
            for _ in range(3)
        )
    )
    assert len(set(ids)) == 1
    await rig.bridge.wait_command(ids[0], 5)
    assert len(rig.vehicle.plans) == flown + 1
    for _ in range(2):
        with pytest.raises(TtlRequired):
            await rig.bridge.command(lease, Step(forward_m=1), request_id="two")
    assert sum(isinstance(entry.event, Refused) for entry in await log_of(rig)) == 1


async def test_a_wall_obstructs_and_a_pixel_target_stops_short_of_it(rig) -> None:
    lease = await rig.take_off()
    rig.vehicle.wall_at_m = 2.0
    frame_id = await rig.frame_id()
    with pytest.raises(Obstructed) as refused:
        await rig.bridge.command(lease, Step(forward_m=2.5), ttl_s=5, based_on_frame_id=frame_id)
    assert float(refused.value.metadata["distance_m"]) == pytest.approx(1.5, abs=0.05)
    command_id = await rig.bridge.command(lease, FlyTowards(0.5, 0.5, 5.0), ttl_s=8, based_on_frame_id=frame_id)
    assert (await rig.bridge.wait_command(command_id, 8)).state is CommandState.SUCCEEDED
    assert rig.vehicle.position[0] == pytest.approx(1.5, abs=0.1)


async def test_a_velocity_ends_before_what_comes_into_its_way(rig) -> None:
    lease = await rig.take_off()
    rig.vehicle.wall_at_m = 3.0
    command_id = await rig.bridge.command(
        lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=await rig.frame_id()
    )
    status = await rig.bridge.wait_command(command_id, 6)
    assert status.state is CommandState.OBSTRUCTED
    assert 1.0 < rig.vehicle.position[0] < 2.5


async def test_a_collision_ends_the_command_and_is_counted(rig) -> None:
    lease = await rig.take_off()
    command_id = await rig.bridge.command(
        lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=await rig.frame_id()
    )
    rig.vehicle.hit = "tree"
    assert (await rig.bridge.wait_command(command_id, 2)).state is CommandState.COLLISION
    assert not rig.vehicle.moving
    async for telemetry in rig.bridge.watch_telemetry("drone"):
        assert (telemetry.collisions, telemetry.last_collision_object) == (1, "tree")
        break
    assert Collided("tree") in [entry.event for entry in await log_of(rig)]


async def test_an_emergency_stop_latches_and_the_hardest_wins(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    command_id = await rig.bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    assert await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "a bird") is StopLevel.HOLD
    assert not rig.vehicle.moving
    assert (await rig.bridge.wait_command(command_id, 1)).state is CommandState.ESTOP
    with pytest.raises(EmergencyStopped):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)
    with pytest.raises(NotPermitted):
        await rig.bridge.clear_emergency_stop("drone", "guess")
    await rig.bridge.clear_emergency_stop("drone", "secret")
    assert await rig.bridge.emergency_stop("drone", StopLevel.LAND, "down") is StopLevel.LAND
    assert await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "softer") is StopLevel.LAND
    with pytest.raises(EmergencyStopped):
        await rig.bridge.begin_thinking(lease, 1)
    for _ in range(100):
        if not rig.vehicle.armed:
            break
        await asyncio.sleep(0.05)
    assert not rig.vehicle.armed
    assert await rig.bridge.emergency_stop("drone", StopLevel.KILL, "off") is StopLevel.KILL
    changes = [entry.event for entry in await log_of(rig) if isinstance(entry.event, EmergencyStopChanged)]
    assert [change.level for change in changes] == [
        StopLevel.HOLD, StopLevel.NONE, StopLevel.LAND, StopLevel.KILL,
    ]  # fmt: skip


async def test_frames_are_the_newest_and_a_slow_reader_sees_gaps(rig) -> None:
    seen = []
    async for update in rig.bridge.watch_frames("drone", max_rate_hz=20):
        assert update.frame.image.encoding is ImageEncoding.JPEG
        assert update.frame.camera_pose is not None
        assert update.receive_time_ns > 0
        seen.append(update)
        if len(seen) == 3:
            break
    assert [update.sequence for update in seen] == [1, 2, 3]
    assert len({update.frame.frame_id for update in seen}) == 3
    depth = await rig.bridge.capture_frame("drone", "front_center", ImageEncoding.DEPTH_F32)
    assert len(depth.image.data) == 4 * depth.image.width_px * depth.image.height_px


async def test_telemetry_comes_at_the_rate_asked_for(rig) -> None:
    times = []
    async for telemetry in rig.bridge.watch_telemetry("drone", max_rate_hz=10):
        times.append(telemetry.stamp.time_ns)
        if len(times) == 4:
            break
    assert all(b - a > 0.05e9 for a, b in itertools.pairwise(times[1:]))


async def test_a_way_that_no_camera_sees_is_flown_short_and_slowly(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    limits = (await rig.bridge.list_vehicles())[0].limits
    assert (limits.max_unseen_step_m, limits.max_unseen_speed_m_s) == (2.0, 1.0)
    for unseen, ttl_s in (
        (Step(right_m=2.1), 5), (Step(forward_m=-1, speed_m_s=1.1), 5), (Step(up_m=3), 5),
        (SetVelocity(right_m_s=1), 2.1), (SetVelocity(right_m_s=-1.1), 0.5),
    ):  # fmt: skip
        with pytest.raises(WayUnseen) as refused:
            await rig.bridge.command(lease, unseen, ttl_s=ttl_s, based_on_frame_id=frame_id)
        assert refused.value.metadata["max_m"] == "2.0"
    assert not rig.vehicle.moving
    await rig.bridge.command(lease, Step(right_m=2), ttl_s=5, based_on_frame_id=frame_id)
    await rig.bridge.command(lease, Step(forward_m=6, speed_m_s=2), ttl_s=9, based_on_frame_id=frame_id)


async def test_what_comes_into_the_way_of_a_step_ends_it(rig) -> None:
    lease = await rig.take_off()
    command_id = await rig.bridge.command(
        lease, Step(forward_m=6, speed_m_s=2), ttl_s=10, based_on_frame_id=await rig.frame_id()
    )
    rig.vehicle.wall_at_m = 5.0
    assert (await rig.bridge.wait_command(command_id, 10)).state is CommandState.OBSTRUCTED
    assert rig.vehicle.position[0] < 4.0
    # The same wall, known from the beginning, is flown up to.
    command_id = await rig.bridge.command(
        lease, FlyTowards(0.5, 0.5, 6, speed_m_s=2), ttl_s=10, based_on_frame_id=await rig.frame_id()
    )
    assert (await rig.bridge.wait_command(command_id, 10)).state is CommandState.SUCCEEDED
    assert rig.vehicle.position[0] == pytest.approx(4.5, abs=0.1)


async def test_no_velocity_is_flown_without_a_look_at_its_way(rig) -> None:
    lease = await rig.take_off()
    command_id = await rig.bridge.command(
        lease, SetVelocity(forward_m_s=0.5), ttl_s=5, based_on_frame_id=await rig.frame_id()
    )
    rig.vehicle.slow_capture_s = 30.0
    status = await rig.bridge.wait_command(command_id, 5)
    assert status.state is CommandState.FAILED
    assert isinstance(status.error, SimulatorError)
    assert not rig.vehicle.moving


async def test_control_taken_by_somebody_else_ends_the_command(rig) -> None:
    lease = await rig.take_off()
    command_id = await rig.bridge.command(
        lease, SetVelocity(forward_m_s=0.5), ttl_s=5, based_on_frame_id=await rig.frame_id()
    )
    rig.vehicle.controlled = False
    status = await rig.bridge.wait_command(command_id, 2)
    assert status.state is CommandState.FAILED
    assert "taken away" in str(status.error)


async def test_a_takeoff_in_the_air_climbs_and_never_sinks(rig) -> None:
    lease = await rig.take_off()
    for altitude_m, wanted_m in ((4, 4), (1, 4)):
        command_id = await rig.bridge.command(lease, Takeoff(altitude_m), ttl_s=10)
        assert (await rig.bridge.wait_command(command_id, 10)).state is CommandState.SUCCEEDED
        assert rig.vehicle.position[2] == pytest.approx(-wanted_m, abs=0.05)


async def test_a_battery_below_its_floor_is_told_and_ends_the_flight(rig) -> None:
    lease = await rig.take_off()
    telemetry = rig.bridge.watch_telemetry("drone")
    assert (await anext(telemetry)).battery_fraction is None
    command_id = await rig.bridge.command(
        lease, SetVelocity(forward_m_s=0.5), ttl_s=5, based_on_frame_id=await rig.frame_id()
    )
    rig.vehicle.battery_fraction = 0.15
    status = await rig.bridge.wait_command(command_id, 2)
    assert (status.state, type(status.error)) == (CommandState.FAILED, BatteryLow)
    with pytest.raises(BatteryLow):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=await rig.frame_id())
    async for state in telemetry:
        if state.battery_fraction == 0.15:
            break
    rig.vehicle.battery_fraction = 0.05
    async for state in telemetry:
        if not state.armed:
            break
    assert rig.vehicle.position[2] == 0.0
    assert LandingBegan("battery") in [entry.event for entry in await log_of(rig)]


@pytest.mark.serial
async def test_a_cut_lifeline_holds_at_once(rig) -> None:
    lease = await rig.take_off()
    lifeline = rig.bridge.attend_lease(lease)
    assert (await anext(lifeline)).lease == lease
    command_id = await rig.bridge.command(
        lease, SetVelocity(forward_m_s=0.5), ttl_s=5, based_on_frame_id=await rig.frame_id()
    )
    began_s = asyncio.get_running_loop().time()
    await lifeline.aclose()
    assert (await rig.bridge.wait_command(command_id, 5)).state is CommandState.PREEMPTED
    causes = [entry.event.cause for entry in await log_of(rig) if isinstance(entry.event, Held)]
    assert causes[-1] == "author_gone"
    assert asyncio.get_running_loop().time() - began_s < 0.9, "the watchdog would have taken a second"
    again = rig.bridge.attend_lease(lease)
    await anext(again)
    await rig.bridge.return_lease(lease)
    assert [state async for state in again] == []


async def test_a_kill_waits_for_no_hold(rig) -> None:
    lease = await rig.take_off()
    rig.vehicle.may_hold.clear()
    rig.vehicle.holding.clear()
    holding = asyncio.ensure_future(rig.bridge.command(lease, Hold()))
    try:
        async with asyncio.timeout(5):
            await rig.vehicle.holding.wait()
            assert await rig.bridge.emergency_stop("drone", StopLevel.KILL, "smoke") is StopLevel.KILL
            assert not rig.vehicle.armed
            assert not holding.done()
    finally:
        rig.vehicle.may_hold.set()
    await holding
    assert rig.vehicle.kills >= 1
    assert not rig.vehicle.armed


async def test_motors_that_cannot_be_stopped_are_said(rig) -> None:
    await rig.take_off()
    rig.vehicle.fail = {"kill"}
    with pytest.raises(LinkLost):
        await rig.bridge.emergency_stop("drone", StopLevel.KILL, "smoke")
    async with asyncio.timeout(5):
        async for state in rig.bridge.watch_telemetry("drone"):
            if state.emergency_stop is StopLevel.KILL:
                break


async def test_a_hung_camera_delays_no_hold(rig) -> None:
    lease = await rig.take_off()
    await rig.bridge.command(lease, SetVelocity(right_m_s=0.5), ttl_s=4, based_on_frame_id=await rig.frame_id())
    rig.vehicle.slow_capture_s = 30.0
    hung = asyncio.ensure_future(rig.bridge.capture_frame("drone"))
    await asyncio.sleep(0.05)
    await asyncio.wait_for(rig.bridge.command(lease, Hold()), 1.0)
    assert not rig.vehicle.moving
    assert not hung.done()
    hung.cancel()
    await asyncio.wait({hung})


async def test_a_lost_link_ends_the_command_and_is_held_when_it_is_back(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    command_id = await rig.bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    rig.vehicle.fail = {"state", "hold", "connect", "fly"}
    assert (await rig.bridge.wait_command(command_id, 2)).state is CommandState.LINK_LOST
    with pytest.raises(LinkLost):
        await rig.bridge.command(lease, Hold())
    with pytest.raises(LinkLost):
        await rig.bridge.begin_thinking(lease, 1)
    holds = rig.vehicle.holds
    rig.vehicle.fail = set()
    for _ in range(100):
        if rig.vehicle.holds > holds:
            break
        await asyncio.sleep(0.05)
    assert rig.vehicle.holds > holds
    assert rig.vehicle.connects > 0
    await rig.bridge.retain_lease(lease)
    command_id = await rig.bridge.command(lease, Step(forward_m=0.2), ttl_s=5, based_on_frame_id=await rig.frame_id())
    assert (await rig.bridge.wait_command(command_id, 5)).state is CommandState.SUCCEEDED


async def test_unknown_things(rig) -> None:
    with pytest.raises(UnknownVehicle):
        await rig.bridge.acquire_lease("other", "test")
    with pytest.raises(UnknownVehicle):
        async for _ in rig.bridge.watch_frames("other"):
            pass
    with pytest.raises(UnknownCamera):
        await rig.bridge.capture_frame("drone", "back")
    with pytest.raises(UnknownCommand):
        await rig.bridge.wait_command("cmd_0", 1)
    with pytest.raises(UnknownObject):
        await rig.simulation.object_ground_truth("house")


async def test_times_relate(rig) -> None:
    sync = await rig.bridge.time_sync("drone")
    assert sync.client_send_time_ns <= sync.bridge_receive_time_ns <= sync.bridge_send_time_ns
    assert sync.vehicle is not None
    assert sync.vehicle.clock_id == "clk_1"


async def test_a_reset_voids_leases_and_ends_commands(rig) -> None:
    lease = await rig.take_off()
    frame_id = await rig.frame_id()
    command_id = await rig.bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    stamp = await rig.simulation.reset()
    assert stamp.clock_id == "clk_2"
    assert (await rig.bridge.wait_command(command_id, 1)).state is CommandState.PREEMPTED
    await asyncio.sleep(0.05)
    assert not rig.vehicle.moving
    with pytest.raises(LeaseSuperseded):
        await rig.bridge.retain_lease(lease)
    lease = await rig.take_off()
    with pytest.raises(ObservationStale):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=frame_id)


async def test_the_simulated_world(rig) -> None:
    assert (await rig.simulation.get_world()).simulator == "toy"
    assert await rig.simulation.list_objects() == ("ground", "tree")
    truth = await rig.simulation.vehicle_ground_truth("drone")
    assert truth.velocity is not None
    tree = await rig.simulation.object_ground_truth("tree")
    assert tree.velocity is None
    await rig.simulation.pause(True)
    assert (await rig.simulation.get_world()).paused
    await rig.simulation.step(0.1)
    assert await rig.simulation.spawn_object("box", "cube", truth.pose, 1.0) == "box_1"


async def test_the_log_says_what_was_asked_for(rig) -> None:
    lease = await rig.take_off()
    step = Step(forward_m=0.5, up_m=0.25, speed_m_s=1.5)
    frame_id = await rig.frame_id()
    command_id = await rig.bridge.command(lease, step, ttl_s=4, based_on_frame_id=frame_id)
    await rig.bridge.wait_command(command_id, 5)
    with pytest.raises(TtlRequired):
        await rig.bridge.command(lease, Turn(30), based_on_frame_id=frame_id)
    await rig.bridge.command(lease, Hold())
    events = [entry.event for entry in await log_of(rig)]
    started = [event for event in events if isinstance(event, CommandStarted)]
    assert started[-2:] == [
        CommandStarted(command_id, "step", True, frame_id, step, 4.0),
        CommandStarted(started[-1].command_id, "hold", False, "", Hold(), None),
    ]
    assert [event.command for event in events if isinstance(event, Refused)] == [Turn(30)]
