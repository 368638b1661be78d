"""Vehicles as their callers know them: what they can do, who holds them and what they show.

Axes, units and clocks as in `core.protocol`.
"""

from dataclasses import dataclass
from enum import IntEnum

from stillwing_bridge.core.commands import CommandStatus
from stillwing_common.types import Frame, Pose, Stamp, VelocityNed

RETAIN_PERIOD_S = 0.1
"""How often a waiting author gives a sign of life; see the watchdog's `hold_after_s`."""

STILL_M_S = 0.1
"""Below this speed a vehicle counts as standing still."""

PROMISED_STILL_S = 1.5
"""How long a vehicle takes at most to stand still once whoever flies it, or this process, is dead or frozen."""

STILL_WITHIN_S = 2.5
"""How long a vehicle that is held may take to stand still before its author begins to think; a lease lasts longer."""


MAX_REASON_CHARS = 1000
MAX_WHO_CHARS = 200
"""What is kept of the words of an emergency stop; the rest is cut."""


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


class StopLevel(IntEnum):
    """How hard an emergency stop is; the highest asserted one wins. NONE means that none is latched."""

    NONE = 0
    HOLD = 1
    LAND = 2
    KILL = 3


@dataclass(frozen=True, slots=True)
class EmergencyStop:
    """A latched stop: how hard, why, when (nanoseconds of the epoch) and who.

    `not_on_disk` says why a bridge that is started anew would not know of it; "" where it is on the bridge's disk.
    """

    level: StopLevel
    reason: str
    latched_time_ns: int
    who: str = ""
    not_on_disk: str = ""


@dataclass(frozen=True, slots=True)
class ThinkingInterval:
    """An open thinking interval; `held_since` is the vehicle's clock when the hold was in force, None if unknown."""

    thinking_id: str
    held_since: Stamp | None


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
