"""The form in which a model's chat template writes a call, cut out of it: to hold answers to it, and to read them.

An answer is `[thought separator] opening name middle arguments closing`. Before it comes a `lead`, which most templates
leave empty: what they write between the end of a prompt and the assistant's words. It knows no grammar library and no
tokens.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from stillwing_vlm.core.conversation import AssistantTurn, Tool, ToolCall, UserTurn
from stillwing_vlm.core.inputs.templates.chat_template import ChatTemplate
from stillwing_vlm.core.inputs.templates.sandbox import TemplateFault
from stillwing_vlm.core.inputs.templates.tool_forms import Conversation

PROBE_TOOL = Tool(
    "probe_tool",
    "Probes what it is told.",
    '{"type": "object", "properties": {"direction": {"type": "string", "enum": ["north", "south"], "description": '
    '"Where to."}, "height_m": {"type": "number", "minimum": 1, "maximum": 9}}, "required": ["direction", "height_m"]}',
)
_ARGUMENTS: dict[str, Any] = {"direction": "north", "height_m": 2.5, "more": {"one": 1, "two": [True, None]}}
_STYLES = ((", ", ": "), (",", ":"), (",", ": "))
_QUESTION, _WORDS = "Which way now?", "Northwards it goes."


@dataclass(frozen=True, slots=True)
class CallForm:
    """Text of the template's around what a model says. `item_separator`, `key_separator`: of its JSON."""

    lead: str
    separator: str
    opening: str
    middle: str
    closing: str
    item_separator: str
    key_separator: str

    def call(self, text: str, names: Iterable[str]) -> ToolCall | None:
        """The call that an answer's text is, without its thought; None where it is none, or is not whole."""
        if not text.startswith(self.opening) or not text.endswith(self.closing):
            return None
        said = text[len(self.opening) : len(text) - len(self.closing)]
        for name in names:
            if said.startswith(name + self.middle):
                return ToolCall(name, said[len(name + self.middle) :])
        return None

    def thought(self, text: str) -> tuple[str, str]:
        """The thought before a call, and what follows it."""
        thought, found, call = text.partition(self.separator + self.opening)
        return (thought, self.opening + call) if found and thought else ("", text)


def cut_call_form(template: ChatTemplate) -> CallForm:
    """How the template writes calls. Raises TemplateFault where that cannot be told."""
    call = ToolCall(PROBE_TOOL.name, json.dumps(_ARGUMENTS))
    begun = _written(template, None)
    words, called = (
        _after(begun, _written(template, turn)) for turn in (AssistantTurn(_WORDS), AssistantTurn("", (call,)))
    )
    both = _after(begun, _written(template, AssistantTurn(_WORDS, (call,))))
    lead, end = _halves(words, _WORDS)
    separator_opening, rest = _halves(_removed(both, lead + _WORDS), call.name)
    body = _removed(called, lead)
    opening, _ = _halves(body, call.name)
    if not separator_opening.endswith(opening):
        raise TemplateFault("writes a call after words in another form than a call alone")
    for item, key in _STYLES:
        written = json.dumps(_ARGUMENTS, ensure_ascii=False, separators=(item, key))
        middle, found, closing = rest.partition(written)
        if found and closing.endswith(end):
            form = CallForm(
                lead=lead,
                separator=separator_opening.removesuffix(opening),
                opening=opening,
                middle=middle,
                closing=closing.removesuffix(end),
                item_separator=item,
                key_separator=key,
            )
            _check(form, body.removesuffix(end), call)
            return form
    raise TemplateFault("does not write the arguments of a call as JSON")


def _check(form: CallForm, body: str, call: ToolCall) -> None:
    read = form.call(body, [call.name])
    if read is None or read.values() != call.values() or not form.opening + form.closing:
        raise TemplateFault("writes calls that cannot be told from other text")


def _written(template: ChatTemplate, turn: AssistantTurn | None) -> str:
    turns: Sequence[Any] = (UserTurn(_QUESTION), *(() if turn is None else (turn,)))
    conversation = Conversation("You test.", (PROBE_TOOL,), tuple(turns))
    return "".join(piece.text for piece in template.turns(conversation, answer=turn is None))


def _after(begun: str, written: str) -> str:
    if not written.startswith(begun):
        raise TemplateFault("begins an answer otherwise than it writes the assistant's turns")
    return written[len(begun) :]


def _halves(text: str, middle: str) -> tuple[str, str]:
    left, found, right = text.partition(middle)
    if not found:
        raise TemplateFault("does not write a call's name and words where they belong")
    return left, right


def _removed(text: str, beginning: str) -> str:
    if not text.startswith(beginning):
        raise TemplateFault("writes calls and words of the assistant's in different ways")
    return text[len(beginning) :]
