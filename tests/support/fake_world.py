"""What the fakes of the agent's tests share: what is in force, what was asked for, and what is to go wrong."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stillwing_bridge.core.commands import (
    Command,
    CommandState,
    Hold,
    Takeoff,
)
from stillwing_common.errors import StillwingError
from stillwing_common.types import (
    Image,
    ImageEncoding,
    PositionNed,
)

VEHICLE = "drone1"
PICTURE = Image(ImageEncoding.JPEG, 4, 3, b"jpeg")


def call(name: str, **arguments: Any) -> str:
    """The text of a tool call, as the model would write it."""
    return json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))


FORWARD = call("move", direction="forward", distance_m=1)
LEFT = call("turn", direction="left", angle_deg=15)
DONE = call("final_answer", answer="reached")


@dataclass
class World:
    """What the fakes share: what is in force, what was asked for, what is to go wrong."""

    flying: bool = False
    in_force: str | None = None
    thinking: bool = False
    commands: list[Command] = field(default_factory=list)
    based_on: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    retained: int = 0
    returned: int = 0
    refusals: dict[int, StillwingError] = field(default_factory=dict)
    """By number of the motion (0 is the first after takeoff): what the bridge refuses it with."""
    ends: dict[int, CommandState] = field(default_factory=dict)
    """By number of the motion: how it ends, where it does not succeed."""
    motion_s: float = 0.01
    frame_interval_s: float = 0.003
    superseded: bool = False
    held_for: int = 0
    """How many more times the lease is refused because somebody holds it."""
    here: PositionNed = field(default_factory=lambda: PositionNed(0, 0, 0))
    heading_deg: float = 0.0
    frames_fail: StillwingError | None = None
    engine_dead: bool = False
    no_room: Sequence[StillwingError | None] = ()
    """What the engine lets frames go with, in turn; None takes the frame in."""
    session_closed: bool = False

    @property
    def motions(self) -> list[Command]:
        """Motions accepted or refused, without takeoff and hold."""
        return [command for command in self.commands if not isinstance(command, Takeoff | Hold)]

    def check_still(self, when: str) -> None:
        """Note a violation if anything is in force, or if the bridge was not told of thinking."""
        if self.in_force is not None:
            self.violations.append(f"{when}: {self.in_force} in force")
        if not self.thinking:
            self.violations.append(f"{when}: no hold acknowledged")
