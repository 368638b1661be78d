"""The form that an answer is held to, and what an answer of that form says: thought, JSON or call, each apart."""

from dataclasses import dataclass
from typing import Protocol

from stillwing_common.errors import InvalidInput
from stillwing_vlm.core.conversation import AnswerFormat, JsonFormat, JsonStyle, Tool, ToolCall, ToolCallFormat
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.grammar import COMPACT, GrammarCompiler, Matcher, Thought
from stillwing_vlm.core.inputs.templates.tool_calls import CallForm


@dataclass(frozen=True, slots=True)
class AnswerParts:
    """What an answer says; `json` and `tool_call` only where they are whole."""

    thought: str = ""
    json: str = ""
    tool_call: ToolCall | None = None


class AnswerForm(Protocol):
    """Reads answers of one form."""

    def read(self, text: str, *, is_whole: bool) -> AnswerParts:
        """The parts of an answer's text, control tokens shown."""


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """JSON, perhaps after a line of thought. JSON as the engine has it written has no end of a line."""

    def read(self, text: str, *, is_whole: bool) -> AnswerParts:
        """See `AnswerForm`."""
        thought, ended, value = text.rpartition("\n") if is_whole else text.partition("\n")
        return AnswerParts(thought, value) if is_whole else AnswerParts(thought if ended else "")


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """A call of one of `names`, perhaps after a line of thought."""

    form: CallForm
    names: tuple[str, ...]

    def read(self, text: str, *, is_whole: bool) -> AnswerParts:
        """See `AnswerForm`."""
        thought, call = self.form.thought(text)
        return AnswerParts(thought, tool_call=self.form.call(call, self.names) if is_whole else None)


@dataclass(frozen=True, slots=True)
class HeldForm:
    """`matcher` holds one answer to a form; `lead`: text of the template's that comes before the answer."""

    matcher: Matcher
    form: AnswerForm
    lead: str = ""


class AnswerForms:
    """Answer formats of one model. Any thread may call it."""

    def __init__(self, chat: ModelChat, grammars: GrammarCompiler) -> None:
        self._chat = chat
        self._grammars = grammars

    def held(self, wanted: AnswerFormat, tools: tuple[Tool, ...]) -> HeldForm:
        """A fresh matcher for one answer. Raises BadGrammar, InvalidInput, ModelNotUsable."""
        match wanted:
            case JsonFormat():
                separators = COMPACT if wanted.style is JsonStyle.COMPACT else self._chat.json_separators()
                thought = Thought(wanted.max_thought_tokens) if wanted.max_thought_tokens else None
                return HeldForm(self._grammars.json(wanted.json_schema, separators, thought), JsonAnswer())
            case ToolCallFormat():
                form, callable_ = self._chat.call_form(), _named(wanted.names, tools)
                most = wanted.max_thought_tokens
                thought = Thought(most, form.separator, form.opening) if most else None
                matcher = self._grammars.call(form, callable_, thought)
                return HeldForm(matcher, CallAnswer(form, tuple(tool.name for tool in callable_)), form.lead)

    def check(self, tools: tuple[Tool, ...]) -> None:
        """Raises BadGrammar for a tool whose calls no answer could be held to."""
        for tool in tools:
            self._grammars.check(tool)


def _named(names: tuple[str, ...], tools: tuple[Tool, ...]) -> tuple[Tool, ...]:
    if not tools:
        raise InvalidInput("a call needs a session with tools", field="answer_format")
    unknown = set(names) - {tool.name for tool in tools}
    if unknown:
        raise InvalidInput(f"the session has no tool {sorted(unknown)[0]}", field="answer_format.names")
    return tuple(tool for tool in tools if not names or tool.name in names)
