"""The one judge of what a vehicle may do: leases, lifetimes, thinking, silence, an empty battery, emergency stops.

Pure and synchronous: it reads a clock, is told what happens, and emits effects (`HoldNow`, `StartMotion`, …) that a
driver carries out in order and reports back on. It knows nothing of geometry, pictures, sockets or tasks.

One class, though a long one: its rules share one state, and the invariant spans all of them.

Invariant, true after every call on it (`check_integrity`): a motion in force that is not already being stopped has a
fresh lease, an unexpired ttl, an author who is not thinking, no emergency stop, and a battery above its floor unless it
lands; and the frame it is based on was fresh when it started, on the clock that still runs.
"""

from dataclasses import dataclass

from stillwing_bridge.core.commands import (
    Command,
    CommandState,
    CommandStatus,
    Hold,
    Land,
    SetVelocity,
    Takeoff,
    is_motion,
    kind_of,
    needs_observation,
)
from stillwing_bridge.core.events import (
    Collided,
    EmergencyStopChanged,
    Held,
    LandingBegan,
    LeaseChanged,
    SilenceNoticed,
    ThinkingBegan,
    ThinkingEnded,
)
from stillwing_bridge.core.judge.effects import (
    DescendNow,
    Draft,
    Effect,
    HoldNow,
    KillNow,
    LandNow,
    StartMotion,
    WatchdogSettings,
)
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.judge.lease import LeaseBook
from stillwing_bridge.core.judge.records import CommandRecords
from stillwing_bridge.core.judge.seen_frames import FrameRegistry
from stillwing_bridge.core.judge.watchdog import Rung, Watchdog
from stillwing_bridge.core.types import (
    MAX_REASON_CHARS,
    MAX_WHO_CHARS,
    Lease,
    LeaseState,
    Limits,
    StopLevel,
    ThinkingInterval,
)
from stillwing_bridge.core.vehicle import Plan, VehicleState
from stillwing_common.clock import Clock
from stillwing_common.errors import (
    BatteryLow,
    CommandExpired,
    CommandSuperseded,
    EmergencyStopped,
    InternalFault,
    InvalidInput,
    LinkLost,
    NotFlying,
    StillwingError,
    Thinking,
    TtlRequired,
    TtlTooLong,
)
from stillwing_common.ids import new_id
from stillwing_common.told_text import told_text
from stillwing_common.types import Stamp


@dataclass(slots=True)
class _Motion:
    command_id: str
    kind: str
    command: Command
    lease: Lease
    deadline_s: float
    clock_id: str
    ending: CommandState | None = None
    error: StillwingError | None = None


@dataclass(slots=True)
class _PendingHold:
    cause: str
    motion: _Motion | None
    command_id: str = ""
    request_id: str = ""
    thinking_id: str = ""


class Commander:
    """Judges one vehicle. Call `tick` by `next_tick_s` at the latest; carry out `take_effects()` after every call."""

    def __init__(
        self,
        leases: LeaseBook,
        frames: FrameRegistry,
        log: FlightLog,
        clock: Clock,
        limits: Limits,
        watchdog: WatchdogSettings,
    ) -> None:
        self._leases = leases
        self._frames = frames
        self._clock = clock
        self._limits = limits
        self._watchdog = Watchdog(watchdog)
        self._records = CommandRecords(log, lambda: None if self.state is None else self.state.stamp)
        self._effects: list[Effect] = []
        self._generation = 0
        self._motion: _Motion | None = None
        self._holds: dict[int, _PendingHold] = {}
        self._hold_count = 0
        self._thinking: ThinkingInterval | None = None
        self._expected_s = 0.0
        self._stop = StopLevel.NONE
        self._stop_told = ""
        self._link_up = False
        self._state: VehicleState | None = None
        self._held_s = clock.monotonic_s()
        self._free_since_s = clock.monotonic_s()
        self._battery_landing = False
        self.collisions = 0
        self.last_collision_object = ""

    # What it says

    def take_effects(self) -> list[Effect]:
        """Effects since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects

    @property
    def state(self) -> VehicleState | None:
        """The newest reading; None before the first and while the link is down."""
        return self._state if self._link_up else None

    @property
    def moving(self) -> bool:
        """Whether a motion is in force and not being stopped."""
        return self._motion is not None and self._motion.ending is None

    @property
    def motion_id(self) -> str | None:
        """Id of the motion in force, being stopped or not; None if there is none."""
        return self._motion.command_id if self._motion is not None else None

    @property
    def thinking(self) -> ThinkingInterval | None:
        """The thinking interval, also while its hold is not yet in force."""
        return self._thinking

    @property
    def stop_level(self) -> StopLevel:
        """The latched emergency stop."""
        return self._stop

    @property
    def lease_state(self) -> LeaseState | None:
        """Who holds the vehicle, stale or not; None if nobody."""
        return self._leases.state

    def status(self, command_id: str) -> CommandStatus:
        """How a command stands; `UnknownCommand`."""
        return self._records.status(command_id)

    @property
    def newest(self) -> CommandStatus | None:
        """How the newest command stands; None if there never was one."""
        return self._records.newest

    def lease_of_motion(self) -> Lease | None:
        """The lease of the motion in force."""
        return self._motion.lease if self._motion is not None else None

    @property
    def next_tick_s(self) -> float:
        """Seconds until something can change by the mere passing of time."""
        waits = [0.5]
        if self._motion is not None and self._motion.ending is None:
            waits.append(self._motion.deadline_s - self._clock.monotonic_s())
            silence_s = self._leases.silence_s
            if silence_s is not None:
                waits.append(self._watchdog.next_in_s(silence_s) or 0.5)
        if self._leases.stale_in_s is not None:
            waits.append(self._leases.stale_in_s)
        return max(0.0, min(waits)) + 0.001

    # Leases

    def acquire_lease(self, holder: str, stale_after_s: float | None) -> LeaseState:
        """See `Bridge.acquire_lease`."""
        self.tick()
        state = self._leases.acquire(holder, stale_after_s)
        self._lease_given("acquired", state, "")
        return state

    def take_lease(self, holder: str, reason: str, stale_after_s: float | None) -> LeaseState:
        """See `Bridge.take_lease`."""
        self.tick()
        state = self._leases.take(holder, reason, stale_after_s)
        self._lease_given("taken", state, reason)
        return state

    def retain_lease(self, lease: Lease) -> LeaseState:
        """A sign of life; see `Bridge.retain_lease`."""
        self.tick()
        return self._retain(lease)

    def author_gone(self, lease: Lease) -> None:
        """The holder of `lease` was cut off: a motion of its is held at once, not only after a silence."""
        self.tick()
        if self._is_current(lease):
            self._void_drafts()
            self._stop_motion(CommandState.PREEMPTED, "author_gone")

    def return_lease(self, lease: Lease) -> None:
        """See `Bridge.return_lease`."""
        self.tick()
        state = self._leases.give_back(lease)
        self._free_since_s = self._clock.monotonic_s()
        self._alive()
        self._void_drafts()
        self._end_thinking()
        self._stop_motion(CommandState.PREEMPTED, "returned")
        self._records.note(LeaseChanged("returned", state))

    def _lease_given(self, change: str, state: LeaseState, reason: str) -> None:
        self._void_drafts()
        self._end_thinking()
        self._alive()
        self._records.note(LeaseChanged(change, state, reason))
        self._stop_motion(CommandState.PREEMPTED, change)

    def _retain(self, lease: Lease) -> LeaseState:
        state = self._leases.retain(lease)
        self._alive()
        return state

    def _alive(self) -> None:
        # Whoever comes back to a vehicle that the watchdog let sink finds it held; an emergency stop goes on.
        if self._watchdog.alive() and self._stop is StopLevel.NONE and not self._battery_landing:
            self._hold("alive", None)

    # Commands

    def propose(
        self, lease: Lease, command: Command, *, ttl_s: float | None, based_on_frame_id: str, request_id: str
    ) -> Draft | str:
        """Check a motion but for its way. A `Draft` is to be given to `accept` or `refuse`; a text is the first answer.

        Raises what `Bridge.command` raises, and the first answer's error again for a repeated `request_id`.
        """
        self.tick()
        known = self._records.answer(request_id)
        if known is not None:
            return known
        try:
            self._retain(lease)
            ttl_s = self._check_ttl(command, ttl_s)
            self._check_moment(lease, command)
            if needs_observation(command):
                self._frames.check(based_on_frame_id, self._now_stamp(), self._limits.max_observation_age_s)
        except StillwingError as error:
            self._records.refuse(command, request_id, error)
            raise
        self._void_drafts()
        deadline_s = self._clock.monotonic_s() + ttl_s
        return Draft(new_id("cmd"), request_id, lease, command, based_on_frame_id, deadline_s, ttl_s, self._generation)

    def accept(self, draft: Draft, plan: Plan) -> str:
        """Make a checked motion fly; returns its command id. What may have changed meanwhile is checked again."""
        self.tick()
        try:
            if draft.generation != self._generation:
                raise CommandSuperseded(kind=kind_of(draft.command))
            self._leases.check(draft.lease)
            if self._clock.monotonic_s() >= draft.deadline_s:
                raise CommandExpired(kind=kind_of(draft.command))
            silence_s = self._leases.silence_s or 0.0
            if self._watchdog.must_hold(silence_s):
                detail = f"its author was silent for {silence_s:.1f} s while it was checked"
                raise CommandExpired(detail, kind=kind_of(draft.command))
            self._check_moment(draft.lease, draft.command)
            if needs_observation(draft.command):
                self._frames.check(draft.based_on_frame_id, self._now_stamp(), self._limits.max_observation_age_s)
        except StillwingError as error:
            self._records.refuse(draft.command, draft.request_id, error)
            raise
        if self._motion is not None:
            self._finish(self._motion, self._motion.ending or CommandState.PREEMPTED, self._motion.error)
        now_s = self._clock.monotonic_s()
        kind = kind_of(draft.command)
        stamp = self._now_stamp()
        self._motion = _Motion(draft.command_id, kind, draft.command, draft.lease, draft.deadline_s, stamp.clock_id)
        self._records.begin(
            draft.command_id,
            draft.command,
            draft.request_id,
            ttl_s=draft.ttl_s,
            based_on_frame_id=draft.based_on_frame_id,
        )
        self._effects.append(StartMotion(draft.command_id, plan, draft.deadline_s - now_s))
        return draft.command_id

    def refuse(self, draft: Draft, error: StillwingError) -> None:
        """A guard turned the draft down."""
        self._records.refuse(draft.command, draft.request_id, error)

    def hold(self, lease: Lease, request_id: str) -> tuple[str, int | None]:
        """Hold by command; returns the command id and the hold to wait for, None for a repeated request."""
        self.tick()
        known = self._records.answer(request_id)
        if known is not None:
            return known, None
        try:
            self._retain(lease)
            self._check_may_hold()
        except StillwingError as error:
            self._records.refuse(Hold(), request_id, error)
            raise
        self._void_drafts()
        command_id = new_id("cmd")
        self._records.begin(command_id, Hold(), request_id)
        motion = self._mark_ending(CommandState.PREEMPTED)
        return command_id, self._hold("command", motion, command_id, request_id)

    def motion_ended(self, command_id: str, state: CommandState, error: StillwingError | None = None) -> None:
        """The motion in force came to an end by itself or met something; the vehicle holds unless it stands landed."""
        motion = self._motion
        if motion is None or motion.command_id != command_id or motion.ending is not None:
            return
        if motion.kind == "land" and state is CommandState.SUCCEEDED:
            self._finish(motion, state, None)
            return
        self._stop_motion(state, "done" if state is CommandState.SUCCEEDED else state.value, error)

    # Thinking

    def begin_thinking(self, lease: Lease, expected_s: float = 0.0) -> tuple[ThinkingInterval, int]:
        """Refuse motion from now on; returns the interval and the hold to wait for."""
        self.tick()
        self._retain(lease)
        self._check_may_hold()
        self._void_drafts()
        if self._thinking is None:
            self._thinking = ThinkingInterval(new_id("thk"), None)
            self._expected_s = expected_s
        motion = self._mark_ending(CommandState.PREEMPTED)
        return self._thinking, self._hold("thinking", motion, thinking_id=self._thinking.thinking_id)

    def refuse_thinking(self, thinking_id: str) -> None:
        """The vehicle did not come to rest: its author, if it still is the one that asked, does not think."""
        if self._thinking is not None and self._thinking.thinking_id == thinking_id:
            self._end_thinking()

    def end_thinking(self, lease: Lease) -> None:
        """Allow motion again; ending what never began succeeds."""
        self.tick()
        self._retain(lease)
        self._end_thinking()

    def _end_thinking(self) -> None:
        thinking, self._thinking = self._thinking, None
        if thinking is not None and thinking.held_since is not None:
            self._records.note(ThinkingEnded(thinking.thinking_id))

    # Holds

    def hold_in_force(self, hold_id: int) -> None:
        """The driver's word that a `HoldNow` was carried out."""
        hold = self._holds.pop(hold_id, None)
        if hold is None:
            raise InternalFault(f"hold {hold_id} was never asked for")
        self._held_s = self._clock.monotonic_s()
        if hold.motion is not None and hold.motion is self._motion:
            self._finish(hold.motion, hold.motion.ending or CommandState.PREEMPTED, hold.motion.error)
        if hold.command_id:
            self._records.end(CommandStatus(hold.command_id, "hold", CommandState.SUCCEEDED))
        self._records.note(Held(hold.cause))
        if self._awaits(hold):
            self._thinking = ThinkingInterval(hold.thinking_id, self._now_stamp())
            self._records.note(ThinkingBegan(hold.thinking_id, self._expected_s))

    def _awaits(self, hold: _PendingHold) -> bool:
        # Whether a thinking interval has yet to begin with this hold.
        thinking = self._thinking
        return thinking is not None and thinking.held_since is None and thinking.thinking_id == hold.thinking_id

    def hold_failed(self, hold_id: int, error: StillwingError) -> None:
        """The driver could not hold: the link is down, and with it every command."""
        hold = self._holds.pop(hold_id, None)
        if hold is None:
            raise InternalFault(f"hold {hold_id} was never asked for")
        if hold.command_id:
            self._records.end(CommandStatus(hold.command_id, "hold", CommandState.LINK_LOST, error))
            self._records.amend(hold.request_id, error)
        if self._awaits(hold) and not any(self._awaits(other) for other in self._holds.values()):
            self._thinking = None
        self.link_lost(error)

    # Emergency stop

    def emergency_stop(self, level: StopLevel, reason: str, who: str = "") -> tuple[StopLevel, int | None]:
        """Latch; returns the level in force and the hold to wait for, if the level is to hold. No words are refused."""
        self.tick()
        if level is StopLevel.NONE:
            raise InvalidInput("an emergency stop has a level", field="level")
        self._void_drafts()
        self._battery_landing = False
        if level > self._stop:
            self._stop = level
            reason, who = told_text(reason, MAX_REASON_CHARS), told_text(who, MAX_WHO_CHARS)
            self._stop_told = f"level {level.name}, by {who or 'somebody'}: {reason or 'no reason given'}"
            self._records.note(EmergencyStopChanged(level, reason, who))
        motion = self._mark_ending(CommandState.ESTOP)
        if self._stop is StopLevel.HOLD:
            return self._stop, self._hold("estop", motion)
        if motion is not None:
            self._finish(motion, CommandState.ESTOP, None)
        self._effects.append(LandNow("estop") if self._stop is StopLevel.LAND else KillNow())
        return self._stop, None

    def clear_emergency_stop(self) -> None:
        """Unlatch; the caller has checked the operator's token."""
        self.tick()
        level, self._stop = self._stop, StopLevel.NONE
        if level is not StopLevel.NONE:
            self._records.note(EmergencyStopChanged(StopLevel.NONE, "cleared"))
        if level is StopLevel.LAND and self.state is not None and self.state.flying:
            self._hold("cleared", None)

    # What happens

    def observe(self, state: VehicleState) -> None:
        """A new reading. A collision ends the motion; a vehicle that drifts though it should hold is held again."""
        self._link_up = True
        if self._state is not None and state.stamp.clock_id != self._state.stamp.clock_id:
            self._state = state
            self.clock_changed()
        self._state = state
        if state.collided_with is not None:
            self.collisions += 1
            self.last_collision_object = state.collided_with
            self._records.note(Collided(state.collided_with))
            if self._motion is not None:
                self.motion_ended(self._motion.command_id, CommandState.COLLISION)
        self._spare_battery(state)
        self.tick()
        self._verify_hold(state)

    def _spare_battery(self, state: VehicleState) -> None:
        motion = self._motion
        if self._below(self._limits.battery_floor_fraction) and motion is not None and motion.kind != "land":
            self.motion_ended(motion.command_id, CommandState.FAILED, self._battery_low())
        may_land = state.flying and self._stop is StopLevel.NONE and not self._battery_landing
        if may_land and self._below(self._limits.battery_land_fraction):
            self._void_drafts()
            self._battery_landing = True
            if self._motion is not None:
                self._finish(self._motion, self._motion.ending or CommandState.PREEMPTED, self._motion.error)
            self._records.note(LandingBegan("battery"))
            self._effects.append(LandNow("battery"))

    def _below(self, fraction: float) -> bool:
        state = self.state
        return state is not None and state.battery_fraction is not None and state.battery_fraction < fraction

    def _battery_low(self) -> BatteryLow:
        left = self._state.battery_fraction if self._state is not None else None
        floor = self._limits.battery_floor_fraction
        return BatteryLow(f"{left or 0:.0%} left, floor {floor:.0%}", battery_fraction=left, floor=floor)

    def link_lost(self, error: StillwingError) -> None:
        """The vehicle does not answer: the command in force is over as far as anybody can say."""
        self._void_drafts()
        self._link_up = False
        motion = self._motion
        if motion is not None:
            self._finish(motion, CommandState.LINK_LOST, error)

    def link_restored(self) -> None:
        """The link is up again: hold, because nobody knows what the vehicle was left doing."""
        self._link_up = True
        self._watchdog.rearm()
        self._battery_landing = False
        if self._stop in (StopLevel.NONE, StopLevel.HOLD):
            self._hold("link_restored", None)
        else:
            self._effects.append(LandNow("estop") if self._stop is StopLevel.LAND else KillNow())

    def clock_changed(self) -> None:
        """The world started over: commands of the old one end, its leases are void, its collisions forgotten."""
        self._void_drafts()
        self._end_thinking()
        state = self._leases.void()
        if state is not None:
            self._records.note(LeaseChanged("void", state, "the vehicle's clock restarted"))
        if self._motion is not None:
            self._finish(self._motion, CommandState.PREEMPTED, None)
        self.collisions = 0
        self.last_collision_object = ""
        self._free_since_s = self._clock.monotonic_s()
        self._battery_landing = False
        self._watchdog.alive()
        self._hold("reset", None)

    def tick(self) -> None:
        """Let time pass: ttl, staleness of the lease, and the watchdog ladder."""
        now_s = self._clock.monotonic_s()
        if self.moving and self._motion is not None and now_s >= self._motion.deadline_s:
            self._stop_motion(CommandState.TIMEOUT, "ttl")
        lapsed = self._leases.lapse()
        if lapsed is not None:
            self._records.note(LeaseChanged("stale", lapsed))
            self._stop_motion(CommandState.PREEMPTED, "lease_stale")
        self._climb_ladder()

    def _climb_ladder(self) -> None:
        # A vehicle that nobody holds is as unattended as one whose holder is silent.
        held_silence_s = self._leases.silence_s
        silence_s = self._clock.monotonic_s() - self._free_since_s if held_silence_s is None else held_silence_s
        state = self.state
        unstopped = state is not None and self._stop is StopLevel.NONE and not self._battery_landing
        rung = self._watchdog.climb(
            silence_s,
            moving=self.moving,
            may_sink=unstopped and state is not None and state.flying,
            may_land=unstopped and state is not None and (state.flying or state.armed),
        )
        if self._watchdog.must_hold(silence_s):
            self._stop_motion(CommandState.PREEMPTED, "watchdog")
        match rung:
            case Rung.NOTICE:
                self._records.note(SilenceNoticed(round(silence_s, 3)))
            case Rung.DESCEND:
                self._records.note(LandingBegan("watchdog_descend"))
                self._effects.append(DescendNow())
            case Rung.LAND:
                self._records.note(LandingBegan("watchdog_land"))
                self._effects.append(LandNow("watchdog"))

    def check_integrity(self) -> None:
        """Raise `InternalFault` if the invariant of this module is broken."""
        motion = self._motion
        if motion is None or motion.ending is not None:
            return
        broken = [
            name
            for name, holds in (
                ("fresh lease", self._leases.fresh and self._is_current(motion.lease)),
                ("unexpired ttl", self._clock.monotonic_s() < motion.deadline_s),
                ("not thinking", self._thinking is None),
                ("no stop", self._stop is StopLevel.NONE),
                ("battery", motion.kind == "land" or not self._below(self._limits.battery_floor_fraction)),
                ("link", self._link_up),
                ("clock", self._state is not None and self._state.stamp.clock_id == motion.clock_id),
            )
            if not holds
        ]
        if broken:
            raise InternalFault(f"{motion.command_id} moves without: {', '.join(broken)}")

    # Inside

    def _check_ttl(self, command: Command, ttl_s: float | None) -> float:
        if ttl_s is None or not ttl_s > 0:
            raise TtlRequired(kind=kind_of(command))
        velocity = isinstance(command, SetVelocity)
        longest_s = self._limits.max_velocity_ttl_s if velocity else self._limits.max_motion_ttl_s
        if ttl_s > longest_s:
            raise TtlTooLong(f"{ttl_s:g} s, at most {longest_s:g} s", ttl_s=ttl_s, max_ttl_s=longest_s)
        return ttl_s

    def _check_moment(self, lease: Lease, command: Command) -> None:
        if not is_motion(command):
            raise InternalFault("a hold is no motion")
        if self._stop is not StopLevel.NONE:
            raise EmergencyStopped(self._stop_told, level=self._stop.name)
        if self._thinking is not None:
            raise Thinking(thinking_id=self._thinking.thinking_id, sequence=lease.sequence)
        if not self._link_up or self._state is None:
            raise LinkLost("no state of the vehicle yet, or none any more")
        if not isinstance(command, Takeoff) and not self._state.flying:
            raise NotFlying(kind=kind_of(command))
        if self._battery_landing or (
            not isinstance(command, Land) and self._below(self._limits.battery_floor_fraction)
        ):
            raise self._battery_low()

    def _check_may_hold(self) -> None:
        # A hold would end a landing that has to be, or lift what was killed.
        if self._stop in (StopLevel.LAND, StopLevel.KILL):
            raise EmergencyStopped(self._stop_told, level=self._stop.name)
        if self._battery_landing and self.state is not None and self.state.flying:
            raise self._battery_low()

    def _void_drafts(self) -> None:
        self._generation += 1

    def _is_current(self, lease: Lease) -> bool:
        state = self._leases.state
        return state is not None and state.lease == lease

    def _mark_ending(self, state: CommandState, error: StillwingError | None = None) -> _Motion | None:
        motion = self._motion
        if motion is not None and motion.ending is None:
            motion.ending = state
            motion.error = error
        return motion

    def _stop_motion(self, state: CommandState, cause: str, error: StillwingError | None = None) -> bool:
        if not self.moving:
            return False
        self._hold(cause, self._mark_ending(state, error))
        return True

    def _hold(
        self, cause: str, motion: _Motion | None, command_id: str = "", request_id: str = "", thinking_id: str = ""
    ) -> int:
        self._hold_count += 1
        self._holds[self._hold_count] = _PendingHold(cause, motion, command_id, request_id, thinking_id)
        self._effects.append(HoldNow(self._hold_count, cause))
        return self._hold_count

    def _verify_hold(self, state: VehicleState) -> None:
        # A hold is acknowledged when the vehicle has taken it, before the speed is gone; this sees to it that it goes.
        lands = self._watchdog.flies or self._battery_landing or self._stop in (StopLevel.LAND, StopLevel.KILL)
        if self._motion is not None or self._holds or lands or not state.flying:
            return
        now_s = self._clock.monotonic_s()
        if state.velocity.speed_m_s > 0.5 and now_s - self._held_s > 1.5:
            self._held_s = now_s
            self._hold("drifting", None)

    def _finish(self, motion: _Motion, state: CommandState, error: StillwingError | None) -> None:
        if self._motion is motion:
            self._motion = None
        self._records.end(CommandStatus(motion.command_id, motion.kind, state, error))

    def _now_stamp(self) -> Stamp:
        if self._state is None:
            raise LinkLost("no state of the vehicle yet")
        return self._state.stamp
