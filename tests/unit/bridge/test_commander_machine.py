"""python -m pytest tests/unit/bridge/test_commander_machine.py -v

Any interleaving of commands, thinking, silence, takeovers, stops, resets, lost links and clock steps, on a clock that
stands still: no motion is ever in force without a fresh lease, an unexpired ttl, an author who does not think, a
picture that was fresh, and no emergency stop.
"""

from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from stillwing_bridge.core.base import (
    CommandEnded,
    CommandStarted,
    CommandState,
    Lease,
    Limits,
    SetVelocity,
    Step,
    StopLevel,
    Takeoff,
    ThinkingBegan,
    ThinkingEnded,
    Turn,
)
from stillwing_bridge.core.commander import Commander
from stillwing_bridge.core.effects import (
    DescendNow,
    Draft,
    HoldNow,
    KillNow,
    LandNow,
    StartMotion,
    WatchdogSettings,
)
from stillwing_bridge.core.flight_log import FlightLog
from stillwing_bridge.core.frames import FrameRecord, FrameRegistry
from stillwing_bridge.core.lease import LeaseBook
from stillwing_bridge.core.vehicle import FlyVelocity, VehicleState
from stillwing_common.clock import FakeClock
from stillwing_common.errors import LinkLost, StillwingError
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

PLAN = FlyVelocity(1, 0, 0, 0)
MAX_AGE_S = 5.0
COMMANDS = (Step(forward_m=1), SetVelocity(forward_m_s=1), Turn(15), Takeoff())


class CommanderMachine(RuleBasedStateMachine):
    """Plays the driver: carries out effects at once, late, or not at all, and watches what is in force."""

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
        self.commander = Commander(
            self.book, self.frames, self.log, self.clock, Limits(max_observation_age_s=MAX_AGE_S), WatchdogSettings()
        )
        self.pending_holds: list[int] = []
        self.executing: str | None = None
        self.deadlines: dict[str, float] = {}
        self.accepted: dict[str, Draft] = {}
        self.newest_lease: Lease | None = None
        self.last_sign_s = 0.0
        self.see()
        self.look()
        self.given(self.commander.acquire_lease("first", None).lease)

    def stamp(self) -> Stamp:
        return Stamp(self.world_time_ns, f"clk{self.world}")

    # The world

    @rule()
    def see(self) -> None:
        pose = Pose(PositionNed(0, 0, -2), Quaternion(1, 0, 0, 0))
        self.commander.observe(VehicleState(self.stamp(), pose, VelocityNed(0, 0, 0), self.flying, True))
        self.carry_out()

    @rule()
    def bump(self) -> None:
        pose = Pose(PositionNed(0, 0, -2), Quaternion(1, 0, 0, 0))
        self.commander.observe(VehicleState(self.stamp(), pose, VelocityNed(0, 0, 0), self.flying, True, "tree"))
        self.carry_out()
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

    @rule(target=leases)
    def take(self) -> Lease:
        lease = self.commander.take_lease("person", "test", None).lease
        self.carry_out()
        self.given(lease)
        return lease

    @rule(lease=leases)
    def retain(self, lease: Lease) -> None:
        self.call(lease, lambda: self.commander.retain_lease(lease))

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
        self.flying = True
        if self.commander.state is None:
            self.commander.link_restored()
        self.see()
        self.commander.clear_emergency_stop()
        if not self.book.fresh or self.newest_lease is None:
            self.take()
        assert self.newest_lease is not None
        self.end_thinking(self.newest_lease)
        pair = self.propose_well(command, ttl_s)
        if between:
            self.see()
        self.accept(pair)
        assert self.commander.moving

    @rule(
        command=st.sampled_from(COMMANDS),
        act=st.sampled_from(["think", "hold", "stop", "take", "return", "reset", "grow_old", "lose", "other"]),
        first=st.booleans(),
    )
    def fly_interrupted(self, command: Step, act: str, first: bool) -> None:
        """Something happens before the motion is proposed, or while it is being checked: it must not start."""
        self.fly(Turn(1), 0.3, True)
        assert self.newest_lease is not None
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
                self.take()
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
        if first and act in ("hold", "take", "other"):
            return  # a motion after these is a motion like any other
        if first:
            frame_id = self.frame_ids[-1]
            pair = (None, 0.0)
            try:
                draft = self.commander.propose(lease, command, ttl_s=2.0, based_on_frame_id=frame_id, request_id="")
            except StillwingError:
                return
            assert isinstance(draft, Draft)
            assert isinstance(command, Takeoff), f"{act} does not keep a motion from being proposed"
            assert act == "grow_old"
            return
        self.accept(pair)
        assert self.commander.motion_id in (None, before) or (act == "grow_old" and isinstance(command, Takeoff))

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
        if draft.based_on_frame_id and not isinstance(draft.command, Takeoff):
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

    @rule(lease=leases)
    def end_thinking(self, lease: Lease) -> None:
        self.call(lease, lambda: self.commander.end_thinking(lease))

    @rule(state=st.sampled_from([CommandState.SUCCEEDED, CommandState.OBSTRUCTED, CommandState.FENCE]))
    def motion_ends(self, state: CommandState) -> None:
        if self.commander.motion_id is not None:
            self.commander.motion_ended(self.commander.motion_id, state)
            self.carry_out()
            assert not self.commander.moving

    @rule(level=st.sampled_from([StopLevel.HOLD, StopLevel.LAND, StopLevel.KILL]), late=st.booleans())
    def stop(self, level: StopLevel, late: bool) -> None:
        before = self.commander.stop_level
        latched, _ = self.commander.emergency_stop(level, "test")
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
                case LandNow() | KillNow() | DescendNow():
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

    @invariant()
    def the_log_says_the_same(self) -> None:
        moving: set[str] = set()
        thinking = False
        for seq, entry in enumerate(self.log.after(0, 100_000), start=1):
            assert entry.log_seq == seq
            match entry.event:
                case CommandStarted(command_id, _, True, _):
                    assert not thinking
                    assert not moving
                    moving.add(command_id)
                case CommandEnded(status):
                    assert status.ended
                    moving.discard(status.command_id)
                case ThinkingBegan():
                    assert not moving
                    assert not thinking
                    thinking = True
                case ThinkingEnded():
                    assert thinking
                    thinking = False
        assert moving == ({self.commander.motion_id} if self.commander.motion_id else set())


CommanderMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestCommander = CommanderMachine.TestCase
