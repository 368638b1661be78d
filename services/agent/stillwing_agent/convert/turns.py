"""Turns and tools of a conversation, as a mission's log tells them on the wire."""

from stillwing.vlm.v1 import conversation_pb2
from stillwing_common.errors import UnsetOneof
from stillwing_vlm.core.conversation import AssistantTurn, Tool, ToolCall, ToolTurn, Turn, UserTurn


def tool_to_wire(tool: Tool) -> conversation_pb2.Tool:
    """A function that the model may call."""
    return conversation_pb2.Tool(name=tool.name, description=tool.description, parameters_json_schema=tool.parameters)


def tool_from_wire(message: conversation_pb2.Tool) -> Tool:
    """A function that the model may call."""
    return Tool(message.name, message.description, message.parameters_json_schema)


def turn_to_wire(turn: Turn) -> conversation_pb2.Message:
    """One turn."""
    match turn:
        case UserTurn():
            return conversation_pb2.Message(user=conversation_pb2.UserTurn(text=turn.text))
        case ToolTurn():
            return conversation_pb2.Message(tool=conversation_pb2.ToolTurn(text=turn.text, name=turn.name))
        case AssistantTurn():
            calls = [
                conversation_pb2.ToolCall(name=call.name, arguments_json=call.arguments) for call in turn.tool_calls
            ]
            return conversation_pb2.Message(assistant=conversation_pb2.AssistantTurn(text=turn.text, tool_calls=calls))


def turn_from_wire(message: conversation_pb2.Message) -> Turn:
    """One turn. Raises UnsetOneof for one of a version to come."""
    match message.WhichOneof("turn"):
        case "user":
            return UserTurn(message.user.text)
        case "tool":
            return ToolTurn(message.tool.text, message.tool.name)
        case "assistant":
            calls = tuple(ToolCall(call.name, call.arguments_json) for call in message.assistant.tool_calls)
            return AssistantTurn(message.assistant.text, calls)
    raise UnsetOneof("turn", field="turn")
