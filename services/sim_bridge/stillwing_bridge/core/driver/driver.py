"""One vehicle under supervision: its callers' requests, its clock and its readings brought to the commander.

Three loops run side by side and never delay each other: reading the state, ticking the commander, and the actuator that
carries out what the commander decides. It knows no wire format and no simulator.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from weakref import WeakValueDictionary

from tenacity import AsyncRetrying, retry_if_exception_type, wait_exponential

from stillwing_bridge.core.commands import Command, CommandStatus, Hold
from stillwing_bridge.core.driver.actuator import Actuator
from stillwing_bridge.core.driver.lookout import Lookout
from stillwing_bridge.core.events import CommandEnded, FlightLogEntry, SilenceNoticed
from stillwing_bridge.core.judge import guards
from stillwing_bridge.core.judge.commander import Commander
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.judge.seen_frames import FrameRegistry
from stillwing_bridge.core.sight.camera_hub import CameraHub, FrameSettings
from stillwing_bridge.core.sight.telemetry_hub import TelemetryHub
from stillwing_bridge.core.types import (
    STILL_M_S,
    Lease,
    LeaseState,
    Limits,
    StopLevel,
    Telemetry,
    ThinkingInterval,
)
from stillwing_bridge.core.vehicle import Vehicle, VehicleState
from stillwing_common.clock import Clock
from stillwing_common.errors import (
    InternalFault,
    LinkLost,
    SimulatorError,
    StillMoving,
    StillwingError,
    UnknownCamera,
)

_log = logging.getLogger(__name__)

_ATTEND_PERIOD_S = 1.0
_NEEDED_READINGS = 2
_BRAKING_S = 2.0


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
        self._lookout = Lookout(vehicle, frames, limits, guard_settings, self._state)
        self._actuator = Actuator(
            vehicle,
            commander,
            self._lookout,
            limits,
            guard_settings.land_speed_m_s,
            state=self._state,
            refresh=self.refresh,
        )
        self._cameras = {
            camera.camera_id: CameraHub(vehicle, camera.camera_id, frames, clock, frame_settings)
            for camera in vehicle.spec.cameras
        }
        self._state_period_s = 1 / state_rate_hz
        self._ended: dict[str, list[asyncio.Future[None]]] = {}
        self._request_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._logged = asyncio.Event()
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []
        self._stop_listening = log.listen(self._on_entry)
        self.crashed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Read the first state and begin to supervise; `LinkLost`."""
        self._observe(await self.vehicle.state())
        loops = (self._read_states(), self._tick(), self._actuator.run())
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
        await self._actuator.close()
        with contextlib.suppress(StillwingError, TimeoutError):  # a vehicle that cannot be reached holds by itself
            async with asyncio.timeout(_BRAKING_S):
                await self.vehicle.hold()
                await self._stands_still()
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
                        await self._actuator.hold_in_force(hold_id)
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

    async def begin_thinking(self, lease: Lease, expected_s: float, within_s: float) -> ThinkingInterval:
        """See `Bridge.begin_thinking`."""
        thinking, hold_id = self.commander.begin_thinking(lease, expected_s)
        try:
            async with asyncio.timeout(within_s):
                await self._actuator.hold_in_force(hold_id)
                await self._stands_still()
        except TimeoutError:
            self.commander.refuse_thinking(thinking.thinking_id)
            raise StillMoving(
                f"not below {STILL_M_S:g} m/s within {within_s:.1f} s", within_s=round(within_s, 1)
            ) from None
        except StillwingError:
            self.commander.refuse_thinking(thinking.thinking_id)
            raise
        return self.commander.thinking or thinking

    async def _stands_still(self) -> None:
        # A vehicle that swings back is slow for an instant only.
        slow = 0
        while slow < _NEEDED_READINGS:
            state = await self.refresh()
            slow = slow + 1 if state.velocity.speed_m_s < STILL_M_S else 0
            await asyncio.sleep(self._state_period_s)

    def emergency_stop(self, level: StopLevel, reason: str, who: str) -> asyncio.Future[None] | None:
        """Latch, waiting for nothing: a vehicle out of reach is stopped once it answers.

        Returns what is done when the vehicle has confirmed the stop, and fails where it could not; None for a landing.
        """
        _, hold_id = self.commander.emergency_stop(level, reason, who)
        return self._actuator.outcome_of_stop(hold_id)

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
        """Have carried out what the commander has decided; call after every call on the commander."""
        self._actuator.pump()

    def _request_lock(self, request_id: str) -> asyncio.Lock:
        # A repeated request waits for the first one's answer; unnamed requests have nothing to wait for.
        lock = self._request_locks.get(request_id) if request_id else None
        if lock is None:
            lock = asyncio.Lock()
            if request_id:
                self._request_locks[request_id] = lock
        return lock

    def _state(self) -> VehicleState:
        state = self.commander.state
        if state is None:
            raise LinkLost("no state of the vehicle")
        return state

    # Time and state

    async def _tick(self) -> None:
        while True:
            self._actuator.changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.commander.next_tick_s):
                    await self._actuator.changed.wait()
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
        await self._actuator.stop_flying()
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
        self._actuator.judge_progress(state)
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
