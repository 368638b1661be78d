"""Ten questions in words and twelve about places in pictures, with known answers.

It knows nothing of how they are shown.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stillwing_agent.core.prompting.native_tools import pointing_words
from stillwing_lab.model_check.pictures import KnownPicture
from stillwing_vlm.core.chat_format import ChatFormat, Pointing
from stillwing_vlm.core.conversation import Tool, ToolCall, ToolCallFormat, UserTurn
from stillwing_vlm.core.local import LocalEngine

SYSTEM_TEXT = "You fly a drone and see through its camera."
_ANSWER_TOKENS = 48
HIT_SHARE = 0.02
"""Of the width: a place so near to the thing counts as on it."""

_TOOLS = (
    Tool(
        "move",
        "Flies level in a direction.",
        '{"type": "object", "properties": {"direction": {"type": "string", "enum": ["forward", "left", "right", '
        '"back"]}, "distance_m": {"type": "integer", "minimum": 1, "maximum": 9}}, '
        '"required": ["direction", "distance_m"]}',
    ),
    Tool("land", "Descends to the ground and stops the motors."),
    Tool(
        "look",
        "Asks one question about what the camera shows, and brings back the answer.",
        '{"type": "object", "properties": {"question": {"type": "string", "maxLength": 80}}, "required": ["question"]}',
    ),
)


@dataclass(frozen=True, slots=True)
class TextProbe:
    """A question; `wanted` is a word of the right answer in lower case, and `others` would make it a wrong one."""

    question: str
    wanted: str
    others: tuple[str, ...] = ()

    def holds(self, answer: str) -> bool:
        """Whether an answer is right."""
        words = set(re.findall(r"[a-z]+|\d+", answer.lower()))
        return set(self.wanted.split()) <= words and not words & set(self.others)


@dataclass(frozen=True, slots=True)
class ToolProbe:
    """An instruction that one call carries out."""

    instruction: str
    wanted: str
    holds: Callable[[ToolCall], bool]


TEXT_PROBES = (
    TextProbe("What is 7 plus 5? Answer with the number alone.", "12"),
    TextProbe("What is the capital of France? Answer with one word.", "paris"),
    TextProbe("Which of these is a colour: table, green, seven? Answer with one word.", "green", ("table", "seven")),
    TextProbe(
        "A drone looks north and turns right by 90 degrees. Which way does it look now? Answer with one word.",
        "east",
        ("west", "north", "south"),
    ),
    TextProbe(
        "A drone 2 m above the ground climbs by 3 m. How high is it, in metres? Answer with the number alone.", "5"
    ),
    TextProbe("Which is heavier, a kilogram of iron or a gram of wood? Answer with one word.", "iron", ("wood",)),
    TextProbe("Repeat these two words and nothing else: red door", "red door"),
)

TOOL_PROBES = (
    ToolProbe(
        "Fly 3 metres forward.",
        "move forward 3",
        lambda call: call.name == "move" and json.loads(call.arguments) == {"direction": "forward", "distance_m": 3},
    ),
    ToolProbe("Come down to the ground here.", "land", lambda call: call.name == "land"),
    ToolProbe("Find out what colour the roof in front of you has.", "look", lambda call: call.name == "look"),
)


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One probe: `kind` "text", "tool" or "pointing"; `place` in a picture, as shares of width and height."""

    kind: str
    question: str
    wanted: str
    answer: str
    is_right: bool
    place: tuple[float, float] | None = None
    miss: float | None = None
    """Of the picture's width."""


def ask_text(engine: LocalEngine, picture: KnownPicture) -> Iterator[ProbeResult]:
    """The ten, behind one picture. Of a model without a usable chat template, calls of tools count as wrong."""
    session = engine.open(SYSTEM_TEXT)
    session.append(picture.pixels)
    for probe in TEXT_PROBES:
        answer = session.ask(probe.question, max_tokens=_ANSWER_TOKENS).text
        yield ProbeResult("text", probe.question, probe.wanted, answer, probe.holds(answer))
    problem = _no_tools(engine.info().chat)
    if problem:
        yield from (ProbeResult("tool", probe.instruction, probe.wanted, problem, False) for probe in TOOL_PROBES)
        return
    session = engine.open(SYSTEM_TEXT, tools=_TOOLS)
    session.append(picture.pixels)
    for tool_probe in TOOL_PROBES:
        done = session.ask(
            [UserTurn(tool_probe.instruction)], answer_format=ToolCallFormat(), max_tokens=2 * _ANSWER_TOKENS
        )
        is_right = done.tool_call is not None and tool_probe.holds(done.tool_call)
        yield ProbeResult("tool", tool_probe.instruction, tool_probe.wanted, done.text, is_right)


def _no_tools(chat: ChatFormat) -> str:
    return f"not asked: {chat.problem or 'no chat template'}" if chat.problem or not chat.template else ""


def _point_schema(pointing: Pointing, shown_px: tuple[int, int]) -> str:
    right, down = pointing.from_fractions(1, 1, shown_px)
    figures = {axis: {"type": "integer", "minimum": 0, "maximum": most} for axis, most in (("x", right), ("y", down))}
    return json.dumps({"type": "object", "properties": figures, "required": ["x", "y"], "additionalProperties": False})


def ask_places(engine: LocalEngine, pictures: list[KnownPicture]) -> Iterator[ProbeResult]:
    """Where a thing is, each behind a picture of its own, in the family's own convention."""
    pointing = engine.info().chat.pointing or Pointing.THOUSANDTHS
    for picture in pictures:
        session = engine.open(SYSTEM_TEXT)
        shown_px = session.append(picture.pixels).shown_px
        size = (
            f" It is {shown_px[1]} pixels wide and {shown_px[0]} high." if pointing is Pointing.RESIZED_PIXELS else ""
        )
        question = (
            f"Where in the picture is {picture.words}? Answer with JSON: x and y of its middle. "
            f"{pointing_words(pointing)}{size}"
        )
        answer = session.ask(question, json_schema=_point_schema(pointing, shown_px), max_tokens=_ANSWER_TOKENS).text
        right, down = picture.middle()
        wanted = json.dumps(dict(zip("xy", pointing.from_fractions(right, down, shown_px), strict=True)))
        try:
            told = json.loads(answer)
            place = pointing.to_fractions(told["x"], told["y"], shown_px)
        except (ValueError, LookupError, TypeError):
            yield ProbeResult("pointing", question, wanted, answer, False)
            continue
        miss = picture.miss(*place)
        yield ProbeResult("pointing", question, wanted, answer, miss <= HIT_SHARE, place, round(miss, 4))
