"""What a caller may ask of an endpoint's session: the limits of `core.limits` that need no tokens to be counted."""

from stillwing_common.errors import InvalidInput, TextTooLong
from stillwing_vlm.core.conversation import AssistantTurn, Briefing, JsonFormat
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest


def check_briefing(briefing: Briefing, limits: Limits) -> None:
    """Raises TextTooLong, InvalidInput."""
    _check_chars("system_prompt", len(briefing.system_prompt), limits.max_text_chars)
    if len(briefing.tools) > limits.max_tools:
        raise InvalidInput(f"{len(briefing.tools)} tools, at most {limits.max_tools}", field="tools")
    chars = sum(len(tool.description) + len(tool.parameters) for tool in briefing.tools)
    _check_chars("tools", chars, limits.max_conversation_chars)


def check_ask(request: AskRequest, limits: Limits) -> None:
    """Raises TextTooLong, InvalidInput."""
    if not 0 <= request.max_tokens <= limits.max_answer_tokens:
        raise InvalidInput(f"max_tokens is at most {limits.max_answer_tokens}", max_tokens=request.max_tokens)
    if len(request.messages) > limits.max_messages:
        raise InvalidInput(f"{len(request.messages)} messages, at most {limits.max_messages}", field="messages")
    form = request.answer_format
    schema = form.json_schema if isinstance(form, JsonFormat) else request.json_schema
    for name, text in (("prompt", request.prompt), ("json_schema", schema)):
        _check_chars(name, len(text), limits.max_text_chars)
    for turn in request.messages:
        _check_chars("messages.text", len(turn.text), limits.max_text_chars)
    calls = [call for turn in request.messages if isinstance(turn, AssistantTurn) for call in turn.tool_calls]
    chars = sum(len(turn.text) for turn in request.messages) + sum(len(call.arguments) for call in calls)
    _check_chars("messages", chars, limits.max_conversation_chars)


def check_choice(request: ChoiceRequest, limits: Limits) -> None:
    """Raises TextTooLong, InvalidInput."""
    if len(request.options) > limits.max_options:
        raise InvalidInput(f"at most {limits.max_options} options", options=len(request.options))
    for name, text in (("prompt", request.prompt), *(("option", option) for option in request.options)):
        _check_chars(name, len(text), limits.max_text_chars)


def _check_chars(name: str, chars: int, most: int) -> None:
    if chars > most:
        raise TextTooLong(f"{name} has {chars} characters, at most {most}", field=name, limit=most)
