"""Chat templates of the tests' own, in the style of published ones, and what transformers makes of them.

Families publish them differently: one that knows pictures alone, one for pictures and one for tools, one that knows
both, one that opens every answer with a thought.
"""

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from stillwing_lab.tiny_model import tiny_tokenizer, write_tiny_model
from stillwing_vlm.core.conversation import AssistantTurn, Tool, ToolTurn, Turn, UserTurn

PICTURES = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou look at things.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

_TURNS = """
{%- for message in messages %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' }}{{ words(message.content) }}{{ '<|im_end|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' + OPEN }}{{ words(message.content) }}
        {%- for call in message.tool_calls or [] %}
            {%- if message.content or not loop.first %}{{- '\\n' }}{%- endif %}
            {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' }}{{ words(message.content) }}{{ '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\nBEGUN' }}{%- endif %}"""

SYSTEM = """
{%- set system = messages[0].content if messages[0].role == 'system' else 'You are of use.' %}
{{- '<|im_start|>system\\n' }}{{ words(system) }}
{%- if tools %}
    {{- '\\n\\n# Tools\\n\\nThese functions can be called:\\n<tools>' }}
    {%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}
    {{- '\\n</tools>\\n\\nCall one as <tool_call>\\n{"name": <name>, "arguments": <object>}\\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\\n' }}"""

_TEXT_ALONE = "{%- macro words(content) %}{{- content + '' }}{%- endmacro %}"
_TEXT_AND_PICTURES = """
{%- macro words(content) %}
    {%- if content is string %}{{- content }}
    {%- else %}
        {%- for part in content %}
            {%- if part.type in ('image', 'video') %}{{- '<|vision_start|><|' + part.type + '_pad|><|vision_end|>' }}
            {%- else %}{{- part.text }}{%- endif %}
        {%- endfor %}
    {%- endif %}
{%- endmacro %}"""


def _turns(begun: str = "", opened: str = "") -> str:
    return _TURNS.replace("BEGUN", begun).replace("OPEN", repr(opened).replace("\n", "\\n"))


TOOLS = _TEXT_ALONE + SYSTEM + _turns()
BOTH = _TEXT_AND_PICTURES + SYSTEM + _turns()
THINKS = _TEXT_AND_PICTURES + SYSTEM + _turns("<think>\\n", "<think>\n\n</think>\n\n")
"""Its assistant opens with an empty thought, its answer within one."""

TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")

FAMILIES: dict[str, tuple[str, ...]] = {
    "qwen2_vl": (PICTURES,),
    "qwen2_5_vl": (PICTURES, TOOLS),
    "qwen3_vl": (BOTH,),
}
"""Templates in the order in which a family publishes them: that of pictures first."""


def tokenizer_with_tags() -> Tokenizer:
    """The tiny one with the tags of tools as control tokens that it does not call special, as Qwen's does not."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken(tag, special=False, normalized=False) for tag in TAGS])
    return tokenizer


def write_chat_model(directory: Path, family: str, **figures: Any) -> Path:
    """A tiny random model with its family's templates where the family publishes them; Qwen2-VL's tokenizer has no
    tags of tools.
    """
    write_tiny_model(directory, family=family, **figures)
    if family != "qwen2_vl":
        tokenizer_with_tags().save(str(directory / "tokenizer.json"))
    pictures, *for_tools = FAMILIES[family]
    if family == "qwen3_vl":
        (directory / "chat_template.jinja").write_text(pictures)
        return directory
    (directory / "chat_template.json").write_text(json.dumps({"chat_template": pictures}))
    for source in for_tools:
        names = {"eos_token": "<|im_end|>", "chat_template": source}
        (directory / "tokenizer_config.json").write_text(json.dumps(names))
    return directory


def reference_ids(
    tokenizer: Tokenizer,
    template: str,
    system_prompt: str | None,
    tools: tuple[Tool, ...],
    turns: tuple[Turn, ...],
    *,
    frames: str = "",
) -> list[int]:
    """What transformers gives for a conversation, `frames` written before the first text."""
    fast = _fast(tokenizer)
    messages: list[dict[str, Any]] = [] if system_prompt is None else [{"role": "system", "content": system_prompt}]
    for at, turn in enumerate(turns):
        match turn:
            case UserTurn(text):
                messages.append({"role": "user", "content": frames + text if at == 0 else text})
            case AssistantTurn(text, calls):
                functions = [{"name": call.name, "arguments": call.values()} for call in calls]
                calling = [{"type": "function", "function": function} for function in functions]
                messages.append({"role": "assistant", "content": text} | ({"tool_calls": calling} if calls else {}))
            case ToolTurn(text, name):
                messages.append({"role": "tool", "content": text} | ({"name": name} if name else {}))
    signatures = [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.schema()},
        }
        for tool in tools
    ]
    written = fast.apply_chat_template(
        messages, tools=signatures or None, chat_template=template, add_generation_prompt=True, tokenize=True
    )
    return list(written["input_ids"])


@lru_cache(maxsize=4)
def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def published_files() -> Path | None:
    """A folder with files of the published Qwen2.5-VL-3B (no weights): named by STILLWING_QWEN2_5_VL_3B, or
    `qwen2_5_vl_3b` beside the checkout.
    """
    named = os.environ.get("STILLWING_QWEN2_5_VL_3B")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "qwen2_5_vl_3b"
    return folder if (folder / "chat_template_tools.jinja").is_file() else None
