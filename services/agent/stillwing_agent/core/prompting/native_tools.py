"""The tools of a pretrained model: a sentence for each and for each argument, and what the bridge allows as ranges.

It knows nothing of how a tool is carried out or of how a template writes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillwing_agent.core.prompting.prompts import ToolSpec
from stillwing_bridge.core.types import Limits
from stillwing_vlm.core.chat_format import Pointing

_SMALLEST_M = 0.1
_SLOWEST_M_S = 0.2
_LONGEST_TEXT = 300
_LARGEST_PX = 4096
"""Ranges of pixels stand in the schema before the size of the picture is known; a point outside it is refused."""


@dataclass(frozen=True, slots=True)
class ToolLimits:
    """What the tools' ranges come from. `pointing` None: the family is not known, and thousandths are asked for.

    `has_memory`: there is a memory bank to recall from.
    """

    bridge: Limits
    pointing: Pointing | None = None
    has_memory: bool = True


def native_tools(limits: ToolLimits) -> tuple[ToolSpec, ...]:
    """All tools of a mission, in the order in which they are told."""
    bridge = limits.bridge
    unseen_m = min(bridge.max_unseen_step_m, bridge.max_step_m)
    unseen_m_s = min(bridge.max_unseen_speed_m_s, bridge.max_speed_m_s)
    speed = _number("Speed in metres a second; the usual one if left out.", _SLOWEST_M_S, bridge.max_speed_m_s)
    slow = _number("Speed in metres a second; the usual one if left out.", _SLOWEST_M_S, unseen_m_s)
    tools = [
        ToolSpec(
            "takeoff",
            "Starts the motors and climbs straight up; for when you stand on the ground.",
            {"altitude_m": _number("Height above home to climb to.", bridge.min_altitude_m, bridge.max_altitude_m)},
        ),
        ToolSpec(
            "move_forward",
            "Flies level straight ahead, the way the camera looks; it is checked to be free before it is flown.",
            {"distance_m": _number("How far, in metres.", _SMALLEST_M, bridge.max_step_m), "speed_m_s": speed},
            frozenset({"speed_m_s"}),
        ),
        ToolSpec(
            "turn",
            "Turns on the spot, so that the camera looks another way.",
            {
                "direction": _words_of(["left", "right"], "Which way to turn, as you see it."),
                "angle_deg": _number("By how many degrees; 90 is a quarter turn.", 1, 180, 1),
            },
        ),
        ToolSpec(
            "point_and_fly",
            _POINT_AND_FLY,
            {
                **_point(limits.pointing),
                "distance_m": _number(
                    "How far to fly at most, in metres; it stops short of what is in the way.",
                    _SMALLEST_M,
                    bridge.max_step_m,
                ),
                "speed_m_s": speed,
            },
            frozenset({"speed_m_s"}),
        ),
        ToolSpec(
            "look",
            "Asks yourself one question about what the camera shows now, and brings back the answer.",
            {"question": _text("What you want to know.")},
        ),
        ToolSpec(
            "look_around",
            "Turns once round on the spot and brings back, for each heading, what is seen there.",
            {"question": _text("What to look for.")},
        ),
        ToolSpec(
            "note",
            "Writes down what you will need later; your notes stay with you when pictures and actions are forgotten.",
            {"text": _text("What to remember, in one sentence.")},
        ),
        ToolSpec(
            "report",
            "Tells the operator something and goes on; nothing is flown.",
            {"text": _text("What to tell, in one or two sentences.")},
        ),
        ToolSpec(
            "ask_operator",
            "Asks the operator when the instruction is not clear; the vehicle waits, holding, for the answer.",
            {"question": _text("One question.")},
        ),
        ToolSpec("return_home", "Flies back to where the flight began, above it, as far as the way is free."),
        ToolSpec("hover", "Waits in place.", {"duration_s": _number("For how many seconds.", _SMALLEST_M, 10)}),
        ToolSpec("land", "Descends to the ground where it is and stops the motors."),
        ToolSpec(
            "final_answer",
            "Ends the instruction: call it when it is carried out, or when you are sure that it cannot be.",
            {
                "achieved": {"type": "boolean", "description": "true only if what was asked is done."},
                "answer": _text("What was done or seen, or why it cannot be done."),
            },
        ),
    ]
    if unseen_m >= _SMALLEST_M:
        aside = _words_of(["left", "right", "back"], "Which way, as you see it.")
        distance = _number("How far, in metres.", _SMALLEST_M, unseen_m)
        height = _number("How far up, in metres; negative is down.", -unseen_m, unseen_m)
        tools[2:2] = [
            ToolSpec(
                "move_aside",
                _MOVE_ASIDE,
                {"direction": aside, "distance_m": distance, "speed_m_s": slow},
                frozenset({"speed_m_s"}),
            ),
            ToolSpec("climb", "Rises straight up, or sinks if the height is negative.", {"height_m": height}),
        ]
    if limits.has_memory:
        query = {"query": _text("What to look for, in a few words.")}
        tools.insert(-7, ToolSpec("recall", _RECALL, query))
    return tuple(tools)


def pointing_words(pointing: Pointing | None) -> str:
    """How a place in the picture is given, for the model to read."""
    if pointing is Pointing.RESIZED_PIXELS:
        return "x and y are pixels of the picture that you see, from its left and from its top edge."
    return "x and y are thousandths of the picture: 0 to 1000 from its left and from its top edge."


_POINT_AND_FLY = "Flies towards the thing that is seen at a point of the newest picture, up or down as well as ahead."
_MOVE_ASIDE = "Flies level to a side or back without turning; no camera looks there, so only a short way at a time."
_RECALL = "Searches the memory of earlier pictures, and brings back what was seen."


def _number(description: str, minimum: float, maximum: float, step: float = 0.1) -> dict[str, Any]:
    return {"type": "number", "description": description, "minimum": minimum, "maximum": maximum, "multipleOf": step}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description, "maxLength": _LONGEST_TEXT}


def _words_of(words: list[str], description: str) -> dict[str, Any]:
    return {"type": "string", "enum": words, "description": description}


def _point(pointing: Pointing | None) -> Mapping[str, dict[str, Any]]:
    unit, most = ("pixels", _LARGEST_PX) if pointing is Pointing.RESIZED_PIXELS else ("thousandths", 1000)
    return {
        name: {
            "type": "integer",
            "description": f"{unit.capitalize()} from the {edge} edge of the picture.",
            "minimum": 0,
            "maximum": most,
        }
        for name, edge in (("x", "left"), ("y", "top"))
    }
