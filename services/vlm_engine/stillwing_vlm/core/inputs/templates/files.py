"""The chat templates that a model's directory publishes, wherever the versions of transformers have put them.

It reads files and knows nothing of what stands in a template.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwing_common.errors import ModelNotUsable

DEFAULT, FOR_TOOLS = "default", "tool_use"
"""Names that transformers gives a tokenizer's only template, and the one for conversations with tools."""

MAX_FILE_BYTES = 32 * 1024 * 1024
"""A tokenizer's configuration with all its added tokens takes a few; nothing that is larger is one."""
MAX_TEMPLATES = 32

_TOKEN_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token", "sep_token", "cls_token")


@dataclass(frozen=True, slots=True)
class PublishedTemplate:
    """`place`: the file, and the name within it where it has several."""

    name: str
    place: str
    source: str


@dataclass(frozen=True, slots=True)
class TemplateFiles:
    """All templates of a directory, each text once, and the names of special tokens that templates may use."""

    templates: tuple[PublishedTemplate, ...]
    token_names: dict[str, str]


def read_templates(directory: Path) -> TemplateFiles:
    """What the directory publishes; perhaps nothing. Raises ModelNotUsable for a file that is broken."""
    tokenizer = read_json(directory / "tokenizer_config.json")
    listed = [
        *_of_text(directory, DEFAULT, "chat_template.jinja"),
        *(
            each
            for path in sorted((directory / "additional_chat_templates").glob("*.jinja"))
            for each in _of_text(directory, path.stem, f"{path.parent.name}/{path.name}")
        ),
        *_of_value("chat_template.json", read_json(directory / "chat_template.json").get("chat_template")),
        *_of_value("processor_config.json", read_json(directory / "processor_config.json").get("chat_template")),
        *_of_value("tokenizer_config.json", tokenizer.get("chat_template")),
    ]
    if len(listed) > MAX_TEMPLATES:
        raise ModelNotUsable(f"it has {len(listed)} chat templates, at most {MAX_TEMPLATES}", limit=MAX_TEMPLATES)
    distinct = {each.source: each for each in reversed(listed)}
    templates = tuple(each for each in listed if distinct[each.source] is each)
    return TemplateFiles(templates, {name: text for name in _TOKEN_NAMES if (text := _token(tokenizer.get(name)))})


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file. Raises ModelNotUsable."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ModelNotUsable(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ModelNotUsable(f"{path} holds no JSON object")
    return content


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ModelNotUsable(f"{path} is larger than {MAX_FILE_BYTES} bytes", limit=MAX_FILE_BYTES)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelNotUsable(f"{path} cannot be read: {error}") from error


def _of_text(directory: Path, name: str, place: str) -> list[PublishedTemplate]:
    path = directory / place
    return [PublishedTemplate(name, place, _read(path))] if path.is_file() else []


def _of_value(place: str, value: Any) -> list[PublishedTemplate]:
    """From a JSON value: a text, a list of names with texts, or an object of texts by name."""
    match value:
        case None:
            return []
        case str():
            return [PublishedTemplate(DEFAULT, place, value)]
        case list():
            named = [(each.get("name"), each.get("template")) for each in value if isinstance(each, dict)]
            named += [(None, None)] * (len(value) - len(named))
        case dict():
            named = list(value.items())
        case _:
            named = [(None, None)]
    templates = [
        PublishedTemplate(name, f"{place}: {name}", source)
        for name, source in named
        if isinstance(name, str) and isinstance(source, str)
    ]
    if len(templates) != len(named):
        raise ModelNotUsable(f"the chat_template of {place} is no text and no list of names and texts")
    return templates


def _token(value: Any) -> str:
    """A special token's text: as it is, or as the content of an object."""
    text = value.get("content") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""
