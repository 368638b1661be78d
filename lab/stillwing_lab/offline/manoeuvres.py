"""One word for what a tool call or a command would have the vehicle do, so that two of them can be compared.

It knows nothing of recordings or models.
"""

from collections.abc import Mapping
from typing import Any

from stillwing_agent.core.tools.calls import to_command
from stillwing_bridge.core.commands import Command, FlyTowards, GoTo, Hold, Land, SetVelocity, Step, Takeoff, Turn
from stillwing_common.errors import InvalidInput

HOLD, STOP = "hold", "stop"
GO_TO = "go to"
"""A point of the world, which no tool of the agent names: never compared."""

_OF_TOOLS = {"hover": HOLD, "final_answer": STOP}


def of_call(name: str, arguments: Mapping[str, Any]) -> str:
    """The manoeuvre of a tool call; tools that move nothing keep their names."""
    try:
        return of_command(to_command(name, arguments))
    except InvalidInput:
        return _OF_TOOLS.get(name, name)


def of_command(command: Command) -> str:
    """The manoeuvre of a command: its largest part, body axes."""
    match command:
        case Step(forward_m, right_m, up_m):
            return _largest({"forward": forward_m, "right": right_m, "up": up_m})
        case SetVelocity(forward_m_s, right_m_s, down_m_s, yaw_rate_deg_s):
            if any((forward_m_s, right_m_s, down_m_s)):
                return _largest({"forward": forward_m_s, "right": right_m_s, "up": -down_m_s})
            return _turn(yaw_rate_deg_s)
        case Turn(angle_deg):
            return _turn(angle_deg)
        case FlyTowards(u):
            # Thirds of the picture: as exact as left, ahead and right can be.
            return "towards left" if u < 1 / 3 else "towards right" if u > 2 / 3 else "towards ahead"
        case GoTo():
            return GO_TO
        case Takeoff():
            return "takeoff"
        case Land():
            return "land"
        case Hold():
            return HOLD


_OPPOSITE = {"forward": "back", "right": "left", "up": "down"}


def _largest(parts: Mapping[str, float]) -> str:
    axis = max(parts, key=lambda name: abs(parts[name]))
    if parts[axis] == 0:
        return HOLD
    return axis if parts[axis] > 0 else _OPPOSITE[axis]


def _turn(angle_deg: float) -> str:
    return HOLD if angle_deg == 0 else "turn right" if angle_deg > 0 else "turn left"
