"""python -m pytest tests/unit/vlm/test_vlm_answer_forms.py -v

Answers held to a form, by walks through the grammar that take any token it allows.
"""

import json
import random
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from chat_templates import BOTH, PICTURES, TAGS, THINKS, tokenizer_with_tags
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_common.errors import BadGrammar, InvalidInput, ModelNotUsable
from stillwing_lab.tiny_model import tiny_tokenizer
from stillwing_vlm.core.conversation import JsonFormat, JsonStyle, Tool, ToolCall, ToolCallFormat
from stillwing_vlm.core.inputs.answer_forms import AnswerForms, AnswerParts, HeldForm
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.grammar import GrammarCompiler, Matcher
from stillwing_vlm.core.inputs.templates.choice import choose_templates
from stillwing_vlm.core.inputs.templates.files import PublishedTemplate, TemplateFiles
from stillwing_vlm.core.inputs.text import ChatText

TEXT = ChatText(tokenizer_with_tags())
ADDED = {token.content: id for id, token in tokenizer_with_tags().get_added_tokens_decoder().items()}
VOCABULARY = TEXT.vocab_size + 5


def forms_of(source: str, text: ChatText = TEXT) -> AnswerForms:
    files = TemplateFiles((PublishedTemplate("default", "file", source),), {})
    chat = ModelChat(text, choose_templates(files, datetime(2026, 1, 31)))
    return AnswerForms(chat, GrammarCompiler(text, text.vocab_size + 5))


FORMS = forms_of(BOTH)
MOVE = Tool(
    "move",
    "Flies level.",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "direction": {"enum": ["forward", "back"]},
                "distance_m": {"type": "integer", "minimum": 1, "maximum": 5},
            },
            "required": ["direction", "distance_m"],
        }
    ),
)
HOVER = Tool("hover", "Waits.")
TOOLS = (MOVE, HOVER)
OPEN, CLOSE = (ADDED[tag] for tag in TAGS[:2])


def walk(matcher: Matcher, seed: int, prefer: list[int] | None = None, most: int = 600) -> list[int]:
    """Tokens of one whole answer, chosen at random among those allowed; `prefer`: from these where they may be."""
    draw, answer = random.Random(seed), list[int]()
    while not matcher.finished and len(answer) < most:
        forced = matcher.forced()
        answer += forced
        if forced:
            continue
        allowed = matcher.allowed()
        liked = [token for token in prefer or [] if allowed[token]]
        token = draw.choice(liked or np.flatnonzero(allowed).tolist())
        if token in TEXT.end_ids:
            break
        matcher.accept(token)
        answer.append(token)
    return answer


def told(held: HeldForm, answer: list[int], text: ChatText = TEXT) -> tuple[str, AnswerParts]:
    written = text.decode(answer, shows_control=True)
    return written, held.form.read(written, is_whole=True)


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(), ("move",), ("hover",)]))
def test_every_answer_is_a_call_in_the_form_of_the_template(seed: int, names: tuple[str, ...]) -> None:
    held = FORMS.held(ToolCallFormat(names), TOOLS)
    answer = walk(held.matcher, seed)
    written, parts = told(held, answer)
    assert (answer[0], answer[-1]) == (OPEN, CLOSE)
    assert not set(answer[1:-1]) & set(ADDED.values())
    call = parts.tool_call
    assert call is not None and (not names or call.name in names) and parts.thought == ""
    values = call.values()
    assert written == f'<tool_call>\n{{"name": "{call.name}", "arguments": {json.dumps(values)}}}\n</tool_call>'
    if call.name == "move":
        assert list(values) == ["direction", "distance_m"] and 1 <= values["distance_m"] <= 5
    else:
        assert values == {}


EMOJI = TEXT.encode("🛩红")


@settings(deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.booleans())
def test_a_thought_comes_before_it_and_is_bounded_in_tokens(seed: int, most: int, in_emoji: bool) -> None:
    """Letters of several tokens, too: past the bound no new one begins."""
    held = FORMS.held(ToolCallFormat((), most), TOOLS)
    answer = walk(held.matcher, seed, EMOJI if in_emoji else None)
    _, parts = told(held, answer)
    assert parts.tool_call is not None and "\n" not in parts.thought and "<" not in parts.thought
    before = answer.index(OPEN)
    assert before <= most + 3 + 1
    assert TEXT.decode(answer[:before]) == (f"{parts.thought}\n" if parts.thought else "")
    if in_emoji:
        assert parts.thought


def test_a_thought_may_be_left_out_or_ended_early() -> None:
    for words in ("", "I see it."):
        matcher = FORMS.held(ToolCallFormat((), 20), TOOLS).matcher
        for token in TEXT.encode(words):
            assert matcher.allowed()[token]
            matcher.accept(token)
        if words:
            matcher.accept(TEXT.encode("\n")[0])
            assert matcher.forced()[0] == OPEN
        else:
            assert matcher.allowed()[OPEN]


def test_the_tags_are_text_where_the_tokenizer_has_none() -> None:
    text = ChatText(tiny_tokenizer())
    for source in (PICTURES, BOTH):
        forms = forms_of(source, text)
        for seed in range(5):
            held = forms.held(ToolCallFormat((), 4 * (seed % 2)), TOOLS)
            written, parts = told(held, walk(held.matcher, seed), text)
            assert parts.tool_call is not None and written.endswith("}\n</tool_call>")
            assert written.startswith(f"{parts.thought}\n<tool_call>" if parts.thought else "<tool_call>")


def test_what_the_template_writes_before_an_answer_is_no_part_of_it() -> None:
    held = forms_of(THINKS).held(ToolCallFormat(), TOOLS)
    assert held.lead == "\n</think>\n\n"
    assert walk(held.matcher, 1)[0] == OPEN


SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "zeal": {"enum": [1, 2]},
            "aim": {"type": "array", "items": {"enum": ["x"]}, "minItems": 2, "maxItems": 2},
        },
        "required": ["zeal", "aim"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize(
    ("style", "wanted"),
    [
        (JsonStyle.COMPACT, ('{"zeal":1,"aim":["x","x"]}', '{"zeal":2,"aim":["x","x"]}')),
        (JsonStyle.MODEL, ('{"zeal": 1, "aim": ["x", "x"]}', '{"zeal": 2, "aim": ["x", "x"]}')),
    ],
)
def test_json_has_the_white_space_of_its_style_and_the_keys_of_its_schema_in_order(
    style: JsonStyle, wanted: tuple[str, ...]
) -> None:
    for seed in range(6):
        held = FORMS.held(JsonFormat(SCHEMA, style), ())
        written, parts = told(held, walk(held.matcher, seed))
        assert written == parts.json and written in wanted and parts.thought == ""
        held = FORMS.held(JsonFormat(SCHEMA, style, 5), ())
        written, parts = told(held, walk(held.matcher, seed, TEXT.encode("forward")))
        assert parts.json in wanted and written == f"{parts.thought}\n{parts.json}" and parts.thought


def test_the_models_own_style_is_its_templates() -> None:
    forms = forms_of(BOTH.replace("arguments | tojson", "arguments | tojson(separators=(',', ':'))"))
    held = forms.held(JsonFormat(SCHEMA), ())
    assert told(held, walk(held.matcher, 0))[1].json.startswith('{"zeal":')


@settings(deadline=None)
@given(st.lists(st.sampled_from([*ADDED, "<|im_", "end|>", "a", " "]), min_size=1, max_size=4).map("".join))
def test_what_a_schema_forces_never_becomes_a_control_token(hostile: str) -> None:
    schema = json.dumps({"type": "object", "properties": {hostile: {"const": hostile}}, "required": [hostile]})
    tool = Tool("move", hostile, schema)
    held = [FORMS.held(JsonFormat(schema), ()), FORMS.held(ToolCallFormat(), (tool,))]
    for at, each in enumerate(held):
        answer = walk(each.matcher, 0, [TEXT.encode("}")[0], TEXT.encode('"')[0]])
        inside = answer[1:-1] if at else answer
        assert not set(inside) & set(ADDED.values())
        parts = told(each, answer)[1]
        value = json.loads(parts.json) if parts.tool_call is None else parts.tool_call.values()
        assert value[hostile] == hostile


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", AnswerParts()),
        ("I see", AnswerParts()),
        ("I see it.\n<tool_call>\n", AnswerParts("I see it.")),
        ('<tool_call>\n{"name": "mo', AnswerParts()),
    ],
)
def test_an_answer_that_was_cut_off_holds_no_call(text: str, parts: AnswerParts) -> None:
    form = FORMS.held(ToolCallFormat((), 9), TOOLS).form
    read = form.read(text, is_whole=False)
    assert read.tool_call is None and read.json == ""
    if text.startswith("I see it."):
        assert read.thought in ("", parts.thought)


def test_json_that_was_cut_off_is_none() -> None:
    form = FORMS.held(JsonFormat(SCHEMA, max_thought_tokens=9), ()).form
    assert form.read('Hm.\n{"ze', is_whole=False) == AnswerParts("Hm.")
    assert form.read('{"ze', is_whole=False) == AnswerParts()
    assert form.read('{"zeal": 1}', is_whole=True) == AnswerParts(json='{"zeal": 1}')


def test_a_call_is_read_by_the_names_there_are() -> None:
    form = FORMS.held(ToolCallFormat(), (HOVER, Tool("hover_there", "Waits there."))).form
    written = '<tool_call>\n{"name": "hover_there", "arguments": {"a": "}\\n</tool_call>"}}\n</tool_call>'
    read = form.read(written, is_whole=True)
    assert read.tool_call == ToolCall("hover_there", '{"a": "}\\n</tool_call>"}')


BAD_SCHEMAS = (
    "[1",
    "[]",
    '{"enum": [NaN]}',
    '{"type": "object", "properties": {"a": {"minimum": 1e999}}}',
    '{"enum": ["\\ud83d"]}',
    '{"type": "none"}',
    "[" * 200 + "]" * 200,
    '{"a":' * 1500 + "1" + "}" * 1500,
)


@pytest.mark.parametrize("schema", BAD_SCHEMAS)
def test_a_schema_that_is_none_is_refused(schema: str) -> None:
    for thought in (0, 5):
        with pytest.raises(BadGrammar):
            FORMS.held(JsonFormat(schema, max_thought_tokens=thought), ())


def test_a_tool_that_says_itself_what_else_it_takes_is_believed() -> None:
    one = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}
    for schema in (
        {"type": "object", "anyOf": [one]},
        {"type": "object", "$ref": "#/$defs/one", "$defs": {"one": one}},
    ):
        tool = Tool("odd", "x", json.dumps(schema))
        FORMS.check((tool,))
        held = FORMS.held(ToolCallFormat(), (tool,))
        call = told(held, walk(held.matcher, 0))[1].tool_call
        assert call is not None and call.values() == {"a": 1}


def test_a_tool_whose_calls_cannot_be_held_is_named() -> None:
    odd = Tool("odd", "x", '{"type": "object", "properties": {"a": {"type": "nothing"}}}')
    with pytest.raises(BadGrammar, match="parameters of odd"):
        FORMS.check((MOVE, odd))
    FORMS.check(TOOLS)


@pytest.mark.parametrize(
    ("names", "tools"),
    [((), ()), (("fly",), TOOLS), (("move", "fly"), TOOLS)],
    ids=["no tools", "unknown", "one unknown"],
)
def test_a_call_of_what_is_not_there_is_refused(names: tuple[str, ...], tools: tuple[Tool, ...]) -> None:
    with pytest.raises(InvalidInput):
        FORMS.held(ToolCallFormat(names), tools)


def test_without_a_template_there_is_no_form_of_calls() -> None:
    chat = ModelChat(TEXT, choose_templates(TemplateFiles((), {}), datetime(2026, 1, 31)))
    forms = AnswerForms(chat, GrammarCompiler(TEXT, VOCABULARY))
    with pytest.raises(ModelNotUsable):
        forms.held(ToolCallFormat(), TOOLS)
    written, parts = told(held := forms.held(JsonFormat(SCHEMA), ()), walk(held.matcher, 0))
    assert written == parts.json and '": ' in written


@pytest.mark.parametrize("most", [-1, 513])
def test_a_thought_has_a_limit(most: int) -> None:
    for make in (lambda: ToolCallFormat((), most), lambda: JsonFormat("{}", JsonStyle.MODEL, most)):
        with pytest.raises(InvalidInput, match="at most 512"):
            make()


def test_a_form_without_room_for_a_thought_says_so() -> None:
    spaced = BOTH.replace(
        "{%- if message.content or not loop.first %}{{- '\\n' }}", "{%- if message.content %}{{- ' ' }}"
    )
    forms = forms_of(spaced)
    held: Any = forms.held(ToolCallFormat(), TOOLS)
    assert told(held, walk(held.matcher, 0))[1].tool_call is not None
    with pytest.raises(InvalidInput, match="no room for a thought"):
        forms.held(ToolCallFormat((), 5), TOOLS)
