"""python -m pytest tests/e2e/bridge/test_bridge_killed.py -v

The bridge killed and frozen in a takeoff, a turn and a landing: the vehicle stands still within the promised time,
and a bridge that wakes up moves nothing. Translation is `test_bridge_flight.py`'s.
"""

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest
from bridge_field import STILL_M_S, Field, Pilot, end, looking, running_field
from run_profile import sized

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import Command, Land, SetVelocity, Takeoff, Turn
from stillwing_bridge.core.types import PROMISED_STILL_S

pytestmark = [pytest.mark.e2e, pytest.mark.serial, pytest.mark.timeout(240)]

STILL_RAD_S = 0.1
SIGNALS = (signal.SIGKILL, signal.SIGSTOP)
MOTIONS: dict[str, Command] = {
    "takeoff": Takeoff(20), "turn": Turn(170), "velocity": SetVelocity(right_m_s=1.0), "land": Land(),
}  # fmt: skip
CASES = [("takeoff", SIGNALS[0]), ("turn", SIGNALS[1]), ("land", SIGNALS[0])]
EVERY_CASE = [(motion, number) for motion in MOTIONS for number in SIGNALS]


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    with running_field(tmp_path_factory.mktemp("field")) as field:
        yield field


async def moves(pilot: Pilot) -> bool:
    kinematics = await pilot.truth.call("simGetGroundTruthKinematics", "", timeout_s=2)
    speed_m_s = sum(part**2 for part in kinematics["linear_velocity"].values()) ** 0.5
    return speed_m_s >= STILL_M_S or abs(kinematics["angular_velocity"]["z_val"]) >= STILL_RAD_S


async def still_after_s(pilot: Pilot) -> float:
    began_s = still_since_s = time.monotonic()
    while time.monotonic() - still_since_s < 0.5 and time.monotonic() - began_s < 10:
        if await moves(pilot):
            still_since_s = time.monotonic()
        await asyncio.sleep(0.02)
    return still_since_s - began_s


@pytest.mark.parametrize(("motion", "number"), sized(ci=CASES, nightly=EVERY_CASE))
async def test_a_dead_or_frozen_bridge_ends_every_motion(field: Field, motion: str, number: signal.Signals) -> None:
    bridge = await RemoteBridge.connect(field.address, wait_s=30)
    with looking(bridge, field.simulator) as pilot:
        if motion == "takeoff":
            await pilot.simulation.reset()
        pilot.lease = (await bridge.take_lease("drone", "test", "a bridge is to die")).lease
        if motion not in ("takeoff", "turn"):  # a turn finds it in the air
            await pilot.do(Takeoff(4), 30)
        frame_id = (await bridge.capture_frame("drone")).frame_id
        ttl_s = 5 if motion == "velocity" else 30
        command_id = await bridge.command(pilot.lease, MOTIONS[motion], ttl_s=ttl_s, based_on_frame_id=frame_id)
        awaited = asyncio.ensure_future(bridge.wait_command(command_id, 20))
        async with asyncio.timeout(10):
            while not await moves(pilot):  # noqa: ASYNC110 (asked of another process)
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.7 if motion == "takeoff" else 0.3)
        assert await moves(pilot)
        field.bridge.send_signal(number)
        assert await still_after_s(pilot) <= PROMISED_STILL_S
        if number is signal.SIGSTOP:
            await asyncio.sleep(sized(ci=0.5, nightly=10.0))
            field.bridge.send_signal(signal.SIGCONT)
            until_s = time.monotonic() + 1.0
            while time.monotonic() < until_s:
                assert not await moves(pilot), "a stale command was flown"
                await asyncio.sleep(0.02)
        else:
            end(field.bridge)
            await asyncio.to_thread(field.start_bridge)
    awaited.cancel()
    await asyncio.gather(awaited, return_exceptions=True)
    await bridge.close()
