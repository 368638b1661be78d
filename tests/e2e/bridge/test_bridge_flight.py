"""python -m pytest tests/e2e/bridge/test_bridge_flight.py -v

The bridge as a process over airfield as a process: it flies, and whatever is killed, stopped or paused, it holds.
"""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bridge_field import STILL_M_S, Field, Pilot, end, looking, running_field, start, start_client, wait_for_line

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import CommandState, FlyTowards, GoTo, Hold, Land, SetVelocity, Step, Takeoff, Turn
from stillwing_common.errors import LeaseWrongEpoch, LinkLost, StillwingError, Unavailable
from stillwing_common.types import PositionNed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with running_field(tmp_path_factory.mktemp("field")) as field:
        yield field


@pytest.fixture
async def pilot(field: Field) -> AsyncIterator[Pilot]:
    bridge = await RemoteBridge.connect(field.address, wait_s=30)
    with looking(bridge, field.simulator) as pilot:
        yield pilot
    await bridge.close()


async def test_every_command_flies(pilot: Pilot) -> None:
    await pilot.take_off()
    assert (await pilot.do(Turn(90))).state is CommandState.SUCCEEDED
    for command in (Step(up_m=1), Step(right_m=1), Step(forward_m=-1), Turn(-90)):
        before = (await pilot.simulation.vehicle_ground_truth("drone")).pose.position
        assert (await pilot.do(command)).state is CommandState.SUCCEEDED
        after = (await pilot.simulation.vehicle_ground_truth("drone")).pose.position
        wanted_m = 0.0 if isinstance(command, Turn) else 1.0
        assert after.distance_m(before) == pytest.approx(wanted_m, abs=0.25)
    assert (await pilot.do(GoTo(PositionNed(0, 0, -4), yaw_deg=0))).state is CommandState.SUCCEEDED
    truth = await pilot.simulation.vehicle_ground_truth("drone")
    assert truth.pose.position.distance_m(PositionNed(0, 0, -4)) < 0.25
    assert truth.pose.orientation.yaw_deg == pytest.approx(0, abs=4)
    assert (await pilot.do(FlyTowards(0.5, 0.45, 0.5))).state is CommandState.SUCCEEDED
    assert (await pilot.do(Land(), 60)).state is CommandState.SUCCEEDED
    async for telemetry in pilot.bridge.watch_telemetry("drone"):
        assert not telemetry.flying
        assert not telemetry.armed
        break


@pytest.mark.serial
async def test_a_lapsed_ttl_and_a_thinking_author_stop_it(pilot: Pilot) -> None:
    lease = await pilot.take_off()
    frame_id = (await pilot.bridge.capture_frame("drone")).frame_id
    command_id = await pilot.bridge.command(lease, SetVelocity(right_m_s=1), ttl_s=1.5, based_on_frame_id=frame_id)
    assert (await pilot.bridge.wait_command(command_id, 5)).state is CommandState.TIMEOUT
    assert await pilot.comes_to_rest()
    await pilot.bridge.command(lease, SetVelocity(right_m_s=-1), ttl_s=5, based_on_frame_id=frame_id)
    await pilot.moves()
    await pilot.bridge.begin_thinking(lease, 2)
    assert await pilot.comes_to_rest()
    for _ in range(4):
        await asyncio.sleep(0.5)
        await pilot.bridge.retain_lease(lease)
        assert await pilot.speed_m_s() < STILL_M_S
    await pilot.bridge.end_thinking(lease)


@pytest.mark.serial
@pytest.mark.parametrize(("number", "cause"), [(signal.SIGKILL, "author_gone"), (signal.SIGSTOP, "watchdog")])
async def test_a_dead_or_frozen_client_is_held(field: Field, pilot: Pilot, number: signal.Signals, cause: str) -> None:
    await pilot.simulation.reset()
    client = start_client(field.address)
    try:
        assert client.stdout is not None
        assert await asyncio.to_thread(client.stdout.readline) == b"moving\n"
        await pilot.moves()
        client.send_signal(number)
        assert await pilot.comes_to_rest()
    finally:
        end(client)
        assert client.stdout is not None
        client.stdout.close()
    log = [entry async for entry in pilot.bridge.watch_flight_log("drone", until_now=True)]
    ended = next(entry for entry in reversed(log) if type(entry.event).__name__ == "Held")
    assert ended.event.cause == cause  # type: ignore[union-attr]


@pytest.mark.serial
async def test_a_killed_bridge_leaves_a_vehicle_that_stops_and_old_leases_void(field: Field, pilot: Pilot) -> None:
    lease = await pilot.take_off()
    frame_id = (await pilot.bridge.capture_frame("drone")).frame_id
    await pilot.bridge.command(lease, Step(right_m=8, speed_m_s=1), ttl_s=20, based_on_frame_id=frame_id)
    await pilot.moves()
    end(field.bridge)
    assert await pilot.comes_to_rest()
    with pytest.raises((Unavailable, StillwingError)):
        await pilot.bridge.retain_lease(lease)
    await asyncio.to_thread(field.start_bridge)
    again = await RemoteBridge.connect(field.address, wait_s=30)
    with pytest.raises(LeaseWrongEpoch):
        await again.retain_lease(lease)
    fresh = (await again.acquire_lease("drone", "after")).lease
    frame_id = (await again.capture_frame("drone")).frame_id
    command_id = await again.command(fresh, Step(right_m=-1), ttl_s=10, based_on_frame_id=frame_id)
    assert (await again.wait_command(command_id, 15)).state is CommandState.SUCCEEDED
    await again.close()


@pytest.mark.serial
async def test_a_paused_world_holds_and_resumes(pilot: Pilot) -> None:
    lease = await pilot.take_off()
    frame_id = (await pilot.bridge.capture_frame("drone")).frame_id
    await pilot.bridge.command(lease, SetVelocity(right_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    await pilot.moves()
    await pilot.simulation.pause(True)
    try:
        await pilot.bridge.command(lease, Hold())
        await asyncio.sleep(0.3)
        await pilot.simulation.step(0.5)
        assert (await pilot.simulation.get_world()).paused
    finally:
        await pilot.simulation.pause(False)
    assert await pilot.comes_to_rest()


async def test_the_record_on_disk_is_the_log(field: Field, pilot: Pilot) -> None:
    lease = await pilot.take_off()
    await pilot.bridge.return_lease(lease)
    log = [entry async for entry in pilot.bridge.watch_flight_log("drone", until_now=True)]
    newest = max(field.folder.glob("flight_log_drone_*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    lines = newest.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["log_seq"] for line in lines[-len(log) :]] == [str(entry.log_seq) for entry in log]


async def test_a_lost_simulator_is_said_and_found_again(tmp_path: Path) -> None:
    airfield_log, bridge_log = tmp_path / "airfield.log", tmp_path / "bridge.log"
    airfield = start("stillwing_airfield", "--port", "0", log=airfield_log)
    simulator = wait_for_line(airfield_log, "listening on").split()[-1]
    bridge = start("stillwing_bridge", "--simulator", simulator, "--port", "0", log=bridge_log)
    try:
        address = "127.0.0.1:" + wait_for_line(bridge_log, "rpc.serving").split("port=")[1].split()[0]
        remote = await RemoteBridge.connect(address, wait_s=30)
        lease = (await remote.acquire_lease("drone", "test")).lease
        command_id = await remote.command(lease, Takeoff(), ttl_s=30)
        end(airfield)
        status = await remote.wait_command(command_id, 10)
        assert status.state is CommandState.LINK_LOST
        assert isinstance(status.error, LinkLost)
        with pytest.raises(LinkLost):
            await remote.command(lease, Hold())
        airfield = start("stillwing_airfield", "--port", simulator.split(":")[1], log=airfield_log)
        await asyncio.to_thread(wait_for_line, bridge_log, "restored")
        lease = (await remote.take_lease("drone", "test", "the simulator was restarted")).lease
        command_id = await remote.command(lease, Takeoff(), ttl_s=30)
        assert (await remote.wait_command(command_id, 35)).state is CommandState.SUCCEEDED
        await remote.close()
    finally:
        end(bridge)
        end(airfield)
