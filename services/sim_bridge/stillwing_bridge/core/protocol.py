"""What a bridge is to its callers: vehicles commanded under a lease, that hold by themselves and show what they see.

Two implementations share these protocols: the bridge of this process (`core.bridge.LocalBridge`) and the one behind the
wire (`client.RemoteBridge`). This module knows nothing of simulators, sockets, protobuf or gRPC.

Promise: at no instant does a vehicle move under a command whose author is thinking, dead, cut off, superseded or
looking at a stale picture. The bridge keeps it alone; no caller can break it.

World axes are NED metres from the vehicle's home point, body axes forward, right, down. Times called `…_time_ns` are
the bridge's wall clock, nanoseconds since 1970 UTC; `Stamp`s are on the vehicle's clock. All methods run on one event
loop.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from stillwing_bridge.core.commands import Command, CommandStatus
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.types import (
    STILL_WITHIN_S,
    EmergencyStop,
    FrameUpdate,
    GroundTruth,
    Lease,
    LeaseState,
    StopLevel,
    Telemetry,
    ThinkingInterval,
    TimeSync,
    VehicleInfo,
    WorldInfo,
)
from stillwing_common.types import Frame, ImageEncoding, Pose, Stamp


class Bridge(Protocol):
    """Commands vehicles and shows what they see. Every method may raise `UnknownVehicle` and `LinkLost`.

    A method that takes a lease may raise `LeaseStale`, `LeaseSuperseded` or `LeaseWrongEpoch`, whose metadata name the
    present holder, and is a sign of life of its holder. While a motion is in force the holder gives one at least four
    times a second, or the vehicle holds after half a second of silence; `wait_command` does so by itself while it is
    awaited. While the vehicle holds, one sign a second keeps the lease.
    """

    async def list_vehicles(self) -> tuple[VehicleInfo, ...]:
        """The vehicles and what each can do."""

    async def acquire_lease(self, vehicle_id: str, holder: str, *, stale_after_s: float | None = None) -> LeaseState:
        """Lease a vehicle that nobody holds, or whose holder is stale; otherwise `LeaseHeld`."""

    async def take_lease(
        self, vehicle_id: str, holder: str, reason: str, *, stale_after_s: float | None = None
    ) -> LeaseState:
        """Take the vehicle from whoever holds it; for people. The vehicle holds. `InvalidInput` without a reason."""

    async def retain_lease(self, lease: Lease) -> LeaseState:
        """A sign of life."""

    async def get_lease(self, vehicle_id: str) -> LeaseState | None:
        """Who holds the vehicle; None if nobody. No sign of life."""

    def attend_lease(self, lease: Lease) -> AsyncIterator[LeaseState]:
        """A lifeline: once this stream was begun, the vehicle holds as soon as its reader goes away or is cut off.

        Ends by itself when the lease is in force no more. No sign of life: a process that hangs keeps its connections.
        """

    async def return_lease(self, lease: Lease) -> None:
        """Give the vehicle back; it holds."""

    async def command(
        self,
        lease: Lease,
        command: Command,
        *,
        ttl_s: float | None = None,
        based_on_frame_id: str = "",
        request_id: str = "",
    ) -> str:
        """Start a command; returns its id when it is accepted, for a hold when it is in force.

        The same `request_id` again returns the first answer and does nothing; "" means a fresh one. A motion in force
        is replaced. Raises `TtlRequired`, `TtlTooLong`, `CommandExpired`, `ObservationRequired`, `ObservationStale`,
        `UnknownFrame`, `Thinking`, `EmergencyStopped`, `NotFlying`, `BatteryLow`, `LimitExceeded`, `WayUnseen`,
        `OutsideFence`, `Obstructed` (metadata `distance_m`: how far it is free) or `CommandSuperseded`, and the vehicle
        does what it did before.
        """

    async def wait_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        """How the command ended, or how it stands after `timeout_s`; `UnknownCommand` if there was none.

        A sign of life of the lease the command was given under, as long as it is awaited by who gave the command.
        """

    async def begin_thinking(
        self, lease: Lease, expected_s: float, *, within_s: float = STILL_WITHIN_S
    ) -> ThinkingInterval:
        """Hold, and refuse motion from this lease until `end_thinking`; returns once the vehicle stands still.

        `StillMoving` where two readings in a row have not shown it below 0.1 m/s within `within_s`, at most
        `STILL_WITHIN_S`: then it is held, and nobody counts as thinking.
        """

    async def end_thinking(self, lease: Lease) -> None:
        """Allow motion again; ending what never began succeeds."""

    async def emergency_stop(self, vehicle_id: str, level: StopLevel, reason: str, *, who: str = "") -> StopLevel:
        """Stop at once and latch; returns the level now latched. Needs no lease, and no words of it are refused.

        Answers when the vehicle has confirmed it and it is on the disk, or could not be put there, which
        `get_emergency_stop` says. `StopUnconfirmed` where it is latched and the vehicle has not confirmed it.
        """

    async def get_emergency_stop(self, vehicle_id: str) -> EmergencyStop | None:
        """The stop in force, None if there is none. Answers whether or not the vehicle does."""

    async def clear_emergency_stop(self, vehicle_id: str, operator_token: str) -> str:
        """Unlatch; `NotPermitted` without the token the bridge was started with.

        Returns "", or why a bridge that is started anew would stop the vehicle again: the disk holds the stop still.
        """

    async def time_sync(self, vehicle_id: str) -> TimeSync:
        """Relate this clock to the vehicle's."""

    async def capture_frame(
        self, vehicle_id: str, camera_id: str = "", encoding: ImageEncoding = ImageEncoding.JPEG
    ) -> Frame:
        """One picture now, in any encoding the camera has; "" is the first camera. `UnknownCamera`."""

    def watch_telemetry(self, vehicle_id: str, *, max_rate_hz: float = 0.0) -> AsyncIterator[Telemetry]:
        """State stream: the newest state, dropping what the reader is too slow for; 0 Hz means every one."""

    def watch_frames(
        self,
        vehicle_id: str,
        camera_id: str = "",
        *,
        max_rate_hz: float = 0.0,
        encoding: ImageEncoding = ImageEncoding.JPEG,
    ) -> AsyncIterator[FrameUpdate]:
        """State stream: the newest frame, dropping what the reader is too slow for; 0 Hz means every one."""

    def watch_flight_log(
        self, vehicle_id: str, *, after_log_seq: int = 0, until_now: bool = False
    ) -> AsyncIterator[FlightLogEntry]:
        """Log stream: every entry after `after_log_seq` in order, none dropped; `until_now` ends at the newest."""


class Simulation(Protocol):
    """Controls a simulator. A bridge to real vehicles has none; asked over the wire, it raises `Unsupported`."""

    async def get_world(self) -> WorldInfo:
        """What is simulated, and whether its time stands still."""

    async def reset(self) -> Stamp:
        """Put the world back to its start; the clock id changes, commands end and leases are void."""

    async def pause(self, paused: bool) -> None:
        """Stop or resume simulated time."""

    async def step(self, duration_s: float) -> Stamp:
        """Let simulated time run for `duration_s` and return when it is paused again."""

    async def vehicle_ground_truth(self, vehicle_id: str) -> GroundTruth:
        """Where a vehicle really is."""

    async def object_ground_truth(self, object_name: str) -> GroundTruth:
        """Where an object really is; `UnknownObject`."""

    async def list_objects(self, name_regex: str = "") -> tuple[str, ...]:
        """Names of objects, sorted; "" means all."""

    async def spawn_object(self, object_name: str, asset: str, pose: Pose, scale: float) -> str:
        """Put a new object into the world; returns its name, which may differ. `SimulatorError` if it cannot."""
