"""What the flight log records of one vehicle: commands, refusals, holds, thinking, leases, stops and contacts."""

from dataclasses import dataclass

from stillwing_bridge.core.commands import Command, CommandStatus
from stillwing_bridge.core.types import LeaseState, StopLevel
from stillwing_common.errors import StillwingError
from stillwing_common.types import Stamp


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
    """The latched level changed, `who` changed it and why; NONE when it was cleared."""

    level: StopLevel
    reason: str
    who: str = ""


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
