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
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Protocol

from stillwing_common.errors import StillwingError
from stillwing_common.types import Frame, ImageEncoding, Pose, PositionNed, Stamp, VelocityNed

# Vehicles


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera of a vehicle; `hfov_deg` is horizontal."""

    camera_id: str
    width_px: int
    height_px: int
    hfov_deg: float
    has_depth: bool


@dataclass(frozen=True, slots=True)
class Limits:
    """What the bridge enforces for a vehicle; a request beyond any of them is refused, never cut.

    The unseen ones hold for a way that ends in no camera's view. The battery ones are shares of a full charge, for a
    vehicle that reports one: below the floor it only holds and lands, below the other the bridge lands it.
    """

    max_speed_m_s: float = 3.0
    max_step_m: float = 10.0
    min_altitude_m: float = 0.5
    max_altitude_m: float = 30.0
    fence_radius_m: float = 100.0
    max_velocity_ttl_s: float = 5.0
    max_motion_ttl_s: float = 60.0
    max_observation_age_s: float = 10.0
    max_unseen_step_m: float = 2.0
    max_unseen_speed_m_s: float = 1.0
    battery_floor_fraction: float = 0.2
    battery_land_fraction: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.min_altitude_m < self.max_altitude_m:
            raise ValueError("altitudes: 0 < min < max")
        for name in ("max_speed_m_s", "max_step_m", "fence_radius_m", "max_velocity_ttl_s", "max_motion_ttl_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is above 0")
        if self.max_unseen_step_m < 0 or self.max_unseen_speed_m_s < 0:
            raise ValueError("what may be flown unseen is 0 or above")
        if not 0 <= self.battery_land_fraction <= self.battery_floor_fraction < 1:
            raise ValueError("battery: 0 <= land <= floor < 1")


@dataclass(frozen=True, slots=True)
class VehicleInfo:
    """One vehicle; the first camera is the default. `simulated` says whether a `Simulation` stands behind it."""

    vehicle_id: str
    cameras: tuple[Camera, ...]
    limits: Limits
    simulated: bool


# Leases


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to command; the highest `sequence` of an `epoch` holds the vehicle. An epoch is one run of a bridge."""

    vehicle_id: str
    epoch: str
    sequence: int


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Who holds a vehicle; `expire_time_ns` is when the lease goes stale unless retained."""

    lease: Lease
    holder: str
    expire_time_ns: int
    stale: bool


# Commands


@dataclass(frozen=True, slots=True)
class Takeoff:
    """Arm and climb to `altitude_m` above home; 0 means the bridge's default. Never descends."""

    altitude_m: float = 0.0


@dataclass(frozen=True, slots=True)
class Land:
    """Descend and disarm."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Stay; in force when `Bridge.command` returns."""


@dataclass(frozen=True, slots=True)
class GoTo:
    """Fly to a point; `yaw_deg` (clockwise from north) None keeps the heading, `speed_m_s` 0 means the default."""

    position: PositionNed
    yaw_deg: float | None = None
    speed_m_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SetVelocity:
    """Fly at a velocity in the body's level frame until the ttl lapses."""

    forward_m_s: float = 0.0
    right_m_s: float = 0.0
    down_m_s: float = 0.0
    yaw_rate_deg_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """Fly a distance in the body's level frame and stop there; `speed_m_s` 0 means the default."""

    forward_m: float = 0.0
    right_m: float = 0.0
    up_m: float = 0.0
    speed_m_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Turn:
    """Turn on the spot, degrees clockwise seen from above."""

    angle_deg: float


@dataclass(frozen=True, slots=True)
class FlyTowards:
    """Fly at most `step_m` towards a point of the frame the command is based on; `u`, `v` in [0, 1] from top left.

    The bridge lifts the point to metres by depth and stops short of what is in the way.
    """

    u: float
    v: float
    step_m: float
    speed_m_s: float = 0.0


Command = Takeoff | Land | Hold | GoTo | SetVelocity | Step | Turn | FlyTowards

_KINDS: dict[type[Command], str] = {
    Takeoff: "takeoff",
    Land: "land",
    Hold: "hold",
    GoTo: "go_to",
    SetVelocity: "set_velocity",
    Step: "step",
    Turn: "turn",
    FlyTowards: "fly_towards",
}


def kind_of(command: Command) -> str:
    """The command's name in statuses, logs and on the wire: "takeoff", "go_to", …"""
    return _KINDS[type(command)]


def is_motion(command: Command) -> bool:
    """Whether it moves the vehicle, and so needs a ttl: everything but a hold."""
    return not isinstance(command, Hold)


def needs_observation(command: Command) -> bool:
    """Whether it must name the frame it is based on: everything but takeoff, land and hold."""
    return not isinstance(command, Takeoff | Land | Hold)


class CommandState(Enum):
    """Where a command stands; all but RUNNING are ends, and at every end the vehicle holds or stands on the ground.

    NOTED ends what was written down and not flown, because the vehicle is a recording.
    """

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    TIMEOUT = "timeout"
    PREEMPTED = "preempted"
    COLLISION = "collision"
    FENCE = "fence"
    OBSTRUCTED = "obstructed"
    ESTOP = "estop"
    LINK_LOST = "link_lost"
    FAILED = "failed"
    NOTED = "noted"


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """How a command stands; `error` says why, for LINK_LOST and FAILED."""

    command_id: str
    kind: str
    state: CommandState
    error: StillwingError | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.state is not CommandState.RUNNING


class StopLevel(IntEnum):
    """How hard an emergency stop is; the highest asserted one wins. NONE means that none is latched."""

    NONE = 0
    HOLD = 1
    LAND = 2
    KILL = 3


@dataclass(frozen=True, slots=True)
class ThinkingInterval:
    """An open thinking interval; `held_since` is the vehicle's clock when the hold was in force, None if unknown."""

    thinking_id: str
    held_since: Stamp | None


# What the vehicle shows


@dataclass(frozen=True, slots=True)
class Telemetry:
    """The newest state. `sequence` rises by one for every state produced: a gap counts what a slow reader missed.

    `battery_fraction` is the share of a full charge that is left, None where the vehicle reports no battery.
    """

    sequence: int
    stamp: Stamp
    pose: Pose
    velocity: VelocityNed
    command: CommandStatus | None
    armed: bool
    flying: bool
    collisions: int
    thinking: bool
    emergency_stop: StopLevel
    last_collision_object: str
    battery_fraction: float | None = None


@dataclass(frozen=True, slots=True)
class FrameUpdate:
    """The newest frame; `sequence` as in `Telemetry`.

    The bridge's wall clock, ns: when it asked for the frame, had it, and offered it encoded to readers.
    """

    sequence: int
    frame: Frame
    receive_time_ns: int
    request_time_ns: int = 0
    offer_time_ns: int = 0


@dataclass(frozen=True, slots=True)
class TimeSync:
    """One round trip: the bridge's wall clock on receipt and reply, and the vehicle's clock at that moment."""

    client_send_time_ns: int
    bridge_receive_time_ns: int
    bridge_send_time_ns: int
    vehicle: Stamp | None


# Flight log


@dataclass(frozen=True, slots=True)
class CommandStarted:
    """A command came into force; from here to its `CommandEnded` it is in force. `command` is what was asked for."""

    command_id: str
    kind: str
    motion: bool
    based_on_frame_id: str
    command: Command | None = None
    ttl_s: float | None = None


@dataclass(frozen=True, slots=True)
class CommandEnded:
    """A command ended; the vehicle no longer moves under it."""

    status: CommandStatus


@dataclass(frozen=True, slots=True)
class Refused:
    """A request was turned down."""

    kind: str
    error: StillwingError
    command: Command | None = None


@dataclass(frozen=True, slots=True)
class Held:
    """A hold came into force: "command", "done", "ttl", "thinking", "lease_stale", "watchdog", "estop", …"""

    cause: str


@dataclass(frozen=True, slots=True)
class ThinkingBegan:
    """A thinking interval began; the vehicle held already. `expected_s` is what its author expects it to take."""

    thinking_id: str
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ThinkingEnded:
    """A thinking interval ended."""

    thinking_id: str


@dataclass(frozen=True, slots=True)
class LeaseChanged:
    """A lease was "acquired", "taken", "returned", "stale" or "void"; `reason` is given for a taken one."""

    change: str
    state: LeaseState
    reason: str = ""


@dataclass(frozen=True, slots=True)
class EmergencyStopChanged:
    """The latched level changed; NONE when it was cleared."""

    level: StopLevel
    reason: str


@dataclass(frozen=True, slots=True)
class Collided:
    """One contact with anything but the ground."""

    object_name: str


@dataclass(frozen=True, slots=True)
class SilenceNoticed:
    """The author of a motion in force has given no sign of life for `silence_s`; the ladder's first rung."""

    silence_s: float


@dataclass(frozen=True, slots=True)
class LandingBegan:
    """The bridge sinks or lands the vehicle: "watchdog_descend", "watchdog_land", "battery"."""

    cause: str


FlightEvent = (
    CommandStarted
    | CommandEnded
    | Refused
    | Held
    | ThinkingBegan
    | ThinkingEnded
    | LeaseChanged
    | EmergencyStopChanged
    | Collided
    | SilenceNoticed
    | LandingBegan
)


@dataclass(frozen=True, slots=True)
class FlightLogEntry:
    """One entry of the flight log; `log_seq` rises by one, `vehicle_time` is None while the link is down."""

    log_seq: int
    log_time_ns: int
    vehicle_time: Stamp | None
    event: FlightEvent


class Bridge(Protocol):
    """Commands vehicles and shows what they see. Every method may raise `UnknownVehicle` and `LinkLost`.

    A method that takes a lease may raise `LeaseStale`, `LeaseSuperseded` or `LeaseWrongEpoch`, whose metadata name the
    present holder, and is a sign of life of its holder. While a motion is in force the holder gives one at least twice
    a second, or the vehicle holds after one second of silence; `wait_command` does so by itself while it is awaited.
    While the vehicle holds, one sign a second keeps the lease.
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

    async def begin_thinking(self, lease: Lease, expected_s: float) -> ThinkingInterval:
        """Hold, and refuse motion from this lease until `end_thinking`; returns when the hold is in force."""

    async def end_thinking(self, lease: Lease) -> None:
        """Allow motion again; ending what never began succeeds."""

    async def emergency_stop(self, vehicle_id: str, level: StopLevel, reason: str) -> StopLevel:
        """Stop at once and latch; returns the level now latched. Needs no lease."""

    async def clear_emergency_stop(self, vehicle_id: str, operator_token: str) -> None:
        """Unlatch; `NotPermitted` without the token the bridge was started with."""

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


# Simulation


@dataclass(frozen=True, slots=True)
class WorldInfo:
    """What is simulated; `settings_json` as the simulator gives it."""

    simulator: str
    settings_json: str
    paused: bool
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class GroundTruth:
    """Where a vehicle or object really is; `velocity` is None for objects."""

    stamp: Stamp
    pose: Pose
    velocity: VelocityNed | None


class Simulation(Protocol):
    """Controls a simulator. A bridge to a real vehicle raises `Unsupported` from all of it."""

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
