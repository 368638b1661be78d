"""What a prompt says, read from its text as a model reads it: instruction, notes, calls with their outcomes, the state.

It knows how chat templates of the ChatML kind mark turns and calls, and nothing of who wrote the prompt.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

_TURN = re.compile(r"<\|im_start\|>(\w+)\n(.*?)(?:<\|im_end\|>|\Z)", re.DOTALL)
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
_RESPONSE = re.compile(r"<tool_response>\n(.*?)\n</tool_response>", re.DOTALL)
_TOOLS = re.compile(r"<tools>\n(.*?)\n</tools>", re.DOTALL)
_OTHER = "The operator gave you another instruction: "
_LEGS = re.compile(r"heading (\d+) ")
_HOME = re.compile(r"home is ([\d.]+) m away, (?:ahead|(\d+) degrees to the (left|right))")
_HEIGHT = re.compile(r"(-?[\d.]+) m above home")


@dataclass(frozen=True, slots=True)
class Step:
    """A call that was made. `seen`: what was said before it; `outcome`: what came of it, "" where that is not told."""

    tool: str
    arguments: Mapping[str, Any]
    seen: str = ""
    outcome: str = ""

    @property
    def refused(self) -> bool:
        """Whether it was not carried out."""
        return self.outcome.startswith("Refused")


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt, read. `steps` are those since the instruction in force was given, `earlier` those before, as far as
    either is still told; `opening`: all that stands before the first of them; `closing`: the user's last words.
    """

    tools: Mapping[str, Mapping[str, Any]]
    instruction: str
    opening: str
    closing: str
    notes: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    earlier: tuple[Step, ...] = ()

    @classmethod
    def of(cls, prompt: str) -> Self:
        """Read a prompt up to where the assistant is to speak."""
        turns = [(match[1], match[2]) for match in _TURN.finditer(prompt)]
        tools = _tools(turns[0][1] if turns else "")
        said = [(role, text) for role, text in turns if role != "system"]
        if said and said[-1][0] == "assistant":
            said.pop()
        opening = _without_frames(said[0][1]) if said else ""
        steps = _Steps()
        for role, text in said[1:]:
            steps.add(role, text)
        return cls(
            tools=tools,
            instruction=_instruction(opening),
            opening=opening,
            closing=_without_frames(said[-1][1]) if said else "",
            notes=_notes(opening),
            steps=tuple(steps.since),
            earlier=tuple(steps.earlier),
        )

    @property
    def last(self) -> Step | None:
        """The newest call since the instruction was given."""
        return self.steps[-1] if self.steps else None

    def outcomes_of(self, tool: str) -> Sequence[str]:
        """Outcomes of a tool's calls since the instruction was given that were carried out."""
        return [step.outcome for step in self.steps if step.tool == tool and not step.refused]

    @property
    def told(self) -> Sequence[str]:
        """All words of the past, oldest first: what was folded, notes, what was said and what came of it."""
        past = [part for step in (*self.earlier, *self.steps) for part in (step.seen, step.outcome)]
        return [self.opening, *past]

    @property
    def on_ground(self) -> bool:
        """Whether the vehicle stands."""
        return "stand on the ground" in self.closing

    @property
    def heading_deg(self) -> float:
        """Degrees clockwise from north; 0 where it is not told."""
        match = _LEGS.search(self.closing)
        return float(match[1]) if match else 0.0

    @property
    def height_m(self) -> float | None:
        """Above home; None where it is not told."""
        match = _HEIGHT.search(self.closing)
        return float(match[1]) if match else None

    @property
    def home(self) -> tuple[float, float]:
        """Metres to home and degrees to the right; 0 where it is here."""
        match = _HOME.search(self.closing)
        if match is None:
            return 0.0, 0.0
        aside_deg = float(match[2] or 0) * (1 if match[3] == "right" else -1)
        return float(match[1]), aside_deg


@dataclass(slots=True)
class _Steps:
    since: list[Step] = field(default_factory=list)
    earlier: list[Step] = field(default_factory=list)

    def add(self, role: str, text: str) -> None:
        if role == "assistant":
            called = _CALL.search(text)
            if called is None:
                return
            call = json.loads(called[1])
            self.since.append(Step(call["name"], call["arguments"], text[: called.start()].strip()))
            return
        for response in _RESPONSE.finditer(text):
            if self.since:
                last = self.since.pop()
                self.since.append(Step(last.tool, last.arguments, last.seen, response[1]))
        if _OTHER in text:
            self.earlier += self.since
            self.since = []


def _tools(system: str) -> dict[str, Mapping[str, Any]]:
    match = _TOOLS.search(system)
    told = [json.loads(line)["function"] for line in match[1].splitlines()] if match else []
    return {tool["name"]: tool["parameters"]["properties"] for tool in told}


def _instruction(opening: str) -> str:
    match = re.match(r"Instruction: (.*)", opening)
    return match[1] if match else ""


def _notes(opening: str) -> tuple[str, ...]:
    _, found, after = opening.partition("Your notes:\n")
    lines = after.split("\n") if found else []
    return tuple(line.removeprefix("- ") for line in lines if line.startswith("- "))


def _without_frames(text: str) -> str:
    return re.sub(r"(<\|vision_start\|>|<\|vision_end\|>|<\|\w+_pad\|>)", "", text).strip()
