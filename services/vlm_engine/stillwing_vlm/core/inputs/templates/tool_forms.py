"""What a chat template is given of a conversation: messages and tools.

A template that knows tools is told of them as it expects. For one that does not, they are put into words around it: the
common form, signatures between `<tools>` tags in the system's turn, calls between `<tool_call>` tags in the
assistant's, answers between `<tool_response>` tags in the user's. It knows nothing of tokens or sandboxes.
"""

import json
from dataclasses import dataclass
from typing import Any, Protocol

from stillwing_vlm.core.conversation import AssistantTurn, Tool, ToolCall, ToolTurn, Turn, UserTurn
from stillwing_vlm.core.inputs.templates.marked_text import Writer

_TOOLS = """# Tools

You may call functions. Their signatures stand within <tools></tools>:
<tools>
{signatures}
</tools>

Write a call as a JSON object of its name and its arguments within <tool_call></tool_call>:
<tool_call>
{{"name": <name>, "arguments": <arguments>}}
</tool_call>"""


@dataclass(frozen=True, slots=True)
class Conversation:
    """`system_prompt` None: none is written, and the template puts in its own. `turns`: those after the frames."""

    system_prompt: str | None
    tools: tuple[Tool, ...] = ()
    turns: tuple[Turn, ...] = ()


class ToolForm(Protocol):
    """How a conversation is told to a template."""

    name: str

    def variables(self, conversation: Conversation, writer: Writer) -> dict[str, Any]:
        """`messages`, and `tools` where there are any."""


class TemplateToolForm:
    """As transformers tells them, for templates that know tools."""

    name = "template"

    def variables(self, conversation: Conversation, writer: Writer) -> dict[str, Any]:
        """See `ToolForm`."""
        messages: list[dict[str, Any]] = []
        tools = [_signature(at, tool, writer) for at, tool in enumerate(conversation.tools)]
        if conversation.system_prompt is not None:
            text = writer.opening("system_prompt", conversation.system_prompt)
            messages.append({"role": "system", "content": text})
        messages.append({"role": "user", "content": writer.frames})
        for at, turn in enumerate(conversation.turns):
            label = f"messages[{at}]"
            match turn:
                case UserTurn():
                    if at == 0:
                        messages[-1]["content"] += writer.turn(f"{label}.text", turn.text)
                    else:
                        messages.append({"role": "user", "content": writer.turn(f"{label}.text", turn.text)})
                case AssistantTurn():
                    message: dict[str, Any] = {"role": "assistant", "content": writer.turn(f"{label}.text", turn.text)}
                    if turn.tool_calls:
                        message["tool_calls"] = [_call(label, call, writer) for call in turn.tool_calls]
                    messages.append(message)
                case ToolTurn():
                    message = {"role": "tool", "content": writer.turn(f"{label}.text", turn.text)}
                    messages.append(message | ({"name": writer.value(turn.name)} if turn.name else {}))
        return {"messages": messages} | ({"tools": tools} if tools else {})


class CommonToolForm:
    """In words around a template that knows no tools."""

    name = "common"

    def variables(self, conversation: Conversation, writer: Writer) -> dict[str, Any]:
        """See `ToolForm`."""
        messages: list[dict[str, Any]] = []
        parts = []
        if conversation.system_prompt:
            parts.append(writer.opening("system_prompt", conversation.system_prompt))
        if conversation.tools:
            signatures = [_signature(at, tool, writer) for at, tool in enumerate(conversation.tools)]
            parts.append(_TOOLS.format(signatures="\n".join(map(_json, signatures))))
        if parts or conversation.system_prompt is not None:
            messages.append({"role": "system", "content": "\n\n".join(parts)})
        messages.append({"role": "user", "content": writer.frames})
        before: Turn | None = None
        for at, turn in enumerate(conversation.turns):
            role, text = _in_words(f"messages[{at}]", turn, writer)
            if at == 0:
                messages[-1]["content"] += text
            elif isinstance(turn, ToolTurn) and isinstance(before, ToolTurn):
                messages[-1]["content"] += f"\n{text}"
            else:
                messages.append({"role": role, "content": text})
            before = turn
        return {"messages": messages}


def _in_words(label: str, turn: Turn, writer: Writer) -> tuple[str, str]:
    """Role and text of one turn."""
    text = writer.turn(f"{label}.text", turn.text)
    match turn:
        case UserTurn():
            return "user", text
        case ToolTurn():
            return "user", f"<tool_response>\n{text}\n</tool_response>"
        case AssistantTurn():
            calls = [_call(label, call, writer)["function"] for call in turn.tool_calls]
            parts = [*([text] if text else []), *(f"<tool_call>\n{_json(call)}\n</tool_call>" for call in calls)]
            return "assistant", "\n".join(parts)


def _signature(at: int, tool: Tool, writer: Writer) -> dict[str, Any]:
    function = {
        "name": writer.opening(f"tools[{at}].name", tool.name),
        "description": writer.opening(f"tools[{at}].description", tool.description),
        "parameters": writer.value(tool.schema()),
    }
    return {"type": "function", "function": function}


def _call(label: str, call: ToolCall, writer: Writer) -> dict[str, Any]:
    name = writer.turn(f"{label}.tool_calls.name", call.name)
    return {"type": "function", "function": {"name": name, "arguments": writer.value(call.values())}}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
