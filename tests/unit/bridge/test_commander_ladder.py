"""python -m pytest tests/unit/bridge/test_commander_ladder.py -v

What a vehicle does while its holder is silent, rung by rung, on a clock that stands still until told.
"""

from dataclasses import replace

import pytest

from stillwing_bridge.core.commands import CommandState, Land, Step
from stillwing_bridge.core.events import Held, LandingBegan, LeaseChanged, SilenceNoticed
from stillwing_bridge.core.judge.commander import Commander
from stillwing_bridge.core.judge.effects import (
    DescendNow,
    Draft,
    Effect,
    HoldNow,
    LandNow,
    StartMotion,
    WatchdogSettings,
)
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.judge.lease import LeaseBook
from stillwing_bridge.core.judge.seen_frames import FrameRecord, FrameRegistry
from stillwing_bridge.core.types import LeaseState, Limits, StopLevel
from stillwing_bridge.core.vehicle import Descend, FlyTo, VehicleState
from stillwing_common.clock import FakeClock
from stillwing_common.errors import BatteryLow, CommandExpired, LinkLost
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

STAMP = Stamp(1_000_000_000, "clk")


class Flight:
    """A commander with a motion in force, and every effect it asks for by time."""

    state: LeaseState

    def __init__(self, flying: bool = True, holder: str = "agent") -> None:
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
        if holder:
            self.state = self.commander.acquire_lease(holder, None)

    def observe(
        self, flying: bool = True, speed_m_s: float = 0.0, armed: bool = True, battery: float | None = None
    ) -> None:
        pose = Pose(PositionNed(0, 0, -2), Quaternion(1, 0, 0, 0))
        velocity = VelocityNed(speed_m_s, 0, 0)
        self.commander.observe(VehicleState(STAMP, pose, velocity, flying, armed, battery_fraction=battery))
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
    assert flight.times(HoldNow) == pytest.approx([0.55], abs=0.01)
    assert flight.times(DescendNow) == pytest.approx([30], abs=0.6)
    assert flight.times(LandNow) == pytest.approx([60], abs=0.6)
    assert flight.commander.status(command_id).state is CommandState.PREEMPTED
    events = [entry.event for entry in flight.log.after(0)]
    (noticed,) = (event for event in events if isinstance(event, SilenceNoticed))
    assert noticed.silence_s == pytest.approx(0.3, abs=0.01)
    assert Held("watchdog") in events
    assert [event for event in events if isinstance(event, LandingBegan)] == [
        LandingBegan("watchdog_descend"), LandingBegan("watchdog_land"),
    ]  # fmt: skip
    assert [event.change for event in events if isinstance(event, LeaseChanged)] == ["acquired", "stale"]


def test_an_author_that_fell_silent_while_its_motion_was_checked_does_not_see_it_start() -> None:
    flight = Flight()
    draft = flight.commander.propose(
        flight.state.lease, Step(forward_m=1), ttl_s=60, based_on_frame_id="v/c/1", request_id=""
    )
    assert isinstance(draft, Draft)
    flight.wait(1.1)
    with pytest.raises(CommandExpired, match="silent"):
        flight.commander.accept(draft, FlyTo(PositionNed(1, 0, -2), 1))
    assert flight.times(StartMotion) == []


def test_a_sign_of_life_begins_the_ladder_anew() -> None:
    flight = Flight()
    flight.fly()
    for _ in range(10):
        flight.wait(0.25)
        flight.commander.retain_lease(flight.state.lease)
        flight.carry_out()
    assert flight.times(HoldNow) == []
    assert not any(isinstance(entry.event, SilenceNoticed) for entry in flight.log.after(0))
    assert flight.commander.moving


@pytest.mark.parametrize("armed", [False, True])
def test_a_vehicle_on_the_ground_is_left_there_but_not_with_turning_motors(armed: bool) -> None:
    flight = Flight(flying=False)
    flight.observe(flying=False, armed=armed)
    flight.wait(70)
    assert flight.times(DescendNow) == []
    assert len(flight.times(LandNow)) == armed


def test_a_vehicle_given_back_in_the_air_does_not_stay_there_until_its_battery_is_empty() -> None:
    flight = Flight()
    flight.fly()
    flight.wait(0.4)
    flight.commander.return_lease(flight.state.lease)
    flight.carry_out()
    flight.wait(70)
    assert flight.times(HoldNow) == pytest.approx([0.4], abs=0.01)
    assert flight.times(DescendNow) == pytest.approx([30.4], abs=0.6)
    assert flight.times(LandNow) == pytest.approx([60.4], abs=0.6)


def test_a_vehicle_that_flies_when_the_bridge_starts_is_landed_if_nobody_takes_it() -> None:
    flight = Flight(holder="")
    flight.wait(70)
    assert flight.times(DescendNow) == pytest.approx([30], abs=0.6)
    assert flight.times(LandNow) == pytest.approx([60], abs=0.6)


def test_a_landing_that_a_lost_link_broke_off_is_begun_again() -> None:
    flight = Flight()
    flight.wait(61)
    assert len(flight.times(LandNow)) == 1
    flight.commander.link_lost(LinkLost("unplugged"))
    flight.commander.link_restored()
    flight.observe()
    flight.wait(1)
    assert len(flight.times(LandNow)) == 2


def test_the_end_of_the_lifeline_holds_at_once() -> None:
    flight = Flight()
    command_id = flight.fly()
    flight.wait(0.1)
    flight.commander.author_gone(flight.state.lease)
    flight.carry_out()
    assert flight.times(HoldNow) == pytest.approx([0.1], abs=0.01)
    assert flight.commander.status(command_id).state is CommandState.PREEMPTED
    taken = flight.commander.take_lease("person", "test", None)
    flight.commander.author_gone(flight.state.lease)
    flight.state = taken
    flight.fly()
    flight.commander.author_gone(replace(taken.lease, sequence=1))
    assert flight.commander.moving


def test_below_the_floor_only_holding_and_landing_are_flown_and_below_the_other_the_bridge_lands() -> None:
    flight = Flight()
    flight.observe(battery=0.21)
    command_id = flight.fly()
    flight.observe(battery=0.19)
    status = flight.commander.status(command_id)
    assert (status.state, type(status.error)) == (CommandState.FAILED, BatteryLow)
    assert len(flight.times(HoldNow)) == 1
    lease = flight.state.lease
    with pytest.raises(BatteryLow) as low:
        flight.fly()
    assert low.value.metadata["battery_fraction"] == "0.19"
    flight.commander.hold(lease, "")
    flight.carry_out()
    draft = flight.commander.propose(lease, Land(), ttl_s=60, based_on_frame_id="", request_id="")
    assert isinstance(draft, Draft)
    flight.commander.accept(draft, Descend(1))
    flight.carry_out()
    flight.observe(battery=0.15)
    assert flight.commander.moving, "landing goes on below the floor"
    flight.observe(battery=0.09)
    assert len(flight.times(LandNow)) == 1
    assert LandingBegan("battery") in [entry.event for entry in flight.log.after(0)]
    for forbidden in (
        lambda: flight.commander.hold(lease, ""),
        lambda: flight.commander.begin_thinking(lease),
        lambda: flight.commander.propose(lease, Land(), ttl_s=9, based_on_frame_id="", request_id=""),
    ):
        with pytest.raises(BatteryLow):
            forbidden()
    flight.observe(battery=0.08)
    assert len(flight.times(LandNow)) == 1


def test_an_operator_may_stop_a_landing_and_clear_an_emergency_landing_into_a_hold() -> None:
    flight = Flight()
    flight.observe(battery=0.05)
    flight.commander.emergency_stop(StopLevel.HOLD, "people below")
    flight.carry_out()
    flight.observe(battery=0.05)
    assert len(flight.times(LandNow)) == 1
    flight.commander.clear_emergency_stop()
    flight.observe(battery=0.05)
    assert len(flight.times(LandNow)) == 2
    other = Flight()
    other.commander.emergency_stop(StopLevel.LAND, "down")
    other.carry_out()
    other.commander.clear_emergency_stop()
    other.carry_out()
    assert len(other.times(HoldNow)) == 1


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
