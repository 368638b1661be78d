"""python -m pytest tests/contract/bridge/test_stop_contract.py -v

An emergency stop is taken whatever its words, whoever asks and whatever does not answer, in this process and behind the
wire; and whoever asks is told what stop is in force.
"""

import asyncio
import time

import pytest

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import CommandState, Hold, SetVelocity, Step
from stillwing_bridge.core.events import EmergencyStopChanged
from stillwing_bridge.core.types import MAX_REASON_CHARS, MAX_WHO_CHARS, StopLevel
from stillwing_common.errors import (
    EmergencyStopped,
    InvalidInput,
    LeaseSuperseded,
    LinkLost,
    NotPermitted,
    StopUnconfirmed,
    UnknownVehicle,
)


class NoWords:
    """Cannot even be written down."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


WORDS = {
    "none": ("", ""),
    "a NUL and 2,000 characters": ("a bird\0 " + "x" * 2000, "a bird x"),
    "a byte that is no UTF-8": (b"wind \xff".decode("utf-8", "surrogateescape"), "wind \ufffd"),
    "a lone surrogate": ("wind \ud83d", "wind \ufffd"),
    "two surrogates of one character": ("wind \ud83d\ude00", "wind \U0001f600"),
    "a terminal's commands": ("\x1b[2J\x07red\x9b31m\u202eder", "[2J red 31m der"),
    "a stack trace": ("Traceback:\n\n  File 'a.py'\r\n" + "  line\n" * 300, "Traceback: File 'a.py' line line"),
    "ten megabytes": ("wind " * 2_000_000, "wind wind"),
    "bytes": (b"wind \xff", "wind \ufffd"),
    "nothing": (None, ""),
    "a number": (7, "7"),
    "an object without words": (NoWords(), ""),
}


@pytest.mark.parametrize("said", WORDS, ids=WORDS)
async def test_no_words_keep_a_vehicle_from_being_stopped(rig, said: str) -> None:
    words, kept = WORDS[said]
    lease = await rig.take_off()
    flying = SetVelocity(forward_m_s=1)
    command_id = await rig.bridge.command(lease, flying, ttl_s=5, based_on_frame_id=await rig.frame_id())
    assert await rig.bridge.emergency_stop("drone", StopLevel.HOLD, words, who=words) is StopLevel.HOLD
    assert (await rig.bridge.wait_command(command_id, 1)).state is CommandState.ESTOP
    assert not rig.vehicle.moving
    stop = await rig.bridge.get_emergency_stop("drone")
    assert stop.reason.startswith(kept) and len(stop.reason) <= MAX_REASON_CHARS
    assert stop.who.startswith(kept) and len(stop.who) <= MAX_WHO_CHARS
    assert bool(stop.reason) == bool(kept), "an empty reason stays empty"
    (change,) = [
        entry.event
        async for entry in rig.bridge.watch_flight_log("drone", until_now=True)
        if isinstance(entry.event, EmergencyStopChanged)
    ]
    assert (change.reason, change.who) == (stop.reason, stop.who)


async def test_who_stopped_when_and_why_is_told_until_it_is_cleared(rig) -> None:
    assert await rig.bridge.get_emergency_stop("drone") is None
    lease = await rig.lease()
    before_ns = time.time_ns()
    await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "a bird", who="anna")
    await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "again", who="ben")
    stop = await rig.bridge.get_emergency_stop("drone")
    assert (stop.level, stop.reason, stop.who) == (StopLevel.HOLD, "a bird", "anna"), "the stop that is in force"
    assert before_ns <= stop.latched_time_ns <= time.time_ns()
    assert "stop_file" in stop.not_on_disk, "a bridge that keeps no stops says so"
    with pytest.raises(EmergencyStopped, match="level HOLD, by anna: a bird"):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=await rig.frame_id())
    await rig.bridge.emergency_stop("drone", StopLevel.LAND, "two birds", who="ben")
    stop = await rig.bridge.get_emergency_stop("drone")
    assert (stop.level, stop.who) == (StopLevel.LAND, "ben")
    assert await rig.bridge.clear_emergency_stop("drone", "secret") == "", "no disk holds it still"
    assert await rig.bridge.get_emergency_stop("drone") is None


async def test_a_caller_without_a_name_is_known_by_its_address(rig) -> None:
    await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "a bird")
    stop = await rig.bridge.get_emergency_stop("drone")
    assert stop.who.startswith("ipv4:127.0.0.1:") if isinstance(rig.bridge, RemoteBridge) else stop.who == ""


async def test_anybody_stops_what_somebody_else_holds(rig) -> None:
    lost = await rig.take_off()
    held = (await rig.bridge.take_lease("drone", "operator", "mine")).lease
    with pytest.raises(LeaseSuperseded):
        await rig.bridge.command(lost, Hold())
    assert await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "whose lease is superseded") is StopLevel.HOLD
    await rig.bridge.begin_thinking(held, 1)
    assert await rig.bridge.emergency_stop("drone", StopLevel.LAND, "while its author thinks") is StopLevel.LAND


async def test_a_vehicle_on_the_ground_is_stopped(rig) -> None:
    assert await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "before takeoff") is StopLevel.HOLD
    lease = await rig.lease()
    with pytest.raises(EmergencyStopped):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=await rig.frame_id())
    assert not rig.vehicle.armed


async def test_a_vehicle_out_of_reach_is_latched_said_and_stopped_when_it_answers(rig) -> None:
    lease = await rig.take_off()
    rig.vehicle.fail = {"state", "hold", "connect"}
    with pytest.raises(StopUnconfirmed, match="level HOLD") as told:
        await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "a bird", who="anna")
    assert isinstance(told.value, LinkLost) and told.value.metadata["level"] == "HOLD"
    stop = await rig.bridge.get_emergency_stop("drone")
    assert (stop.level, stop.who) == (StopLevel.HOLD, "anna")
    holds = rig.vehicle.holds
    rig.vehicle.fail = set()
    async with asyncio.timeout(5):
        async for state in rig.bridge.watch_telemetry("drone"):
            if state.emergency_stop is StopLevel.HOLD and rig.vehicle.holds > holds:
                break
    with pytest.raises(EmergencyStopped):
        await rig.bridge.command(lease, Step(forward_m=1), ttl_s=5, based_on_frame_id=await rig.frame_id())


async def test_a_caller_that_goes_away_at_once_has_stopped_it(rig) -> None:
    await rig.take_off()
    stopping = asyncio.ensure_future(rig.local.emergency_stop("drone", StopLevel.HOLD, "a bird"))
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait({stopping})
    assert (await rig.bridge.get_emergency_stop("drone")).reason == "a bird"


async def test_what_is_no_stop_is_named(rig) -> None:
    for unknown in ("other", "", "x" * 10_000):
        with pytest.raises(UnknownVehicle):
            await rig.bridge.emergency_stop(unknown, StopLevel.HOLD, "a bird")
        with pytest.raises(UnknownVehicle):
            await rig.bridge.get_emergency_stop(unknown)
    with pytest.raises((UnknownVehicle, InvalidInput)):
        await rig.bridge.emergency_stop("drone\udcff", StopLevel.HOLD, "a bird")
    with pytest.raises(InvalidInput):
        await rig.bridge.emergency_stop("drone", StopLevel.NONE, "a bird")
    await rig.bridge.emergency_stop("drone", StopLevel.HOLD, "a bird")
    with pytest.raises((NotPermitted, InvalidInput)):
        await rig.bridge.clear_emergency_stop("drone", "secret\udcff")
