"""python -m pytest tests/unit/bridge/test_commander_machine.py -v

Any interleaving of commands, thinking, silence, takeovers, cut lifelines, stops, resets, lost links, an empty battery
and clock steps, on a clock that stands still: no motion is ever in force without a fresh lease, an unexpired ttl, an
author who does not think, a picture that was fresh, a battery above its floor, and no emergency stop. Many
thousand steps, each followed by the invariants.
"""

from typing import ClassVar

import pytest
from hypothesis import HealthCheck, event, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from run_profile import sized

from stillwing_bridge.core.commands import CommandState, Land, SetVelocity, Step, Takeoff, Turn
from stillwing_bridge.core.events import CommandEnded, CommandStarted, ThinkingBegan, ThinkingEnded
from stillwing_bridge.core.judge.commander import Commander
from stillwing_bridge.core.judge.effects import (
    DescendNow,
    Draft,
    HoldNow,
    KillNow,
    LandNow,
    StartMotion,
    WatchdogSettings,
)
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.judge.lease import LeaseBook
from stillwing_bridge.core.judge.seen_frames import FrameRecord, FrameRegistry
from stillwing_bridge.core.types import Lease, Limits, StopLevel
from stillwing_bridge.core.vehicle import FlyVelocity, VehicleState
from stillwing_common.clock import FakeClock
from stillwing_common.errors import LinkLost, StillwingError
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

PLAN = FlyVelocity(1, 0, 0, 0)
POSE = Pose(PositionNed(0, 0, -2), Quaternion(1, 0, 0, 0))
STILL = VelocityNed(0, 0, 0)
MAX_AGE_S = 5.0
COMMANDS = (Step(forward_m=1), SetVelocity(forward_m_s=1), Turn(15), Takeoff(), Land())
LIMITS = Limits(max_observation_age_s=MAX_AGE_S, battery_floor_fraction=0.2, battery_land_fraction=0.1)
STEPS = sized(ci=20_000, nightly=500_000)
ACTS = (
    "think", "hold", "stop", "take", "return", "reset", "grow_old", "lose", "other", "silence", "expire", "go_stale",
    "empty", "land", "other_world",
)  # fmt: skip
MAKE_NO_DIFFERENCE_BEFORE = ("hold", "take", "other", "silence", "expire", "go_stale")
MAY_ANYWAY = {
    "grow_old": (Takeoff, Land), "other_world": (Takeoff, Land), "empty": (Land,), "land": (Takeoff,),
}  # fmt: skip


class CommanderMachine(RuleBasedStateMachine):
    """Plays the driver: carries out effects at once, late, or not at all, and watches what is in force."""

    steps: ClassVar[int] = 0
    leases = Bundle("leases")
    drafts = Bundle("drafts")

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.world_time_ns = 0
        self.world = 0
        self.flying = True
        self.frames = FrameRegistry("v", capacity=8)
        self.frame_ids: list[str] = []
        self.captured: dict[str, tuple[int, int]] = {}
        self.book = LeaseBook("v", "epoch", self.clock)
        self.log = FlightLog(self.clock)
        self.commander = Commander(self.book, self.frames, self.log, self.clock, LIMITS, WatchdogSettings())
        self.battery: float | None = None
        self.emptied = False
        self.pending_holds: list[int] = []
        self.executing: str | None = None
        self.deadlines: dict[str, float] = {}
        self.accepted: dict[str, Draft] = {}
        self.newest_lease: Lease | None = None
        self.last_sign_s = 0.0
        self.read_seq = 0
        self.logged_moving: set[str] = set()
        self.logged_thinking = False
        self.see()
        self.look()
        self.given(self.commander.acquire_lease("first", None).lease)

    def stamp(self) -> Stamp:
        return Stamp(self.world_time_ns, f"clk{self.world}")

    # The world

    def observe(self, hit: str | None = None) -> None:
        state = VehicleState(self.stamp(), POSE, STILL, self.flying, True, hit, True, self.battery)
        self.commander.observe(state)
        self.carry_out()

    @rule()
    def see(self) -> None:
        self.observe()

    @rule()
    def bump(self) -> None:
        self.observe("tree")
        assert not self.commander.moving

    @rule(battery=st.sampled_from([None, 1.0, 0.5, 0.2, 0.19, 0.15, 0.05]))
    def empty_or_charge(self, battery: float | None) -> None:
        self.battery = battery
        self.observe()
        if battery == 0.05 and self.flying and self.commander.stop_level is StopLevel.NONE:
            assert self.emptied
            assert not self.commander.moving

    @rule()
    def look(self) -> None:
        frame_id = self.frames.next_id("c")
        self.frames.add(FrameRecord(frame_id, "c", self.stamp(), None, 4, 3, 90))
        self.frame_ids.append(frame_id)
        self.captured[frame_id] = (self.world, self.world_time_ns)

    @rule(flying=st.booleans())
    def land_or_fly(self, flying: bool) -> None:
        self.flying = flying
        self.see()

    @rule(seconds=st.sampled_from([0.01, 0.2, 0.6, 1.1, 3.5, 31.0]))
    def pass_time(self, seconds: float) -> None:
        # No coarser than the driver ticks; what the vehicle reports goes on with time.
        left_s = seconds
        while left_s > 0:
            step_s = min(left_s, max(self.commander.next_tick_s, 0.001))
            self.clock.advance(step_s)
            self.world_time_ns += round(step_s * 1e9)
            left_s -= step_s
            self.commander.tick()
            self.carry_out()
            self.invariant_moving()

    @rule(seconds=st.sampled_from([-60, 60, 3600]))
    def step_the_wall_clock(self, seconds: int) -> None:
        self.clock.set_wall_ns(self.clock.wall_ns() + seconds * 1_000_000_000)

    @rule()
    def reset_the_world(self) -> None:
        self.world += 1
        self.world_time_ns = 0
        self.emptied, self.battery = False, None
        self.see()
        assert not self.commander.moving
        assert self.book.state is None

    @rule()
    def lose_the_link(self) -> None:
        self.commander.link_lost(LinkLost("unplugged"))
        self.executing = None
        self.carry_out()
        assert not self.commander.moving

    @rule()
    def restore_the_link(self) -> None:
        self.commander.link_restored()
        self.emptied = False
        self.see()

    # Callers

    @rule(target=leases, holder=st.sampled_from(["ann", "bob"]))
    def acquire(self, holder: str) -> Lease:
        try:
            lease = self.commander.acquire_lease(holder, None).lease
        except StillwingError:
            state = self.book.state
            assert state is not None
            assert not state.stale
            return state.lease
        finally:
            self.carry_out()
        self.given(lease)
        return lease

    @rule(target=leases, stale_after_s=st.sampled_from([None, 0.4]))
    def take(self, stale_after_s: float | None) -> Lease:
        return self.given_to_person(stale_after_s)

    def given_to_person(self, stale_after_s: float | None = None) -> Lease:
        lease = self.commander.take_lease("person", "test", stale_after_s).lease
        self.carry_out()
        self.given(lease)
        return lease

    @rule(lease=leases)
    def retain(self, lease: Lease) -> None:
        self.call(lease, lambda: self.commander.retain_lease(lease))

    @rule(newest=st.booleans(), lease=leases)
    def cut_the_lifeline(self, newest: bool, lease: Lease) -> None:
        cut = self.newest_lease if newest and self.newest_lease is not None else lease
        self.commander.author_gone(cut)
        self.carry_out()
        assert not (self.commander.moving and cut == self.newest_lease)

    @rule(lease=leases)
    def give_back(self, lease: Lease) -> None:
        self.call(lease, lambda: self.commander.return_lease(lease))

    @rule(
        target=drafts,
        lease=leases,
        command=st.sampled_from(COMMANDS),
        ttl_s=st.sampled_from([None, 0.0, 0.3, 2.0, 5.0, 100.0]),
        newest=st.booleans(),
        request_id=st.sampled_from(["", "a", "b", "c"]),
    )
    def propose(
        self, lease: Lease, command: Step, ttl_s: float | None, newest: bool, request_id: str
    ) -> tuple[Draft | None, float]:
        frame_id = self.frame_ids[-1 if newest else 0]
        now_s = self.clock.monotonic_s()
        draft = self.call(
            lease,
            lambda: self.commander.propose(
                lease, command, ttl_s=ttl_s, based_on_frame_id=frame_id, request_id=request_id
            ),
        )
        if not isinstance(draft, Draft):
            return None, 0.0
        assert ttl_s is not None
        return draft, now_s + ttl_s

    @rule(target=drafts, command=st.sampled_from(COMMANDS), ttl_s=st.sampled_from([0.3, 2.0, 5.0]))
    def propose_well(self, command: Step, ttl_s: float) -> tuple[Draft | None, float]:
        self.look()
        lease = self.newest_lease
        assert lease is not None
        return self.propose(lease, command, ttl_s, True, "")

    @rule(command=st.sampled_from(COMMANDS), ttl_s=st.sampled_from([0.3, 2.0, 5.0]), between=st.booleans())
    def fly(self, command: Step, ttl_s: float, between: bool) -> None:
        """Everything is put right first, so that most runs have motions to break."""
        self.flying, self.battery = True, None
        if self.commander.state is None:
            self.commander.link_restored()
            self.emptied = False
        self.see()
        if self.emptied:  # only a new world has a new battery
            self.reset_the_world()
        self.commander.clear_emergency_stop()
        if not self.book.fresh or self.newest_lease is None:
            self.given_to_person()
        assert self.newest_lease is not None
        self.end_thinking(self.newest_lease)
        pair = self.propose_well(command, ttl_s)
        if between:
            self.see()
        self.accept(pair)
        assert self.commander.moving

    @rule(
        command=st.sampled_from(COMMANDS),
        act=st.sampled_from(ACTS),
        first=st.booleans(),
    )
    def fly_interrupted(self, command: Step, act: str, first: bool) -> None:
        """Something happens before the motion is proposed, or while it is being checked: it must not start."""
        self.fly(Turn(1), 0.3, True)
        assert self.newest_lease is not None
        if act == "go_stale":
            self.given_to_person(0.4)
        lease, pair = self.newest_lease, (None, 0.0)
        before = self.commander.motion_id
        if not first:
            pair = self.propose_well(command, 2.0)
        match act:
            case "think":
                self.begin_thinking(lease, late=False)
            case "hold":
                self.hold(lease)
            case "stop":
                self.stop(StopLevel.HOLD, late=False)
            case "take":
                self.given_to_person()
            case "return":
                self.give_back(lease)
            case "reset":
                self.reset_the_world()
            case "grow_old":
                self.world_time_ns += round((MAX_AGE_S + 1) * 1e9)
                self.see()
            case "lose":
                self.lose_the_link()
            case "other":
                self.propose_well(Turn(2), 2.0)
            case "silence":
                self.pass_time(1.1)
            case "go_stale":
                self.pass_time(0.5)
            case "empty":
                self.empty_or_charge(0.15)
            case "land":
                self.land_or_fly(False)
            case "other_world":
                self.look()
                self.reset_the_world()
                lease = self.given_to_person()
            case "expire":
                for _ in range(4):
                    self.pass_time(0.6)
                    self.retain_newest()
        if first and act in MAKE_NO_DIFFERENCE_BEFORE:
            return  # a motion after these is a motion like any other
        if first:
            frame_id = self.frame_ids[-1]
            pair = (None, 0.0)
            try:
                draft = self.commander.propose(lease, command, ttl_s=2.0, based_on_frame_id=frame_id, request_id="")
            except StillwingError:
                return
            assert isinstance(draft, Draft)
            assert isinstance(command, MAY_ANYWAY.get(act, ())), f"{act} does not keep a motion from being proposed"
            return
        self.accept(pair)
        assert self.commander.motion_id in (None, before) or isinstance(command, MAY_ANYWAY.get(act, ()))

    @rule()
    def retain_newest(self) -> None:
        assert self.newest_lease is not None
        self.retain(self.newest_lease)

    @rule(late=st.booleans())
    def think(self, late: bool) -> None:
        assert self.newest_lease is not None
        self.begin_thinking(self.newest_lease, late)

    @rule()
    def think_no_more(self) -> None:
        assert self.newest_lease is not None
        self.end_thinking(self.newest_lease)

    @rule()
    def acquire_again(self) -> None:
        self.acquire("ann")

    @rule(pair=consumes(drafts))
    def accept(self, pair: tuple[Draft | None, float]) -> None:
        draft, deadline_s = pair
        if draft is None:
            return
        try:
            self.commander.accept(draft, PLAN)
        except StillwingError:
            return
        event(f"accepted a {type(draft.command).__name__}")
        self.accepted[draft.command_id] = draft
        self.deadlines[draft.command_id] = deadline_s
        if draft.based_on_frame_id and not isinstance(draft.command, Takeoff | Land):
            world, time_ns = self.captured[draft.based_on_frame_id]
            assert world == self.world
            state = self.commander.state
            assert state is not None
            assert state.stamp.time_ns - time_ns <= MAX_AGE_S * 1e9
        self.carry_out()

    @rule(lease=leases)
    def hold(self, lease: Lease) -> None:
        self.call(lease, lambda: self.commander.hold(lease, ""))

    @rule(lease=leases, late=st.booleans())
    def begin_thinking(self, lease: Lease, late: bool) -> None:
        self.call(lease, lambda: self.commander.begin_thinking(lease), late=late)

    @rule()
    def does_not_come_to_rest(self) -> None:
        if self.commander.thinking is not None:
            self.commander.refuse_thinking("of another time")
            assert self.commander.thinking is not None
            self.commander.refuse_thinking(self.commander.thinking.thinking_id)
            assert self.commander.thinking is None
            self.carry_out()

    @rule(lease=leases)
    def end_thinking(self, lease: Lease) -> None:
        self.call(lease, lambda: self.commander.end_thinking(lease))

    @rule(state=st.sampled_from([CommandState.SUCCEEDED, CommandState.OBSTRUCTED, CommandState.FENCE]))
    def motion_ends(self, state: CommandState) -> None:
        if self.commander.motion_id is not None:
            self.executing = None
            self.commander.motion_ended(self.commander.motion_id, state)
            self.carry_out()
            assert not self.commander.moving

    @rule(level=st.sampled_from([StopLevel.HOLD, StopLevel.LAND, StopLevel.KILL]), late=st.booleans())
    def stop(self, level: StopLevel, late: bool) -> None:
        before = self.commander.stop_level
        latched, _ = self.commander.emergency_stop(level, "test")
        self.emptied = False  # an operator's word outranks the bridge's own
        assert latched == max(before, level)
        assert not self.commander.moving
        self.carry_out(late=late)

    @rule()
    def clear_the_stop(self) -> None:
        self.commander.clear_emergency_stop()

    @precondition(lambda self: self.pending_holds)
    @rule(fails=st.booleans())
    def answer_late_hold(self, fails: bool) -> None:
        hold_id = self.pending_holds.pop(0)
        if fails:
            self.executing = None
            self.commander.hold_failed(hold_id, LinkLost("test"))
        else:
            self.commander.hold_in_force(hold_id)
        self.carry_out()

    # The driver

    def carry_out(self, *, late: bool = False) -> None:
        for effect in self.commander.take_effects():
            match effect:
                case HoldNow(hold_id, _):
                    self.executing = None
                    if late:
                        self.pending_holds.append(hold_id)
                    else:
                        self.commander.hold_in_force(hold_id)
                case StartMotion(command_id, _, ttl_s):
                    assert ttl_s > 0
                    if self.commander.moving and self.commander.motion_id == command_id:
                        self.executing = command_id
                case LandNow(cause):
                    self.executing = None
                    self.emptied = self.emptied or cause == "battery"
                case KillNow() | DescendNow():
                    self.executing = None
        if self.commander._effects:
            self.carry_out()

    def call(self, lease: Lease, make, *, late: bool = False):  # type: ignore[no-untyped-def]
        try:
            result = make()
        except StillwingError:
            self.carry_out()
            return None
        if lease == self.newest_lease:
            self.last_sign_s = self.clock.monotonic_s()
        self.carry_out(late=late)
        return result

    def given(self, lease: Lease) -> None:
        assert self.newest_lease is None or lease.sequence > self.newest_lease.sequence
        self.newest_lease = lease
        self.last_sign_s = self.clock.monotonic_s()
        assert not self.commander.moving

    # What must always be true, said without the commander's help

    @invariant()
    def invariant_moving(self) -> None:
        self.commander.check_integrity()
        if self.executing is not None and self.executing != self.commander.motion_id:
            raise AssertionError("the vehicle flies a command that is not in force")
        if not self.commander.moving:
            return
        command_id = self.commander.motion_id
        assert command_id is not None
        draft = self.accepted[command_id]
        now_s = self.clock.monotonic_s()
        assert draft.lease == self.newest_lease
        assert now_s - self.last_sign_s <= 1.0 + 0.01
        assert now_s < self.deadlines[command_id]
        assert self.commander.thinking is None
        assert self.commander.stop_level is StopLevel.NONE
        if self.battery is not None and self.battery < LIMITS.battery_floor_fraction:
            assert isinstance(draft.command, Land)

    @invariant()
    def the_log_says_the_same(self) -> None:
        for entry in self.log.after(self.read_seq, 100_000):
            self.read_seq += 1
            assert entry.log_seq == self.read_seq
            match entry.event:
                case CommandStarted(command_id, _, True, _):
                    assert not self.logged_thinking
                    assert not self.logged_moving
                    self.logged_moving.add(command_id)
                case CommandEnded(status):
                    assert status.ended
                    self.logged_moving.discard(status.command_id)
                case ThinkingBegan():
                    assert not self.logged_moving
                    assert not self.logged_thinking
                    self.logged_thinking = True
                case ThinkingEnded():
                    assert self.logged_thinking
                    self.logged_thinking = False
        assert self.logged_moving == ({self.commander.motion_id} if self.commander.motion_id else set())

    @invariant()
    def count(self) -> None:
        CommanderMachine.steps += 1


@pytest.mark.timeout(1800)
def test_the_invariant_holds_after_each_of_many_thousand_steps(run_seed: int) -> None:
    """A few hundred runs at a time, each of fresh random choices, until so many steps were taken."""
    CommanderMachine.steps = 0
    chosen = settings(
        max_examples=300,
        stateful_step_count=60,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    while CommanderMachine.steps < STEPS:
        run_state_machine_as_test(seed(run_seed + CommanderMachine.steps)(CommanderMachine), settings=chosen)
    assert CommanderMachine.steps >= STEPS
