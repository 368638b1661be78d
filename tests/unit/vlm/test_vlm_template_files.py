"""python -m pytest tests/unit/vlm/test_vlm_template_files.py -v

Where a directory's templates are found, and what is no conversation.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stillwing_common.errors import BadGrammar, InvalidInput, ModelNotUsable
from stillwing_vlm.core.conversation import (
    AssistantTurn,
    Tool,
    ToolCall,
    ToolTurn,
    UserTurn,
    check_turns,
)
from stillwing_vlm.core.inputs.templates.files import TemplateFiles, read_templates


def written(directory: Path, files: dict[str, Any]) -> TemplateFiles:
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_templates(directory)


def test_templates_are_found_wherever_transformers_puts_them(tmp_path: Path) -> None:
    files = {
        "chat_template.jinja": "a",
        "additional_chat_templates/rag.jinja": "b",
        "additional_chat_templates/tool_use.jinja": "c",
        "chat_template.json": {"chat_template": "d"},
        "processor_config.json": {"chat_template": "e", "image_processor": {}},
        "tokenizer_config.json": {
            "chat_template": [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "f"}],
            "eos_token": {"content": "<|im_end|>", "special": True},
            "pad_token": "<|endoftext|>",
            "bos_token": None,
        },
    }
    found = written(tmp_path, files)
    assert [(each.name, each.place, each.source) for each in found.templates] == [
        ("default", "chat_template.jinja", "a"),
        ("rag", "additional_chat_templates/rag.jinja", "b"),
        ("tool_use", "additional_chat_templates/tool_use.jinja", "c"),
        ("default", "chat_template.json", "d"),
        ("default", "processor_config.json", "e"),
        ("tool_use", "tokenizer_config.json: tool_use", "f"),
    ]
    assert found.token_names == {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}


def test_one_text_and_none(tmp_path: Path) -> None:
    assert read_templates(tmp_path) == TemplateFiles((), {})
    found = written(tmp_path, {"tokenizer_config.json": {"chat_template": "a"}})
    assert [each.place for each in found.templates] == ["tokenizer_config.json"]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer_config.json", {"chat_template": 3}, "no text"),
        ("tokenizer_config.json", {"chat_template": [{"name": "default"}]}, "no text"),
        ("tokenizer_config.json", {"chat_template": ["a"]}, "no text"),
        ("tokenizer_config.json", "[]", "no JSON object"),
        ("chat_template.json", "{", "cannot be read"),
        ("processor_config.json", {"chat_template": {"default": 1}}, "no text"),
        ("tokenizer_config.json", {"chat_template": {str(at): str(at) for at in range(40)}}, "at most 32"),
    ],
)
def test_files_that_are_broken_are_refused(tmp_path: Path, name: str, content: Any, words: str) -> None:
    with pytest.raises(ModelNotUsable, match=words):
        written(tmp_path, {name: content})


def test_a_template_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ModelNotUsable, match="cannot be read"):
        read_templates(tmp_path)


# Conversations


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Tool("a b", "x"), InvalidInput),
        (lambda: Tool("", "x"), InvalidInput),
        (lambda: Tool("<|im_end|>", "x"), InvalidInput),
        (lambda: Tool("a" * 65, "x"), InvalidInput),
        (lambda: Tool("a", "\ud83d"), InvalidInput),
        (lambda: Tool("a", "x", "{"), BadGrammar),
        (lambda: Tool("a", "x", "[]"), BadGrammar),
        (lambda: Tool("a", "x", '{"type": "string"}'), BadGrammar),
        (lambda: Tool("a", "x", '{"type": "object", "minimum": NaN}'), BadGrammar),
        (lambda: Tool("a", "x", '{"type": "object", "minimum": 1e999}'), BadGrammar),
        (lambda: Tool("a", "x", '{"type": "object", "enum": ["\\ud83d"]}'), BadGrammar),
        (lambda: Tool("a", "x", '{"type": "object", "a": ' + "[" * 3000 + "]" * 3000 + "}"), BadGrammar),
        (lambda: Tool("a", "x", '{"type": "object", "a": ' + "[" * 80 + "]" * 80 + "}"), BadGrammar),
        (lambda: ToolCall("a", "3"), InvalidInput),
        (lambda: ToolCall("a", '{"x": Infinity}'), InvalidInput),
        (lambda: ToolCall("a b"), InvalidInput),
        (lambda: UserTurn("\udcff"), InvalidInput),
        (lambda: AssistantTurn(), InvalidInput),
        (lambda: ToolTurn("x", "no name"), InvalidInput),
        (lambda: check_turns((ToolTurn("x"),)), InvalidInput),
        (lambda: check_turns((UserTurn("x"), AssistantTurn("y"))), InvalidInput),
        (lambda: check_turns((UserTurn("x"), ToolTurn("y"))), InvalidInput),
        (lambda: check_turns((UserTurn("x"), AssistantTurn("y"), ToolTurn("z"))), InvalidInput),
    ],
)
def test_what_is_no_conversation_is_refused(make: Callable[[], Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        make()
