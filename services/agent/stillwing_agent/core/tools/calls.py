"""Tool calls: whether their arguments fit, and the motion that each stands for.

It knows nothing of how a motion is flown or of who made the call.
"""

from collections.abc import Collection, Mapping
from typing import Any

from stillwing_agent.core.json_schema import NamedValues
from stillwing_agent.core.prompting.prompts import ToolSpec
from stillwing_bridge.core.commands import Command, FlyTowards, Land, Step, Takeoff, Turn
from stillwing_common.errors import InvalidInput
from stillwing_vlm.core.chat_format import Pointing


class CallCheck:
    """The arguments that these tools take."""

    def __init__(self, tools: Collection[ToolSpec]) -> None:
        self._arguments = {tool.name: _limits(tool) for tool in tools}

    def check(self, name: str, arguments: Mapping[str, Any]) -> None:
        """Raises InvalidInput, whose metadata name tool and argument."""
        if name not in self._arguments:
            raise InvalidInput(f"there is no tool {name!r}; known: {', '.join(self._arguments)}", tool=name)
        misfit = self._arguments[name].misfit(arguments)
        if misfit is not None:
            raise InvalidInput(f"{name}: {misfit.problem}", tool=name, argument=misfit.name)


def _limits(tool: ToolSpec) -> NamedValues:
    # A step bounds how long the model may make a number, and not what can be flown.
    arguments = {
        name: {key: value for key, value in schema.items() if key != "multipleOf"}
        for name, schema in tool.arguments.items()
    }
    return NamedValues(arguments, required=True, optional=tool.optional)


def to_command(name: str, arguments: Mapping[str, Any]) -> Command:
    """The motion a tool call stands for; body axes forward, right, up; turns clockwise seen from above.

    Raises InvalidInput for a name that is no motion tool or a direction it does not have.
    """
    speed_m_s = arguments.get("speed_m_s", 0.0)
    match name, arguments.get("direction"):
        case ("move", "forward") | ("move_forward", _):
            return Step(forward_m=arguments["distance_m"], speed_m_s=speed_m_s)
        case "move" | "move_aside", "back":
            return Step(forward_m=-arguments["distance_m"], speed_m_s=speed_m_s)
        case "move" | "move_aside", "right":
            return Step(right_m=arguments["distance_m"], speed_m_s=speed_m_s)
        case "move" | "move_aside", "left":
            return Step(right_m=-arguments["distance_m"], speed_m_s=speed_m_s)
        case "turn", "right":
            return Turn(arguments["angle_deg"])
        case "turn", "left":
            return Turn(-arguments["angle_deg"])
        case "climb", _:
            return Step(up_m=arguments["height_m"])
        case "fly_towards", _:
            return FlyTowards(arguments["u"], arguments["v"], arguments["step_m"])
        case "takeoff", _:
            return Takeoff(arguments["altitude_m"])
        case "land", _:
            return Land()
    raise InvalidInput(f"{name} is no motion, or not in that direction", tool=name)


def point_command(
    arguments: Mapping[str, Any], pointing: Pointing | None, picture_px: tuple[int, int] | None
) -> FlyTowards:
    """The motion towards a point in the figures of the model's family; `picture_px`: width and height as it is shown.

    Raises InvalidInput for a point outside the picture.
    """
    x, y = arguments["x"], arguments["y"]
    width, height = (1000, 1000) if pointing is not Pointing.RESIZED_PIXELS or picture_px is None else picture_px
    if not (0 <= x <= width and 0 <= y <= height):
        raise InvalidInput(
            f"the point {x}, {y} is outside the picture, which is {width} wide and {height} high", tool="point_and_fly"
        )
    return FlyTowards(x / width, y / height, arguments["distance_m"], arguments.get("speed_m_s", 0.0))
