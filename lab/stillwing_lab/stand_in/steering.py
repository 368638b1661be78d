"""How a stand-in flies to what it sees: turn to it, go on while the way is free, round what is in the way.

It reads what came of its last calls and looks at the newest picture; it knows nothing of instructions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillwing_lab.stand_in.reading import Reading, Step
from stillwing_lab.stand_in.sight import Picture, Sighting

NEAR_M = 3.0
_STRAIGHT_DEG = 6.0
_SIDE_M = 1.5
MARGIN_M = 0.4
LEAST_WAY_M = 0.8
LONGEST_LEG_M = 8.0

Call = Mapping[str, Any]
"""Name and arguments."""


@dataclass(frozen=True)
class Calls:
    """Calls as the prompt describes the tools."""

    reading: Reading

    def call(self, name: str, **arguments: Any) -> Call:
        """A call with its arguments in the order and within the ranges that the tool's description gives."""
        told = self.reading.tools.get(name, {})
        ordered = {key: arguments[key] for key in told if key in arguments} or arguments
        return {"name": name, "arguments": {key: _within(told.get(key, {}), value) for key, value in ordered.items()}}


@dataclass(frozen=True)
class Steering:
    """One decision's."""

    said: Calls
    newest: Picture

    def approach(self, seen: Sighting) -> Call:
        """Towards a thing in the picture."""
        step = self.said.reading.last
        if step is not None and step.refused and step.tool in ("move_forward", "move_aside", "climb"):
            return self.go_round(step)
        if abs(seen.aside_deg) > _STRAIGHT_DEG and not self._just_aside():
            return self.turn_by(seen.aside_deg)
        way_m = min(max(seen.distance_m - NEAR_M + 0.6, 0.6), LONGEST_LEG_M)
        return self.said.call("move_forward", distance_m=way_m, speed_m_s=2.0)

    def _just_aside(self) -> bool:
        """After a step to the side it goes on as it looks, or it would turn back to what is in the way."""
        step = self.said.reading.last
        return step is not None and step.tool == "move_aside" and not step.refused

    def go_round(self, refused: Step) -> Call:
        """What is free of the way that was refused; else to a side, and on to that side."""
        free = re.search(r"free for (\d+\.\d) m", refused.outcome)
        if refused.tool == "move_forward" and free and float(free[1]) - MARGIN_M >= LEAST_WAY_M:
            return self.said.call("move_forward", distance_m=float(free[1]) - MARGIN_M, speed_m_s=1.0)
        sides = [step for step in self.said.reading.steps if step.tool == "move_aside"]
        side = str(sides[-1].arguments["direction"]) if sides else self._freer_side()
        if refused.tool == "move_aside":
            tried = {str(step.arguments["direction"]) for step in self._refused_lately() if step.tool == "move_aside"}
            if len(tried) > 1:
                return self.said.call("climb", height_m=1.5)
            side = "left" if side == "right" else "right"
        if refused.tool == "climb":
            return self.said.call("move_aside", direction="back", distance_m=1.0)
        return self.said.call("move_aside", direction=side, distance_m=_SIDE_M, speed_m_s=1.0)

    def _refused_lately(self) -> list[Step]:
        found: list[Step] = []
        for step in reversed(self.said.reading.steps):
            if not step.refused:
                break
            found.append(step)
        return found

    def _freer_side(self) -> str:
        """Away from the nearest thing ahead."""
        ahead = [each for each in self.newest.sightings if abs(each.aside_deg) < 35 and each.distance_m < 6]
        return "left" if ahead and ahead[0].aside_deg > 0 else "right"

    def turn_by(self, degrees: float) -> Call:
        """On the spot, to the right where above 0."""
        side = "right" if degrees > 0 else "left"
        return self.said.call("turn", direction=side, angle_deg=max(1, round(abs(degrees))))

    def other_place(self) -> Call:
        """Somewhere else to look from."""
        last = self.said.reading.last
        if last is not None and last.refused and last.tool == "climb":
            return self.said.call("move_aside", direction="left", distance_m=_SIDE_M)
        return self.said.call("climb", height_m=1.5)


def _within(told: Mapping[str, Any], value: Any) -> Any:
    """A number within its range and in its steps, a text within its length."""
    if isinstance(value, str):
        return value[: int(told.get("maxLength", len(value)))]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    held = min(max(value, told.get("minimum", value)), told.get("maximum", value))
    return round(held) if told.get("multipleOf") == 1 or told.get("type") == "integer" else round(float(held), 1)
