"""Tools, turns, answer formats and what is known of a model's chat as messages and back. Refuses what the types cannot
hold.
"""

from collections.abc import Iterable
from typing import assert_never

from stillwing.vlm.v1 import conversation_pb2 as wire
from stillwing_common.errors import InvalidInput, UnsetOneof
from stillwing_vlm.core.chat_format import ChatFormat, Pointing, SamplingDefaults
from stillwing_vlm.core.conversation import (
    AnswerFormat,
    AssistantTurn,
    JsonFormat,
    JsonStyle,
    Tool,
    ToolCall,
    ToolCallFormat,
    ToolTurn,
    Turn,
    UserTurn,
)

_NO_ARGUMENTS = Tool("none", "").parameters

_STYLE_TO_WIRE = {JsonStyle.COMPACT: wire.JsonFormat.STYLE_COMPACT, JsonStyle.MODEL: wire.JsonFormat.STYLE_MODEL}
_STYLE_FROM_WIRE = {int(message): style for style, message in _STYLE_TO_WIRE.items()} | {
    int(wire.JsonFormat.STYLE_UNSPECIFIED): JsonStyle.MODEL
}
_TOOLS_TO_WIRE = {
    "template": wire.ChatFormat.TOOLS_TEMPLATE,
    "common": wire.ChatFormat.TOOLS_COMMON,
    "": wire.ChatFormat.TOOLS_UNSPECIFIED,
}
_TOOLS_FROM_WIRE = {int(message): tools for tools, message in _TOOLS_TO_WIRE.items()}
_POINTING_TO_WIRE = {
    Pointing.RESIZED_PIXELS: wire.ChatFormat.POINTING_RESIZED_PIXELS,
    Pointing.THOUSANDTHS: wire.ChatFormat.POINTING_THOUSANDTHS,
    None: wire.ChatFormat.POINTING_UNSPECIFIED,
}
_POINTING_FROM_WIRE = {int(message): pointing for pointing, message in _POINTING_TO_WIRE.items()}


def tools_to_wire(tools: Iterable[Tool]) -> list[wire.Tool]:
    """Functions that the model may call."""
    return [
        wire.Tool(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)
        for tool in tools
    ]


def tools_from_wire(messages: Iterable[wire.Tool]) -> tuple[Tool, ...]:
    """Functions that the model may call. Raises InvalidInput, BadGrammar."""
    return tuple(
        Tool(message.name, message.description, message.parameters_json_schema or _NO_ARGUMENTS) for message in messages
    )


def call_to_wire(call: ToolCall) -> wire.ToolCall:
    """One call."""
    return wire.ToolCall(name=call.name, arguments_json=call.arguments)


def call_from_wire(message: wire.ToolCall) -> ToolCall:
    """One call. Raises InvalidInput."""
    return ToolCall(message.name, message.arguments_json or "{}")


def turn_to_wire(turn: Turn) -> wire.Message:
    """One turn of a conversation."""
    match turn:
        case UserTurn(text):
            return wire.Message(user=wire.UserTurn(text=text))
        case AssistantTurn(text, calls):
            return wire.Message(assistant=wire.AssistantTurn(text=text, tool_calls=map(call_to_wire, calls)))
        case ToolTurn(text, name):
            return wire.Message(tool=wire.ToolTurn(text=text, name=name))
    assert_never(turn)


def turn_from_wire(message: wire.Message) -> Turn:
    """One turn of a conversation. Raises UnsetOneof, InvalidInput."""
    match message.WhichOneof("turn"):
        case "user":
            return UserTurn(message.user.text)
        case "assistant":
            said = message.assistant
            return AssistantTurn(said.text, tuple(map(call_from_wire, said.tool_calls)))
        case "tool":
            return ToolTurn(message.tool.text, message.tool.name)
    raise UnsetOneof("turn", field="messages.turn")


def format_to_wire(wanted: AnswerFormat) -> wire.AnswerFormat:
    """The form that an answer is held to."""
    most = wanted.max_thought_tokens
    match wanted:
        case JsonFormat(schema, style):
            json = wire.JsonFormat(json_schema=schema, style=_STYLE_TO_WIRE[style])
            return wire.AnswerFormat(json=json, max_thought_tokens=most)
        case ToolCallFormat(names):
            return wire.AnswerFormat(tool_call=wire.ToolCallFormat(names=names), max_thought_tokens=most)
    assert_never(wanted)


def format_from_wire(message: wire.AnswerFormat) -> AnswerFormat:
    """The form that an answer is held to. Raises UnsetOneof, InvalidInput."""
    match message.WhichOneof("format"):
        case "json":
            style = _STYLE_FROM_WIRE.get(message.json.style)
            if style is None:
                raise InvalidInput(f"style {message.json.style} is unknown", field="answer_format.json.style")
            return JsonFormat(message.json.json_schema, style, message.max_thought_tokens)
        case "tool_call":
            return ToolCallFormat(tuple(message.tool_call.names), message.max_thought_tokens)
    raise UnsetOneof("format", field="answer_format.format")


def chat_to_wire(chat: ChatFormat) -> wire.ChatFormat:
    """How a model is spoken to."""
    own = chat.sampling
    return wire.ChatFormat(
        templates=chat.templates,
        template=chat.template,
        pictures_template=chat.pictures_template,
        tools=_TOOLS_TO_WIRE[chat.tools],
        call_opening=chat.call_opening,
        call_closing=chat.call_closing,
        problem=chat.problem,
        end_tokens=chat.end_tokens,
        sampling=wire.SamplingDefaults(
            temperature=own.temperature,
            top_p=own.top_p,
            top_k=own.top_k,
            repetition_penalty=own.repetition_penalty,
        ),
        pointing=_POINTING_TO_WIRE[chat.pointing],
        training_range_json=chat.training_range,
    )


def chat_from_wire(message: wire.ChatFormat) -> ChatFormat:
    """How a model is spoken to; what this version does not know counts as not said."""
    own = message.sampling
    return ChatFormat(
        templates=tuple(message.templates),
        template=message.template,
        pictures_template=message.pictures_template,
        tools=_TOOLS_FROM_WIRE.get(message.tools, ""),
        call_opening=message.call_opening,
        call_closing=message.call_closing,
        problem=message.problem,
        end_tokens=tuple(message.end_tokens),
        sampling=SamplingDefaults(own.temperature, own.top_p, own.top_k, own.repetition_penalty),
        pointing=_POINTING_FROM_WIRE.get(message.pointing),
        training_range=message.training_range_json,
    )
