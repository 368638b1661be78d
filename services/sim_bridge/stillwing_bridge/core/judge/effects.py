"""What the commander asks of its driver, and the settings of its watchdog: plain values without behaviour."""

from dataclasses import dataclass

from stillwing_bridge.core.commands import Command
from stillwing_bridge.core.types import Lease
from stillwing_bridge.core.vehicle import Plan


@dataclass(frozen=True, slots=True)
class WatchdogSettings:
    """What happens on silence of the holder, in seconds since the last sign of life."""

    notice_after_s: float = 0.3
    hold_after_s: float = 0.55
    descend_after_s: float = 30.0
    land_after_s: float = 60.0

    def __post_init__(self) -> None:
        if not 0 < self.notice_after_s <= self.hold_after_s <= self.descend_after_s <= self.land_after_s:
            raise ValueError("watchdog: 0 < notice <= hold <= descend <= land")


# Effects


@dataclass(frozen=True, slots=True)
class HoldNow:
    """Hold; then `hold_in_force(hold_id)` or `hold_failed(hold_id, …)`."""

    hold_id: int
    cause: str


@dataclass(frozen=True, slots=True)
class StartMotion:
    """Fly `plan` for at most `ttl_s`; then `motion_ended` when it is over by itself."""

    command_id: str
    plan: Plan
    ttl_s: float


@dataclass(frozen=True, slots=True)
class DescendNow:
    """Sink to the lowest allowed altitude: nobody has commanded for long."""


@dataclass(frozen=True, slots=True)
class LandNow:
    """Land and disarm, under nobody's command."""

    cause: str


@dataclass(frozen=True, slots=True)
class KillNow:
    """Stop the motors."""


Effect = HoldNow | StartMotion | DescendNow | LandNow | KillNow


@dataclass(frozen=True, slots=True)
class Draft:
    """A motion that passed all checks but those on its way; `Commander.accept` makes it fly."""

    command_id: str
    request_id: str
    lease: Lease
    command: Command
    based_on_frame_id: str
    deadline_s: float
    ttl_s: float
    generation: int
