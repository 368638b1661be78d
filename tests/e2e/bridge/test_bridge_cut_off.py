"""python -m pytest tests/e2e/bridge/test_bridge_cut_off.py -v

Real processes that are frozen, and links that stay open and carry nothing: the vehicle stands still soon, and the next
command works. A relay in between plays the half-open link anywhere; `test_bridge_half_open.py` cuts a real one.
"""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bridge_field import ENV, Field, Pilot, end, looking, running_field, start, wait_for_line
from silent_relay import SilentRelay, SkewedRelay

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import CommandState, SetVelocity, Step, Takeoff
from stillwing_bridge.core.types import STILL_M_S, Lease, StopLevel
from stillwing_common.errors import EmergencyStopped, ObservationStale, StillwingError

pytestmark = [pytest.mark.e2e, pytest.mark.serial, pytest.mark.timeout(240)]


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


async def fly_sideways(pilot: Pilot) -> str:
    return await move_sideways(pilot, await pilot.take_off())


async def move_sideways(pilot: Pilot, lease: Lease) -> str:
    frame_id = (await pilot.bridge.capture_frame("drone")).frame_id
    command_id = await pilot.bridge.command(lease, SetVelocity(right_m_s=0.8), ttl_s=5, based_on_frame_id=frame_id)
    await pilot.moves()
    return command_id


async def flies_again(pilot: Pilot) -> None:
    pilot.lease = (await pilot.bridge.take_lease("drone", "test", "it was cut off")).lease
    assert (await pilot.do(Step(right_m=-0.5))).state is CommandState.SUCCEEDED


async def test_a_frozen_bridge_stops_and_wakes_up_to_a_hold(field: Field, pilot: Pilot) -> None:
    command_id = await fly_sideways(pilot)
    field.bridge.send_signal(signal.SIGSTOP)
    try:
        assert await pilot.comes_to_rest()
    finally:
        field.bridge.send_signal(signal.SIGCONT)
    assert (await pilot.bridge.wait_command(command_id, 10)).ended
    assert await pilot.comes_to_rest()
    await flies_again(pilot)


async def test_a_frozen_simulator_is_a_lost_link_and_is_held_when_it_wakes(field: Field, pilot: Pilot) -> None:
    command_id = await fly_sideways(pilot)
    field.airfield.send_signal(signal.SIGSTOP)
    try:
        status = await pilot.bridge.wait_command(command_id, 10)
    finally:
        field.airfield.send_signal(signal.SIGCONT)
    assert status.state is CommandState.LINK_LOST
    assert await pilot.comes_to_rest(10)
    async with asyncio.timeout(20):
        async for _ in pilot.bridge.watch_telemetry("drone", max_rate_hz=5):
            break
    await flies_again(pilot)


async def test_a_client_behind_a_half_open_link_is_held(field: Field, pilot: Pilot) -> None:
    await pilot.take_off()
    assert pilot.lease is not None
    await pilot.bridge.return_lease(pilot.lease)
    with SilentRelay(field.address) as relay:
        far = await RemoteBridge.connect(relay.address, wait_s=30)
        lease = (await far.acquire_lease("drone", "far away")).lease
        frame_id = (await far.capture_frame("drone")).frame_id
        await far.command(lease, SetVelocity(right_m_s=0.8), ttl_s=5, based_on_frame_id=frame_id)
        await pilot.moves()
        relay.fall_silent()
        assert await pilot.comes_to_rest()
        relay.close()
        await far.close()
    await flies_again(pilot)


async def test_a_bridge_behind_a_link_that_stalls_holds_and_flies_on_and_stops_where_it_is_cut(tmp_path: Path) -> None:
    log, airfield_log = tmp_path / "bridge.log", tmp_path / "airfield.log"
    airfield = start("stillwing_airfield", "--seed", "3", "--port", "0", log=airfield_log)
    simulator = wait_for_line(airfield_log, "listening on").split()[-1]
    with SilentRelay(simulator) as relay:
        bridge = start("stillwing_bridge", "--simulator", relay.address, "--port", "0", log=log)
        try:
            address = "127.0.0.1:" + wait_for_line(log, "rpc.serving").split("port=")[1].split()[0]
            remote = await RemoteBridge.connect(address, wait_s=30)
            with looking(remote, simulator) as pilot:
                lease = await pilot.take_off()
                stalled = asyncio.ensure_future(pilot.do(Step(right_m=-1.5, speed_m_s=0.5)))
                await pilot.moves()
                relay.fall_silent()
                await asyncio.sleep(1.0)
                assert await pilot.speed_m_s() < STILL_M_S
                relay.carry_on()
                assert (await stalled).state is CommandState.SUCCEEDED
                command_id = await move_sideways(pilot, lease)
                relay.fall_silent()
                assert await pilot.comes_to_rest()
                assert (await remote.wait_command(command_id, 10)).state is CommandState.LINK_LOST
            relay.close()
            await remote.close()
        finally:
            end(bridge)
            end(airfield)


@pytest.mark.parametrize("jump_s", [-60.0, 60.0])
async def test_a_vehicle_clock_that_jumps_moves_nothing_on_an_old_picture(jump_s: float, tmp_path: Path) -> None:
    log, airfield_log = tmp_path / "bridge.log", tmp_path / "airfield.log"
    airfield = start("stillwing_airfield", "--seed", "3", "--port", "0", log=airfield_log)
    simulator = wait_for_line(airfield_log, "listening on").split()[-1]
    with SkewedRelay(simulator) as relay:
        relay.skew_s = 1000.0
        bridge = start("stillwing_bridge", "--simulator", relay.address, "--port", "0", log=log)
        try:
            address = "127.0.0.1:" + wait_for_line(log, "rpc.serving").split("port=")[1].split()[0]
            remote = await RemoteBridge.connect(address, wait_s=30)
            with looking(remote, simulator) as pilot:
                command_id = await fly_sideways(pilot)
                before = (await remote.capture_frame("drone")).frame_id
                relay.skew_s += jump_s
                assert await pilot.comes_to_rest(7)
                assert (await remote.wait_command(command_id, 10)).state is CommandState.PREEMPTED
                pilot.lease = (await remote.take_lease("drone", "test", "its clock jumped")).lease
                velocity = SetVelocity(right_m_s=0.8)
                with pytest.raises(ObservationStale):
                    await remote.command(pilot.lease, velocity, ttl_s=5, based_on_frame_id=before)
                await flies_again(pilot)
            relay.close()
            await remote.close()
        finally:
            end(bridge)
            end(airfield)


async def test_the_operator_stops_it_with_one_command_when_all_else_is_dead(
    field: Field, pilot: Pilot, tmp_path: Path
) -> None:
    await fly_sideways(pilot)
    command = [sys.executable, "-m", "stillwing_cli.main", "stop", "--bridge", field.address, "--json"]
    began_s = time.monotonic()
    stopped = await asyncio.to_thread(
        subprocess.run, command, cwd=tmp_path, env=ENV, capture_output=True, text=True, timeout=60, check=False
    )
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout)["latched"] == {"drone": "HOLD"}
    assert time.monotonic() - began_s < 30
    assert await pilot.comes_to_rest()
    with pytest.raises(StillwingError, match="emergency stop"):
        await flies_again(pilot)
    assert await pilot.bridge.emergency_stop("drone", StopLevel.KILL, "test") is StopLevel.KILL
    assert (await anext(pilot.bridge.watch_telemetry("drone"))).emergency_stop is not StopLevel.NONE


async def test_an_emergency_stop_outlives_a_killed_bridge(field: Field, pilot: Pilot, tmp_path: Path) -> None:
    keeping = {"STILLWING_BRIDGE_STOP_FILE": str(tmp_path / "stops.json"), "STILLWING_BRIDGE_OPERATOR_TOKEN": "secret"}

    async def killed_and_started_again() -> RemoteBridge:
        end(field.bridge)
        await asyncio.to_thread(field.start_bridge, keeping)
        return await RemoteBridge.connect(field.address, wait_s=30)

    bridge = await killed_and_started_again()
    await bridge.emergency_stop("drone", StopLevel.HOLD, "a bird")
    await bridge.close()
    bridge = await killed_and_started_again()
    pilot.bridge, pilot.lease = bridge, (await bridge.acquire_lease("drone", "test")).lease
    assert (await anext(bridge.watch_telemetry("drone"))).emergency_stop is StopLevel.HOLD
    with pytest.raises(EmergencyStopped):
        await pilot.do(Takeoff())
    await bridge.clear_emergency_stop("drone", "secret")
    await bridge.close()
    bridge = await killed_and_started_again()
    assert (await anext(bridge.watch_telemetry("drone"))).emergency_stop is StopLevel.NONE
    await bridge.close()
