"""Carries out what the commander of one vehicle decides, and tells it what comes of that.

One actuator task executes effects strictly in order, so that a hold that was asked for first is in force first. Reading
the state, ticking the commander and looking through cameras go on beside it and never delay it. It knows no wire format
and no simulator.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import cast
from weakref import WeakValueDictionary

from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from stillwing_bridge.core.commands import Command, CommandState, CommandStatus, Hold
from stillwing_bridge.core.driver.lookout import Lookout
from stillwing_bridge.core.driver.progress import Progress
from stillwing_bridge.core.events import CommandEnded, FlightLogEntry, SilenceNoticed
from stillwing_bridge.core.judge import guards
from stillwing_bridge.core.judge.commander import Commander
from stillwing_bridge.core.judge.effects import (
    DescendNow,
    Effect,
    HoldNow,
    KillNow,
    LandNow,
    StartMotion,
)
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.judge.seen_frames import FrameRegistry
from stillwing_bridge.core.sight.streams import CameraHub, FrameSettings, TelemetryHub
from stillwing_bridge.core.types import Lease, LeaseState, Limits, StopLevel, Telemetry, ThinkingInterval
from stillwing_bridge.core.vehicle import Descend, FlyTo, FlyVelocity, Plan, Vehicle, VehicleState
from stillwing_common.clock import Clock
from stillwing_common.errors import InternalFault, LinkLost, SimulatorError, StillwingError, UnknownCamera
from stillwing_common.types import PositionNed, Stamp

_log = logging.getLogger(__name__)

_UNATTENDED_TTL_S = 300.0
_RETRY_S = 1.0
_ATTEND_PERIOD_S = 1.0


class VehicleDriver:
    """One vehicle, from `start` to `close`. All methods run on the event loop it was started on."""

    def __init__(
        self,
        vehicle: Vehicle,
        commander: Commander,
        frames: FrameRegistry,
        log: FlightLog,
        clock: Clock,
        limits: Limits,
        guard_settings: guards.GuardSettings,
        frame_settings: FrameSettings,
        *,
        state_rate_hz: float = 20.0,
    ) -> None:
        self.vehicle = vehicle
        self.commander = commander
        self.limits = limits
        self.telemetry = TelemetryHub(clock)
        self.log = log
        self._clock = clock
        self._guards = guard_settings
        self._lookout = Lookout(vehicle, frames, limits, guard_settings, self._state)
        self._cameras = {
            camera.camera_id: CameraHub(vehicle, camera.camera_id, frames, clock, frame_settings)
            for camera in vehicle.spec.cameras
        }
        self._state_period_s = 1 / state_rate_hz
        self._effects: asyncio.Queue[Effect] = asyncio.Queue()
        self._holds: dict[int, asyncio.Future[None]] = {}
        self._ended: dict[str, list[asyncio.Future[None]]] = {}
        self._request_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._flying: asyncio.Task[None] | None = None
        self._killing: asyncio.Task[None] | None = None
        self._progress: tuple[str, Progress] | None = None
        self._wake = asyncio.Event()
        self._logged = asyncio.Event()
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []
        self._stop_listening = log.listen(self._on_entry)
        self.crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Read the first state and begin to supervise; `LinkLost`."""
        self._observe(await self.vehicle.state())
        loops = (self._read_states(), self._tick(), self._act())
        self._tasks = [asyncio.create_task(loop) for loop in loops]
        for task in self._tasks:
            task.add_done_callback(self._on_loop_end)

    async def close(self) -> None:
        """Hold, end all streams and tasks, and close the link."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._stop_flying()
        if self._killing is not None:
            await asyncio.wait({self._killing})
        with contextlib.suppress(StillwingError):  # a vehicle that cannot be reached holds by itself
            await self.vehicle.hold()
        for camera in self._cameras.values():
            await camera.close()
        self.telemetry.close()
        self._logged.set()
        self._stop_listening()
        await self.vehicle.close()

    # Commands

    async def command(
        self, lease: Lease, command: Command, *, ttl_s: float | None, based_on_frame_id: str, request_id: str
    ) -> str:
        """See `Bridge.command`; `request_id` "" is not remembered."""
        async with self._request_lock(request_id):
            try:
                if isinstance(command, Hold):
                    command_id, hold_id = self.commander.hold(lease, request_id)
                    if hold_id is not None:
                        await self._hold_in_force(hold_id)
                    return command_id
                draft = self.commander.propose(
                    lease, command, ttl_s=ttl_s, based_on_frame_id=based_on_frame_id, request_id=request_id
                )
                if isinstance(draft, str):
                    return draft
                try:
                    plan = await self._lookout.plan(draft)
                except StillwingError as error:
                    self.commander.refuse(draft, error)
                    raise
                return self.commander.accept(draft, plan)
            finally:
                self.pump()

    async def begin_thinking(self, lease: Lease, expected_s: float) -> ThinkingInterval:
        """See `Bridge.begin_thinking`."""
        thinking, hold_id = self.commander.begin_thinking(lease, expected_s)
        await self._hold_in_force(hold_id)
        return self.commander.thinking or thinking

    async def emergency_stop(self, level: StopLevel, reason: str) -> StopLevel:
        """See `Bridge.emergency_stop`."""
        latched, hold_id = self.commander.emergency_stop(level, reason)
        self.pump()
        if hold_id is not None:
            await self._hold_in_force(hold_id)
        elif latched is StopLevel.KILL and self._killing is not None:
            await asyncio.shield(self._killing)
        return latched

    def latch_again(self, level: StopLevel, reason: str) -> None:
        """Stop as before a restart, waiting for nothing: a vehicle out of reach is stopped once it answers."""
        _, hold_id = self.commander.emergency_stop(level, reason)
        self.pump()
        if hold_id is not None:
            self._holds[hold_id].add_done_callback(_forget_outcome)

    async def attend_lease(self, lease: Lease) -> AsyncIterator[LeaseState]:
        """See `Bridge.attend_lease`."""
        try:
            while not self._closed and (state := self.commander.lease_state) is not None and state.lease == lease:
                yield state
                await asyncio.sleep(_ATTEND_PERIOD_S)
        finally:
            self.commander.author_gone(lease)
            self.pump()

    async def wait_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """How a command ended, or stands after `timeout_s`; no sign of life of anybody."""
        status = self.commander.status(command_id)
        if status.ended or timeout_s <= 0:
            return status
        ended = asyncio.get_running_loop().create_future()
        waiters = self._ended.setdefault(command_id, [])
        waiters.append(ended)
        try:
            async with asyncio.timeout(timeout_s):
                await ended
        except TimeoutError:
            return self.commander.status(command_id)
        finally:
            waiters.remove(ended)
            if not waiters:
                self._ended.pop(command_id, None)
        return self.commander.status(command_id)

    def camera(self, camera_id: str) -> CameraHub:
        """The camera's stream; "" is the first; `UnknownCamera`."""
        if not camera_id:
            return next(iter(self._cameras.values()))
        if camera_id not in self._cameras:
            raise UnknownCamera(camera_id=camera_id, known=", ".join(self._cameras))
        return self._cameras[camera_id]

    async def watch_log(self, after_log_seq: int, until_now: bool) -> AsyncIterator[FlightLogEntry]:
        """See `Bridge.watch_flight_log`."""
        seen = after_log_seq
        last = self.log.last_seq
        while not self._closed:
            self._logged.clear()
            for entry in self.log.after(seen):
                seen = entry.log_seq
                yield entry
            if until_now and seen >= last:
                return
            if seen >= self.log.last_seq:
                await self._logged.wait()

    async def refresh(self) -> VehicleState:
        """Read the state now instead of at the next turn; `LinkLost`."""
        state = await self.vehicle.state()
        self._observe(state)
        return state

    def pump(self) -> None:
        """Hand what the commander has decided to the actuator; call after every call on the commander."""
        for effect in self.commander.take_effects():
            if isinstance(effect, HoldNow):
                self._holds[effect.hold_id] = asyncio.get_running_loop().create_future()
            elif isinstance(effect, KillNow):
                self._kill_at_once()
            self._effects.put_nowait(effect)
        self._wake.set()

    async def _hold_in_force(self, hold_id: int) -> None:
        self.pump()
        # Shielded: the hold goes on even if nobody waits for it any more.
        await asyncio.shield(self._holds[hold_id])

    def _request_lock(self, request_id: str) -> asyncio.Lock:
        # A repeated request waits for the first one's answer; unnamed requests have nothing to wait for.
        lock = self._request_locks.get(request_id) if request_id else None
        if lock is None:
            lock = asyncio.Lock()
            if request_id:
                self._request_locks[request_id] = lock
        return lock

    def _kill_at_once(self) -> None:
        # Motors that are to stop wait for nothing, not even for a hold under way; the queued effect stops them once
        # more when whatever was before it has been sent.
        if self._flying is not None:
            self._flying.cancel()
        self._killing = asyncio.create_task(self.vehicle.kill())
        self._killing.add_done_callback(self._on_killed)

    def _on_killed(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the motors of %s could not be stopped: %s", self.vehicle.spec.vehicle_id, error)

    def _state(self) -> VehicleState:
        state = self.commander.state
        if state is None:
            raise LinkLost("no state of the vehicle")
        return state

    # Effects

    async def _act(self) -> None:
        while True:
            effect = await self._effects.get()
            try:
                await self._carry_out(effect)
            except StillwingError as error:
                _log.warning("%s failed: %s", type(effect).__name__, error)
            self.pump()

    async def _carry_out(self, effect: Effect) -> None:
        match effect:
            case HoldNow(hold_id, cause):
                await self._hold(hold_id, cause)
            case StartMotion(command_id, plan, ttl_s):
                await self._stop_flying()
                if self.commander.moving and self.commander.motion_id == command_id:
                    self._progress = (command_id, Progress(plan, self.limits))
                    self._flying = asyncio.create_task(self._fly(command_id, plan, ttl_s))
            case DescendNow() | LandNow() if self.commander.stop_level is StopLevel.KILL:
                return
            case DescendNow():
                here = self._state().pose.position
                goal = PositionNed(here.north_m, here.east_m, -self.limits.min_altitude_m)
                await self._fly_unattended(FlyTo(goal, self._guards.land_speed_m_s))
            case LandNow():
                await self._fly_unattended(Descend(self._guards.land_speed_m_s))
            case KillNow():
                await self._stop_flying()
                await self.vehicle.kill()

    async def _hold(self, hold_id: int, cause: str) -> None:
        await self._stop_flying()
        in_force = self._holds.pop(hold_id)
        try:
            await self.vehicle.hold()
        except StillwingError as error:
            _log.warning("hold (%s) failed: %s", cause, error)
            self.commander.hold_failed(hold_id, error)
            # A link that cannot hold is none: reading the state finds it closed, opens another and holds through that.
            await self.vehicle.close()
            if not in_force.done():
                in_force.set_exception(error)
                in_force.exception()  # nobody may be waiting for it
        else:
            self.commander.hold_in_force(hold_id)
            if not in_force.done():
                in_force.set_result(None)

    async def _fly_unattended(self, plan: Plan) -> None:
        await self._stop_flying()
        self._flying = asyncio.create_task(self._insist(plan))

    async def _insist(self, plan: Plan) -> None:
        # Under nobody's command nobody can be told of a failure: again, until it is done or something else is flown.
        while True:
            try:
                await self.vehicle.fly(plan, _UNATTENDED_TTL_S)
                return
            except StillwingError as error:
                _log.warning("%s under nobody's command failed: %s", type(plan).__name__, error)
                await asyncio.sleep(_RETRY_S)

    async def _stop_flying(self) -> None:
        self._progress = None
        task, self._flying = self._flying, None
        # Nothing else is sent before this task has ended: what it sent last is then older than the hold that follows.
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.1)

    async def _fly(self, command_id: str, plan: Plan, ttl_s: float) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                watched = isinstance(plan, FlyTo | FlyVelocity)
                watch = group.create_task(self._watch_way(command_id, plan)) if watched else None
                await self.vehicle.fly(plan, ttl_s)
                if watch is not None:
                    watch.cancel()
                if isinstance(plan, Descend):
                    await self.refresh()  # whoever learns that it has landed must not find it armed
        except* StillwingError as errors:
            error = cast(StillwingError, errors.exceptions[0])
            _log.warning("%s failed: %s", type(plan).__name__, error)
            self._fly_failed(command_id, error)
        else:
            if isinstance(plan, Descend):
                self.commander.motion_ended(command_id, CommandState.SUCCEEDED)
                self.pump()

    async def _watch_way(self, command_id: str, plan: Plan) -> None:
        await self._lookout.until_obstructed(plan)
        self.commander.motion_ended(command_id, CommandState.OBSTRUCTED)
        self.pump()

    def _fly_failed(self, command_id: str, error: StillwingError) -> None:
        state = CommandState.LINK_LOST if isinstance(error, LinkLost) else CommandState.FAILED
        self.commander.motion_ended(command_id, state, error)
        self.pump()

    # Time and state

    async def _tick(self) -> None:
        while True:
            self._wake.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.commander.next_tick_s):
                    await self._wake.wait()
            self.commander.tick()
            self.pump()

    async def _read_states(self) -> None:
        due_s = self._clock.monotonic_s()
        while True:
            try:
                self._observe(await self.vehicle.state())
            except (LinkLost, SimulatorError) as error:
                _log.warning("link to %s lost: %s", self.vehicle.spec.vehicle_id, error)
                self.commander.link_lost(error)
                await self._reconnect()
            now_s = self._clock.monotonic_s()
            due_s = max(due_s + self._state_period_s, now_s)
            await asyncio.sleep(due_s - now_s)

    async def _reconnect(self) -> None:
        await self._stop_flying()
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type((LinkLost, SimulatorError)), wait=wait_exponential(0.1, max=2.0)
        ):
            with attempt:
                await self.vehicle.connect()
                state = await self.vehicle.state()
        self.commander.link_restored()
        self._observe(state)
        _log.info("link to %s restored", self.vehicle.spec.vehicle_id)

    def _observe(self, state: VehicleState) -> None:
        self.commander.observe(state)
        if self._progress is not None:
            command_id, progress = self._progress
            end = progress.judge(state)
            if end is not None:
                self._progress = None
                self.commander.motion_ended(command_id, end, progress.error)
        self.pump()
        commander = self.commander
        self.telemetry.publish(
            Telemetry(
                sequence=0,
                stamp=state.stamp,
                pose=state.pose,
                velocity=state.velocity,
                command=commander.newest,
                armed=state.armed,
                flying=state.flying,
                collisions=commander.collisions,
                thinking=commander.thinking is not None,
                emergency_stop=commander.stop_level,
                last_collision_object=commander.last_collision_object,
                battery_fraction=state.battery_fraction,
            )
        )

    def _on_loop_end(self, task: asyncio.Task[None]) -> None:
        # Without any one of its loops a bridge keeps no promise: whoever runs it has to stop.
        if not task.cancelled() and not self.crashed.done():
            self.crashed.set_exception(task.exception() or InternalFault("a loop of the driver ended"))

    def _on_entry(self, entry: FlightLogEntry) -> None:
        self._logged.set()
        if isinstance(entry.event, SilenceNoticed):
            _log.warning("the author of a motion is silent for %.1f s", entry.event.silence_s)
        if isinstance(entry.event, CommandEnded):
            for waiter in self._ended.get(entry.event.status.command_id, ()):
                if not waiter.done():
                    waiter.set_result(None)

    @property
    def stamp(self) -> Stamp | None:
        """The vehicle's clock at the newest reading; None while the link is down."""
        state = self.commander.state
        return state.stamp if state is not None else None


def _forget_outcome(hold: asyncio.Future[None]) -> None:
    if not hold.cancelled():
        hold.exception()
