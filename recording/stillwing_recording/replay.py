"""A recording served as if it were live: a `Bridge` whose vehicle is on film.

Frames and telemetry come in their recorded order, bit for bit, at `speed` times their pace; their stamps stay those of
the recorded vehicle's clock, and the bridge's own times are moved to the present. It begins with the first reader of
frames. Rates that readers ask for count on the recording's clock, so that a faster replay shows the same frames. At
speed 0 each frame waits until every reader has taken the one before, and none is dropped. When the recording is over,
the streams end.

Nothing can be flown, and no answer pretends otherwise. Leases, holds, thinking and emergency stops work as live: what
stands still already is easily held. Motions are refused (`REPLAYED`) or, on request, noted: checked as live against
lease, stop, thinking, ttl and frame, written into this bridge's flight log, and ended at once as NOTED. The recorded
flight's own log is read with `opening`, not served: the log served here is that of the present callers.

It knows nothing of gRPC, simulators and real vehicles. All methods run on one event loop; files are read on a thread.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from enum import Enum

from stillwing_bridge.core.commands import (
    Command,
    CommandState,
    CommandStatus,
    Hold,
    SetVelocity,
    is_motion,
    kind_of,
    needs_observation,
)
from stillwing_bridge.core.events import (
    CommandEnded,
    CommandStarted,
    EmergencyStopChanged,
    FlightEvent,
    FlightLogEntry,
    Held,
    LeaseChanged,
    Refused,
    ThinkingBegan,
    ThinkingEnded,
)
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.judge.lease import LeaseBook
from stillwing_bridge.core.judge.seen_frames import FrameRecord, FrameRegistry
from stillwing_bridge.core.recent import Recent
from stillwing_bridge.core.types import (
    MAX_REASON_CHARS,
    MAX_WHO_CHARS,
    STILL_WITHIN_S,
    EmergencyStop,
    FrameUpdate,
    Lease,
    LeaseState,
    StopLevel,
    Telemetry,
    ThinkingInterval,
    TimeSync,
    VehicleInfo,
)
from stillwing_common.clock import Clock, WallClock
from stillwing_common.errors import (
    EmergencyStopped,
    InvalidInput,
    NotPermitted,
    Replayed,
    StillwingError,
    Thinking,
    TtlRequired,
    TtlTooLong,
    UnknownCamera,
    UnknownCommand,
    UnknownVehicle,
    Unsupported,
)
from stillwing_common.ids import new_id
from stillwing_common.told_text import told_text
from stillwing_common.types import Frame, ImageEncoding
from stillwing_recording.base import Recording
from stillwing_recording.playback import Playback, in_encoding

_ATTEND_PERIOD_S = 1.0


class CommandMode(Enum):
    """What becomes of motions: REFUSE all of them, or NOTE those a live bridge would look at further."""

    REFUSE = "refuse"
    NOTE = "note"


class ReplayBridge:
    """See `core.protocol.Bridge`. `start` before anything else; `speed` 0 waits for the readers of frames."""

    def __init__(
        self,
        recording: Recording,
        *,
        speed: float = 1.0,
        commands: CommandMode = CommandMode.REFUSE,
        clock: Clock | None = None,
    ) -> None:
        self._vehicle: VehicleInfo = replace(recording.vehicle, simulated=False)
        self._mode = commands
        self._clock = clock or WallClock()
        vehicle_id = self._vehicle.vehicle_id
        self._log = FlightLog(self._clock)
        self._logged = asyncio.Event()
        self._log.listen(self._on_log)
        self._leases = LeaseBook(vehicle_id, new_id("epo"), self._clock)
        self._frames = FrameRegistry(vehicle_id)
        self._statuses: Recent[CommandStatus] = Recent()
        self._answers: Recent[str | StillwingError] = Recent()
        self._thinking: ThinkingInterval | None = None
        self._stop: EmergencyStop | None = None
        self.playback = Playback(recording, speed, self._clock, self._remember)

    async def start(self) -> None:
        """See `Playback.start`."""
        await self.playback.start()

    async def close(self) -> None:
        """End every stream."""
        await self.playback.close()
        self._logged.set()

    # Who and what

    async def list_vehicles(self) -> tuple[VehicleInfo, ...]:
        """See `Bridge.list_vehicles`."""
        return (self._vehicle,)

    async def acquire_lease(self, vehicle_id: str, holder: str, *, stale_after_s: float | None = None) -> LeaseState:
        """See `Bridge.acquire_lease`."""
        self._check_vehicle(vehicle_id)
        state = self._leases.acquire(holder, stale_after_s)
        self._lease_given("acquired", state)
        return state

    async def take_lease(
        self, vehicle_id: str, holder: str, reason: str, *, stale_after_s: float | None = None
    ) -> LeaseState:
        """See `Bridge.take_lease`."""
        self._check_vehicle(vehicle_id)
        state = self._leases.take(holder, reason, stale_after_s)
        self._lease_given("taken", state, reason)
        return state

    async def retain_lease(self, lease: Lease) -> LeaseState:
        """See `Bridge.retain_lease`."""
        self._check_vehicle(lease.vehicle_id)
        return self._leases.retain(lease)

    async def get_lease(self, vehicle_id: str) -> LeaseState | None:
        """See `Bridge.get_lease`."""
        self._check_vehicle(vehicle_id)
        self._leases.lapse()
        return self._leases.state

    async def attend_lease(self, lease: Lease) -> AsyncIterator[LeaseState]:
        """See `Bridge.attend_lease`; when its reader goes away there is no vehicle to hold."""
        self._check_vehicle(lease.vehicle_id)
        while True:
            self._leases.lapse()
            state = self._leases.state
            if state is None or state.lease != lease:
                return
            yield state
            await asyncio.sleep(_ATTEND_PERIOD_S)

    async def return_lease(self, lease: Lease) -> None:
        """See `Bridge.return_lease`."""
        self._check_vehicle(lease.vehicle_id)
        state = self._leases.give_back(lease)
        self._end_thinking()
        self._note(LeaseChanged("returned", state))

    # Commands

    async def command(
        self,
        lease: Lease,
        command: Command,
        *,
        ttl_s: float | None = None,
        based_on_frame_id: str = "",
        request_id: str = "",
    ) -> str:
        """See `Bridge.command`; a motion raises `Replayed`, or ends at once as NOTED."""
        self._check_vehicle(lease.vehicle_id)
        answer = self._answers.get(request_id)
        if isinstance(answer, StillwingError):
            raise answer
        if answer is not None:
            return answer
        try:
            self._leases.retain(lease)
            self._judge(command, ttl_s, based_on_frame_id)
        except StillwingError as error:
            self._answers.put(request_id, error)
            self._note(Refused(kind_of(command), error, command))
            raise
        state = CommandState.NOTED if is_motion(command) else CommandState.SUCCEEDED
        status = CommandStatus(new_id("cmd"), kind_of(command), state)
        self._statuses.put(status.command_id, status)
        self._answers.put(request_id, status.command_id)
        # No motion comes into force, and the log says so: it is noted, not flown.
        self._note(CommandStarted(status.command_id, status.kind, False, based_on_frame_id, command, ttl_s))
        self._note(CommandEnded(status))
        if isinstance(command, Hold):
            self._note(Held("command"))
        return status.command_id

    async def wait_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """See `Bridge.wait_command`; every command has ended already."""
        status = self._statuses.get(command_id)
        if status is None:
            raise UnknownCommand(command_id=command_id)
        return status

    async def watch_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """`wait_command`."""
        return await self.wait_command(command_id, timeout_s)

    async def begin_thinking(
        self, lease: Lease, expected_s: float, *, within_s: float = STILL_WITHIN_S
    ) -> ThinkingInterval:
        """See `Bridge.begin_thinking`; the recording goes on, as the world does."""
        if not 0 <= expected_s < 3600:
            raise InvalidInput("expected is between 0 and 3600 s", field="expected")
        self._check_vehicle(lease.vehicle_id)
        self._leases.retain(lease)
        if self._thinking is None:
            self._thinking = ThinkingInterval(new_id("thk"), self.playback.vehicle_now())
            self._note(Held("thinking"))
            self._note(ThinkingBegan(self._thinking.thinking_id))
        return self._thinking

    async def end_thinking(self, lease: Lease) -> None:
        """See `Bridge.end_thinking`."""
        self._check_vehicle(lease.vehicle_id)
        self._leases.retain(lease)
        self._end_thinking()

    async def emergency_stop(self, vehicle_id: str, level: StopLevel, reason: str, *, who: str = "") -> StopLevel:
        """See `Bridge.emergency_stop`."""
        self._check_vehicle(vehicle_id)
        if level is StopLevel.NONE:
            raise InvalidInput("an emergency stop has a level", field="level")
        reason, who = told_text(reason, MAX_REASON_CHARS), told_text(who, MAX_WHO_CHARS)
        if self._stop is None or level > self._stop.level:
            self._stop = EmergencyStop(level, reason, self._clock.wall_ns(), who, "a replay keeps nothing")
        self._note(EmergencyStopChanged(self._stop.level, reason, who))
        return self._stop.level

    async def get_emergency_stop(self, vehicle_id: str) -> EmergencyStop | None:
        """See `Bridge.get_emergency_stop`."""
        self._check_vehicle(vehicle_id)
        return self._stop

    async def clear_emergency_stop(self, vehicle_id: str, operator_token: str) -> str:
        """`NotPermitted`: a replay has no operator."""
        self._check_vehicle(vehicle_id)
        raise NotPermitted("a replay has no operator's token; start it anew")

    async def time_sync(self, vehicle_id: str, client_send_time_ns: int | None = None) -> TimeSync:
        """See `Bridge.time_sync`; the vehicle's clock is the recorded one."""
        self._check_vehicle(vehicle_id)
        now_ns = self._clock.wall_ns()
        sent_ns = now_ns if client_send_time_ns is None else client_send_time_ns
        return TimeSync(sent_ns, now_ns, now_ns, self.playback.vehicle_now())

    # What the vehicle showed

    async def capture_frame(
        self, vehicle_id: str, camera_id: str = "", encoding: ImageEncoding = ImageEncoding.JPEG
    ) -> Frame:
        """The newest frame shown so far, under its own id: a replay takes no pictures of its own."""
        self._check_vehicle(vehicle_id)
        camera_id = self._camera(camera_id)
        update = self.playback.newest(camera_id)
        if update is None:
            raise Unsupported(f"the recording has shown no frame of {camera_id} yet", camera_id=camera_id)
        return (await asyncio.to_thread(in_encoding, update, encoding)).frame

    def watch_telemetry(self, vehicle_id: str, *, max_rate_hz: float = 0.0) -> AsyncIterator[Telemetry]:
        """See `Bridge.watch_telemetry`."""
        self._check_vehicle(vehicle_id)
        return self.playback.watch_telemetry(max_rate_hz)

    def watch_frames(
        self,
        vehicle_id: str,
        camera_id: str = "",
        *,
        max_rate_hz: float = 0.0,
        encoding: ImageEncoding = ImageEncoding.JPEG,
    ) -> AsyncIterator[FrameUpdate]:
        """See `Bridge.watch_frames`; the first one starts the recording."""
        self._check_vehicle(vehicle_id)
        return self.playback.watch_frames(self._camera(camera_id), max_rate_hz, encoding)

    def watch_flight_log(
        self, vehicle_id: str, *, after_log_seq: int = 0, until_now: bool = False
    ) -> AsyncIterator[FlightLogEntry]:
        """See `Bridge.watch_flight_log`: what the present callers did."""
        self._check_vehicle(vehicle_id)
        return self._watch_log(after_log_seq, until_now)

    async def _watch_log(self, after_log_seq: int, until_now: bool) -> AsyncIterator[FlightLogEntry]:
        seen = after_log_seq
        while True:
            logged = self._logged
            for entry in self._log.after(seen):
                seen = entry.log_seq
                yield entry
            if until_now or self.playback.ended:
                return
            if self._log.last_seq <= seen:
                await logged.wait()

    # The rest

    def _judge(self, command: Command, ttl_s: float | None, based_on_frame_id: str) -> None:
        if not is_motion(command):
            return
        if self._mode is CommandMode.REFUSE:
            raise Replayed
        if self._stop is not None:
            raise EmergencyStopped(level=self._stop.level.name)
        if self._thinking is not None:
            raise Thinking(thinking_id=self._thinking.thinking_id)
        limits = self._vehicle.limits
        longest_s = limits.max_velocity_ttl_s if isinstance(command, SetVelocity) else limits.max_motion_ttl_s
        if ttl_s is None or ttl_s <= 0:
            raise TtlRequired
        if ttl_s > longest_s:
            raise TtlTooLong(f"{ttl_s:g} s, at most {longest_s:g} s")
        if needs_observation(command):
            self._frames.check(based_on_frame_id, self.playback.vehicle_now(), limits.max_observation_age_s)

    def _remember(self, update: FrameUpdate) -> None:
        frame, image = update.frame, update.frame.image
        self._frames.add(
            FrameRecord(
                frame.frame_id,
                frame.camera_id,
                frame.capture,
                frame.camera_pose,
                image.width_px,
                image.height_px,
                frame.hfov_deg or 0.0,
            )
        )

    def _lease_given(self, change: str, state: LeaseState, reason: str = "") -> None:
        self._end_thinking()
        self._note(LeaseChanged(change, state, reason))

    def _end_thinking(self) -> None:
        if self._thinking is not None:
            self._note(ThinkingEnded(self._thinking.thinking_id))
            self._thinking = None

    def _note(self, event: FlightEvent) -> None:
        self._log.append(event, self.playback.vehicle_now())

    def _on_log(self, entry: FlightLogEntry) -> None:
        logged, self._logged = self._logged, asyncio.Event()
        logged.set()

    def _check_vehicle(self, vehicle_id: str) -> None:
        if vehicle_id != self._vehicle.vehicle_id:
            raise UnknownVehicle(vehicle_id=vehicle_id, known=self._vehicle.vehicle_id)

    def _camera(self, camera_id: str) -> str:
        cameras = [camera.camera_id for camera in self._vehicle.cameras]
        if camera_id and camera_id not in cameras:
            raise UnknownCamera(camera_id=camera_id)
        return camera_id or cameras[0]
