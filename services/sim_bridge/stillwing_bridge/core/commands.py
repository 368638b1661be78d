"""What a vehicle can be commanded to do, and how a command stands.

Axes and units as in `core.protocol`.
"""

from dataclasses import dataclass
from enum import Enum

from stillwing_common.errors import StillwingError
from stillwing_common.types import PositionNed


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
