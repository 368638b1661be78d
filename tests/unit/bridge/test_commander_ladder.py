"""python -m pytest tests/unit/bridge/test_commander_ladder.py -v

What a vehicle does while its holder is silent, rung by rung, on a clock that stands still until told.
"""

import pytest

from stillwing_bridge.core.base import CommandState, Held, LeaseChanged, LeaseState, Limits, Step, StopLevel
from stillwing_bridge.core.commander import Commander
from stillwing_bridge.core.effects import (
    DescendNow,
    Draft,
    Effect,
    HoldNow,
    LandNow,
    SilenceNoticed,
    StartMotion,
    WatchdogSettings,
)
from stillwing_bridge.core.flight_log import FlightLog
from stillwing_bridge.core.frames import FrameRecord, FrameRegistry
from stillwing_bridge.core.lease import LeaseBook
from stillwing_bridge.core.vehicle import FlyTo, VehicleState
from stillwing_common.clock import FakeClock
from stillwing_common.errors import LinkLost
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

STAMP = Stamp(1_000_000_000, "clk")


class Flight:
    """A commander with a motion in force, and every effect it asks for by time."""

    def __init__(self, flying: bool = True) -> None:
        self.clock = FakeClock()
        self.log = FlightLog(self.clock)
        frames = FrameRegistry("v")
        frames.add(FrameRecord("v/c/1", "c", STAMP, None, 4, 3, 90))
        self.commander = Commander(
            LeaseBook("v", "epo", self.clock), frames, self.log, self.clock, Limits(), WatchdogSettings()
        )
        self.effects: list[tuple[float, Effect]] = []
        self.began_s = self.clock.monotonic_s()
        self.observe(flying)
        self.state: LeaseState = self.commander.acquire_lease("agent", None)

    def observe(self, flying: bool = True, speed_m_s: float = 0.0) -> None:
        pose = Pose(PositionNed(0, 0, -2), Quaternion(1, 0, 0, 0))
        self.commander.observe(VehicleState(STAMP, pose, VelocityNed(speed_m_s, 0, 0), flying, True))
        self.carry_out()

    def fly(self) -> str:
        draft = self.commander.propose(
            self.state.lease, Step(forward_m=1), ttl_s=60, based_on_frame_id="v/c/1", request_id=""
        )
        assert isinstance(draft, Draft)
        command_id = self.commander.accept(draft, FlyTo(PositionNed(1, 0, -2), 1))
        self.carry_out()
        return command_id

    def wait(self, seconds: float) -> None:
        until_s = self.clock.monotonic_s() + seconds
        while (left_s := until_s - self.clock.monotonic_s()) > 0:
            self.clock.advance(min(left_s, self.commander.next_tick_s))
            self.commander.tick()
            self.carry_out()

    def carry_out(self) -> None:
        for effect in self.commander.take_effects():
            self.effects.append((self.clock.monotonic_s() - self.began_s, effect))
            if isinstance(effect, HoldNow):
                self.commander.hold_in_force(effect.hold_id)

    def times(self, kind: type[Effect]) -> list[float]:
        return [time_s for time_s, effect in self.effects if isinstance(effect, kind)]


def test_silence_is_noticed_held_stale_sunk_and_landed_in_that_order() -> None:
    flight = Flight()
    command_id = flight.fly()
    flight.wait(70)
    assert flight.times(StartMotion) == [0.0]
    assert flight.times(SilenceNoticed) == pytest.approx([0.5], abs=0.01)
    assert flight.times(HoldNow) == pytest.approx([1.0], abs=0.01)
    assert flight.times(DescendNow) == pytest.approx([30], abs=0.6)
    assert flight.times(LandNow) == pytest.approx([60], abs=0.6)
    assert flight.commander.status(command_id).state is CommandState.PREEMPTED
    events = [entry.event for entry in flight.log.after(0)]
    assert Held("watchdog") in events
    assert [event.change for event in events if isinstance(event, LeaseChanged)] == ["acquired", "stale"]


def test_a_sign_of_life_begins_the_ladder_anew() -> None:
    flight = Flight()
    flight.fly()
    for _ in range(10):
        flight.wait(0.45)
        flight.commander.retain_lease(flight.state.lease)
        flight.carry_out()
    assert flight.times(SilenceNoticed) == flight.times(HoldNow) == []
    assert flight.commander.moving


def test_a_vehicle_on_the_ground_is_left_there() -> None:
    flight = Flight(flying=False)
    flight.wait(70)
    assert flight.times(DescendNow) == flight.times(LandNow) == []


def test_a_vehicle_given_back_in_the_air_is_expected_to_stay_there() -> None:
    flight = Flight()
    flight.fly()
    flight.commander.return_lease(flight.state.lease)
    flight.carry_out()
    flight.wait(70)
    assert flight.times(HoldNow) == [0.0]
    assert flight.times(LandNow) == []


def test_who_acquires_a_sinking_vehicle_finds_it_held() -> None:
    flight = Flight()
    flight.fly()
    flight.wait(31)
    assert len(flight.times(DescendNow)) == 1
    holds = len(flight.times(HoldNow))
    flight.state = flight.commander.acquire_lease("next", None)
    flight.carry_out()
    assert len(flight.times(HoldNow)) == holds + 1
    flight.fly()
    assert flight.commander.moving


def test_an_emergency_stop_is_not_undone_by_the_ladder() -> None:
    flight = Flight()
    flight.commander.emergency_stop(StopLevel.HOLD, "test")
    flight.carry_out()
    flight.wait(70)
    assert flight.times(LandNow) == flight.times(DescendNow) == []


def test_what_drifts_though_it_should_hold_is_held_again() -> None:
    flight = Flight()
    flight.observe(speed_m_s=0.8)
    assert flight.times(HoldNow) == []
    flight.clock.advance(1.6)
    flight.observe(speed_m_s=0.8)
    assert len(flight.times(HoldNow)) == 1
    flight.clock.advance(0.5)
    flight.observe(speed_m_s=0.8)
    assert len(flight.times(HoldNow)) == 1


@pytest.mark.parametrize(("level", "effect"), [(StopLevel.LAND, LandNow), (StopLevel.HOLD, HoldNow)])
def test_a_latched_stop_is_carried_out_again_once_the_link_is_back(level: StopLevel, effect: type[Effect]) -> None:
    flight = Flight()
    flight.commander.emergency_stop(level, "test")
    flight.carry_out()
    before = len(flight.times(effect))
    flight.commander.link_lost(LinkLost("unplugged"))
    flight.commander.link_restored()
    flight.carry_out()
    assert len(flight.times(effect)) == before + 1
