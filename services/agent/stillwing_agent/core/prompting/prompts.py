"""The words an agent says to the model, and the JSON schema its tool calls must satisfy.

Training of the pilot imports this module, so that the model is trained on exactly the text it will be flown with.
It knows nothing about models, tokens, transports or how a tool is carried out.
"""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class ToolSpec:
    """One tool as the model sees it: name, one line of purpose, JSON Schema of each argument.

    All arguments are required but the `optional` ones.
    """

    name: str
    purpose: str
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()

    def parameters(self) -> dict[str, Any]:
        """JSON Schema of its arguments and no others."""
        return {
            "type": "object",
            "properties": self.arguments,
            "required": [name for name in self.arguments if name not in self.optional],
            "additionalProperties": False,
        }

    def call_schema(self) -> dict[str, Any]:
        """JSON Schema of `{"name": …, "arguments": {…}}` for this tool alone."""
        arguments = self.parameters()
        return {
            "type": "object",
            "properties": {"name": {"const": self.name}, "arguments": arguments},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }


def _number(minimum: float, maximum: float, step: float = 0.1) -> dict[str, Any]:
    # Without a step a number may have any length, and an answer could run out of tokens before its bracket.
    return {"type": "number", "minimum": minimum, "maximum": maximum, "multipleOf": step}


_SIDE = {"enum": ["left", "right"]}
_WORDS = {"type": "string", "maxLength": 200}

MOVE = ToolSpec(
    "move", "fly level", {"direction": {"enum": ["forward", "back", "left", "right"]}, "distance_m": _number(0.1, 5)}
)
TURN = ToolSpec("turn", "turn on the spot", {"direction": _SIDE, "angle_deg": _number(1, 180, 1)})
CLIMB = ToolSpec("climb", "rise, or sink if negative", {"height_m": _number(-5, 5)})
FLY_TOWARDS = ToolSpec(
    "fly_towards",
    "fly towards a point of the picture",
    {"u": _number(0, 1, 0.01), "v": _number(0, 1, 0.01), "step_m": _number(0.1, 5)},
)
LOOK = ToolSpec("look", "ask what is to be seen", {"question": _WORDS})
RECALL = ToolSpec("recall", "bring back what was seen before", {"query": _WORDS})
HOVER = ToolSpec("hover", "wait in place", {"duration_s": _number(0.1, 10)})
LAND = ToolSpec("land", "descend and disarm")
FINAL_ANSWER = ToolSpec("final_answer", "end the mission", {"answer": _WORDS})

TOOLS: tuple[ToolSpec, ...] = (MOVE, TURN, CLIMB, FLY_TOWARDS, LOOK, RECALL, HOVER, LAND, FINAL_ANSWER)


class ToolStyle(Enum):
    """How a step is told."""

    MOVES = "moves"
    """In metres ahead; points of the picture are offered, too."""
    PIXELS = "pixels"
    """As a point of the picture alone: there is no `move`."""

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What is listed in the opening text and may be called."""
        return TOOLS if self is ToolStyle.MOVES else tuple(tool for tool in TOOLS if tool is not MOVE)


CHOICES: dict[str, dict[str, Any]] = {
    "forward": {"name": "move", "arguments": {"direction": "forward", "distance_m": 1}},
    "left": {"name": "turn", "arguments": {"direction": "left", "angle_deg": 15}},
    "right": {"name": "turn", "arguments": {"direction": "right", "angle_deg": 15}},
    "stop": {"name": "final_answer", "arguments": {"answer": "reached"}},
}
"""The four moves of the one-question agent and the tool call each stands for."""


def system_prompt(tools: Collection[ToolSpec] = TOOLS) -> str:
    """Text that lives in the cache's sink for a whole mission: the role and one line for each tool."""
    lines = [f"{tool.name}({', '.join(tool.arguments)}): {tool.purpose}" for tool in tools]
    return "You fly a drone. Answer with one tool call.\n" + "\n".join(lines)


def decision_prompt(goal: str, refusal_reason: str | None = None) -> str:
    """Question for the next tool call; `refusal_reason` is why the bridge refused the last motion, if it did."""
    refused = f" Refused: {refusal_reason}." if refusal_reason else ""
    return f"{goal}{refused} Next action?"


def choice_prompt(goal: str, refusal_reason: str | None = None) -> str:
    """Question of the one-question agent; its options are the keys of `CHOICES`."""
    refused = f" Refused: {refusal_reason}." if refusal_reason else ""
    return f"{goal}{refused} Which way?"


WHERES: tuple[str, ...] = ("ahead", "left", "right", "none")
"""Answers to where a thing is."""


def where_prompt(thing: str) -> str:
    """Question of where a thing is; the pilot answers ahead, left, right or none."""
    return f"Where is {thing}?"


def tool_call_schema(tools: Collection[ToolSpec] = TOOLS) -> str:
    """JSON Schema (text) that accepts exactly one call of one of `tools`, compact and in key order name, arguments."""
    return json.dumps({"anyOf": [tool.call_schema() for tool in tools]}, separators=(",", ":"))


def dump_tool_call(call: dict[str, Any]) -> str:
    """The one canonical text of a tool call: compact, keys in order name, arguments; whole numbers without a point."""
    return json.dumps(call, separators=(",", ":"), ensure_ascii=False)


def call_text(tool: str, arguments: Mapping[str, Any]) -> str:
    """A tool call as one would write it for people: `move(direction=forward, distance_m=1)`."""
    return f"{tool}({', '.join(f'{key}={value}' for key, value in arguments.items())})"
