"""A conversation with a model in words: tools it may call, turns, and the form that its answer is to have.

How they are written for a model is its chat template's matter. This module knows nothing of templates, tokens or
transports.
"""

import json
import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from stillwing_common.errors import BadGrammar, InvalidInput

MAX_NESTING = 64
"""Deepest nesting of a tool's parameters and of a call's arguments."""
MAX_THOUGHT_TOKENS = 512

_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_text(name: str, text: str) -> None:
    """Raises InvalidInput for text that is no Unicode text: half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{name} holds half of a surrogate pair at character {error.start}", field=name) from error


def json_object(name: str, text: str) -> dict[str, Any]:
    """A JSON object from its text, keys in their order.

    Raises InvalidInput where it is none: not JSON, a number that JSON has not (NaN), nested too deeply, half of a
    surrogate pair.
    """

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    try:
        value = json.loads(text, parse_constant=refuse)
        depth = _depth(value)
        # A number beyond all floats has become an infinity without a word.
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} is not JSON: {error}", field=name) from error
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} is a JSON object", field=name)
    if depth > MAX_NESTING:
        raise InvalidInput(f"{name} is nested {depth} deep, at most {MAX_NESTING}", field=name, limit=MAX_NESTING)
    check_text(name, json.dumps(value, ensure_ascii=False))
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        depth += 1
    return depth


@lru_cache(256)
def _parameters(text: str) -> dict[str, Any]:
    return json_object("tools.parameters", text)


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call; `parameters`: JSON Schema of its arguments, an object's, as text."""

    name: str
    description: str
    parameters: str = '{"type": "object", "properties": {}}'

    def __post_init__(self) -> None:
        if not _TOOL_NAME.fullmatch(self.name):
            raise InvalidInput('a tool\'s name is 1 to 64 letters, digits, "_" and "-"', name=self.name[:80])
        check_text("tools.description", self.description)
        try:
            schema = self.schema()
        except InvalidInput as error:
            raise BadGrammar(error.detail, tool=self.name) from error
        if schema.get("type") != "object":
            raise BadGrammar(f'the parameters of {self.name} are an object: {{"type": "object", …}}', tool=self.name)

    def schema(self) -> dict[str, Any]:
        """The schema of its arguments, keys in their order; not to be changed, as it is kept for the next call."""
        return _parameters(self.parameters)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made; `arguments`: a JSON object as text."""

    name: str
    arguments: str = "{}"

    def __post_init__(self) -> None:
        if not _TOOL_NAME.fullmatch(self.name):
            raise InvalidInput('a tool\'s name is 1 to 64 letters, digits, "_" and "-"', name=self.name[:80])
        self.values()

    def values(self) -> dict[str, Any]:
        """Its arguments by name, in their order."""
        return json_object("tool_calls.arguments", self.arguments)


@dataclass(frozen=True, slots=True)
class UserTurn:
    """What the user says."""

    text: str

    def __post_init__(self) -> None:
        check_text("messages.text", self.text)


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """What the model said: text, calls, or text followed by calls."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    def __post_init__(self) -> None:
        check_text("messages.text", self.text)
        if not self.text and not self.tool_calls:
            raise InvalidInput("a turn of the assistant has text or calls", field="messages")


@dataclass(frozen=True, slots=True)
class ToolTurn:
    """What a tool answered."""

    text: str
    name: str = ""

    def __post_init__(self) -> None:
        check_text("messages.text", self.text)
        if self.name and not _TOOL_NAME.fullmatch(self.name):
            raise InvalidInput('a tool\'s name is 1 to 64 letters, digits, "_" and "-"', name=self.name[:80])


Turn = UserTurn | AssistantTurn | ToolTurn


@dataclass(frozen=True, slots=True)
class Briefing:
    """What a session is opened with in words, of which each of its asks is the continuation."""

    system_prompt: str
    tools: tuple[Tool, ...] = ()

    def __post_init__(self) -> None:
        check_text("system_prompt", self.system_prompt)
        names = [tool.name for tool in self.tools]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidInput(f"two tools are called {twice}", field="tools")


def check_turns(turns: tuple[Turn, ...]) -> None:
    """Raises InvalidInput where turns cannot follow the frames: the first is the user's, whose turn the frames open,
    the last is not the assistant's, and a tool answers after a call.
    """
    if not isinstance(turns[0], UserTurn):
        raise InvalidInput("the first message goes on with the user's turn, after the frames", field="messages")
    if isinstance(turns[-1], AssistantTurn):
        raise InvalidInput("the last message is the user's or a tool's: the answer follows it", field="messages")
    called = False
    for turn in turns:
        if isinstance(turn, ToolTurn) and not called:
            raise InvalidInput("a tool answers a call: the assistant's turn before it has none", field="messages")
        if not isinstance(turn, ToolTurn):
            called = isinstance(turn, AssistantTurn) and bool(turn.tool_calls)


class JsonStyle(Enum):
    """White space of an answer's JSON."""

    COMPACT = "compact"
    """None: `{"a":1,"b":2}`."""
    MODEL = "model"
    """As the model's chat template writes JSON, which most models were trained on: `{"a": 1, "b": 2}`."""


@dataclass(frozen=True, slots=True)
class JsonFormat:
    """An answer of JSON that satisfies `json_schema`, keys in the order of the schema.

    `max_thought_tokens`: a line of free text of at most so many tokens may come before it; 0: none.
    """

    json_schema: str
    style: JsonStyle = JsonStyle.MODEL
    max_thought_tokens: int = 0

    def __post_init__(self) -> None:
        _check_thought(self.max_thought_tokens)


@dataclass(frozen=True, slots=True)
class ToolCallFormat:
    """An answer of one call of the session's tools, in the form that the model's chat template gives calls.

    `names`: which of them may be called; none: any. `max_thought_tokens` as in `JsonFormat`.
    """

    names: tuple[str, ...] = ()
    max_thought_tokens: int = 0

    def __post_init__(self) -> None:
        _check_thought(self.max_thought_tokens)


AnswerFormat = JsonFormat | ToolCallFormat


def _check_thought(tokens: int) -> None:
    if not 0 <= tokens <= MAX_THOUGHT_TOKENS:
        raise InvalidInput(
            f"a thought has at most {MAX_THOUGHT_TOKENS} tokens", max_thought_tokens=tokens, limit=MAX_THOUGHT_TOKENS
        )
