"""python -m pytest tests/unit/vlm/test_vlm_templates.py -v

Templates of the tests' own, in the style of each family's; the published ones where their folder is there.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from chat_templates import (
    BOTH,
    FAMILIES,
    PICTURES,
    SYSTEM,
    TAGS,
    THINKS,
    TOOLS,
    published_files,
    reference_ids,
    tokenizer_with_tags,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from stillwing_common.errors import BadGrammar, InvalidInput, ModelNotUsable
from stillwing_lab.tiny_model import tiny_tokenizer
from stillwing_vlm.core.conversation import (
    AssistantTurn,
    Briefing,
    Tool,
    ToolCall,
    ToolTurn,
    Turn,
    UserTurn,
    check_turns,
)
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.templates.choice import ChosenTemplates, choose_templates
from stillwing_vlm.core.inputs.templates.files import PublishedTemplate, TemplateFiles, read_templates
from stillwing_vlm.core.inputs.templates.sandbox import MAX_SOURCE_CHARS, SandboxedTemplate, TemplateFault
from stillwing_vlm.core.inputs.text import ChatText, Piece

NOW = datetime(2026, 1, 31, 12)
TEXT = ChatText(tokenizer_with_tags())
RAW = tokenizer_with_tags()
FRAMES = "<|vision_start|><|video_pad|><|vision_end|>"
FRAME_IDS = [RAW.token_to_id(token) for token in ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>")]

MOVE = Tool(
    "move",
    "Flies level.",
    json.dumps(
        {
            "type": "object",
            "properties": {
                "direction": {"type": "string", "enum": ["forward", "back"]},
                "distance_m": {"type": "number", "minimum": 0.5, "maximum": 5, "description": "How far, in metres."},
            },
            "required": ["direction", "distance_m"],
        }
    ),
)
LOOK = Tool("look", 'Asks "what is there?"', '{"type": "object", "properties": {"question": {"type": "string"}}}')
BRIEFING = Briefing("You fly a drone.", (MOVE, LOOK))
TURNS: tuple[Turn, ...] = (
    UserTurn("Find the red door."),
    AssistantTurn("A wall is ahead.", (ToolCall("look", '{"question":"What is left?"}'),)),
    ToolTurn("A door – rot, 红色.", "look"),
    AssistantTurn("", (ToolCall("move", '{"direction": "forward", "distance_m": 1.0}'), ToolCall("look"))),
    ToolTurn("LIMIT: at most 2 m", "move"),
    ToolTurn("Nothing new.", "look"),
    UserTurn("Battery 80 %."),
    AssistantTurn("I see it."),
    UserTurn("Next?"),
)


def choose(*sources: str) -> ChosenTemplates:
    listed = [PublishedTemplate("default", f"file {at}", source) for at, source in enumerate(sources)]
    return choose_templates(TemplateFiles(tuple(listed), {}), NOW)


def chat_of(*sources: str, text: ChatText = TEXT) -> ModelChat:
    return ModelChat(text, choose(*sources))


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def plain(text: str) -> list[int]:
    """Ids of text without control tokens, by the library itself."""
    return list(RAW.encode(text, add_special_tokens=False).ids)


def control(token: str) -> int:
    return int(RAW.token_to_id(token))


# Rendering


@pytest.mark.parametrize("sources", [(BOTH,), (PICTURES, TOOLS), (TOOLS,), (THINKS,)])
@pytest.mark.parametrize("system_prompt", ["You fly a drone.", ""])
def test_a_conversation_is_written_as_transformers_writes_it(sources: tuple[str, ...], system_prompt: str) -> None:
    chat, briefing = chat_of(*sources), Briefing(system_prompt, BRIEFING.tools)
    for end in (1, 3, 6, 7, 9):
        ours = [*chat.opening(briefing), *FRAME_IDS, *chat.messages(briefing, TURNS[:end])]
        theirs = reference_ids(RAW, sources[-1], system_prompt or None, briefing.tools, TURNS[:end], frames=FRAMES)
        assert ours == theirs


def test_without_tools_messages_go_on_from_the_compact_opening(family: str) -> None:
    chat, briefing = chat_of(*FAMILIES[family]), Briefing("You fly.")
    assert chat.opening(briefing) == TEXT.opening("You fly.")
    turns: tuple[Turn, ...] = (UserTurn("Where to?"), AssistantTurn("Left."), UserTurn("Why?"))
    ours = [*chat.opening(briefing), *FRAME_IDS, *chat.messages(briefing, turns)]
    assert ours == reference_ids(RAW, FAMILIES[family][0], "You fly.", (), turns, frames=FRAMES)
    assert chat.messages(briefing, turns[:1]) == chat.question(briefing, "Where to?") == TEXT.question("Where to?")


def test_a_tool_conversation_has_the_ids_that_are_written_down_here() -> None:
    """Independent of templates and of the code: each turn put together by hand."""
    start, end, newline = control("<|im_start|>"), control("<|im_end|>"), plain("\n")
    tool = (
        '{"type": "function", "function": {"name": "look", "description": "Asks \\"what is there?\\"", "parameters": '
        '{"type": "object", "properties": {"question": {"type": "string"}}}}}'
    )
    briefing = Briefing("You fly.", (LOOK,))
    opening = [
        start,
        *plain(
            "system\nYou fly.\n\n# Tools\n\nThese functions can be called:\n<tools>\n"
            + tool
            + "\n</tools>\n\nCall one as "
        ),
        control("<tool_call>"),
        *plain('\n{"name": <name>, "arguments": <object>}\n'),
        control("</tool_call>"),
        end,
        *newline,
        start,
        *plain("user\n"),
    ]
    question = [
        *plain("Find it."),
        end,
        *newline,
        start,
        *plain("assistant\nHm.\n"),
        control("<tool_call>"),
        *plain('\n{"name": "look", "arguments": {"question": "Où?"}}\n'),
        control("</tool_call>"),
        end,
        *newline,
        start,
        *plain("user\n"),
        control("<tool_response>"),
        *plain("\nThere.\n"),
        control("</tool_response>"),
        end,
        *newline,
        start,
        *plain("assistant\n"),
    ]
    turns = (UserTurn("Find it."), AssistantTurn("Hm.", (ToolCall("look", '{"question": "Où?"}'),)), ToolTurn("There."))
    for sources in ((BOTH,), (PICTURES, TOOLS), (TOOLS, PICTURES)):
        chat = chat_of(*sources)
        assert chat.opening(briefing) == opening
        assert chat.messages(briefing, turns) == question


def test_without_a_template_for_tools_they_are_put_into_words() -> None:
    chat, briefing = chat_of(PICTURES), Briefing("You fly.", (LOOK,))
    written = TEXT.decode(chat.opening(briefing), shows_control=True)
    assert written == (
        "system\nYou fly.\n\n# Tools\n\nYou may call functions. Their signatures stand within <tools></tools>:\n"
        "<tools>\n"
        '{"type": "function", "function": {"name": "look", "description": "Asks \\"what is there?\\"", "parameters": '
        '{"type": "object", "properties": {"question": {"type": "string"}}}}}\n</tools>\n\n'
        "Write a call as a JSON object of its name and its arguments within <tool_call></tool_call>:\n<tool_call>\n"
        '{"name": <name>, "arguments": <arguments>}\n</tool_call>\n<|im_start|>user\n'
    ).replace("system", "<|im_start|>system", 1)
    turns = (
        UserTurn("Find it."),
        AssistantTurn("Hm.", (ToolCall("look", '{"question":"Où?"}'), ToolCall("look"))),
        ToolTurn("There."),
        ToolTurn("Here."),
    )
    ids = chat.messages(briefing, turns)
    assert TEXT.decode(ids, shows_control=True) == (
        "Find it.\n<|im_start|>assistant\nHm.\n"
        '<tool_call>\n{"name": "look", "arguments": {"question": "Où?"}}\n</tool_call>\n'
        '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call>\n'
        "<|im_start|>user\n<tool_response>\nThere.\n</tool_response>\n<tool_response>\nHere.\n</tool_response>\n"
        "<|im_start|>assistant\n"
    )
    assert [ids.count(control(tag)) for tag in TAGS] == [2, 2, 2, 2]


def test_which_template_writes_what() -> None:
    def chosen(*sources: str) -> tuple[str, str, str]:
        found = choose(*sources)
        assert found.template is not None
        return found.template.name, found.template.form.name, found.pictures_place

    assert chosen(PICTURES, TOOLS) == ("file 1", "template", "file 0")
    assert chosen(TOOLS, PICTURES) == ("file 0", "template", "file 1")
    assert chosen(PICTURES, TOOLS, BOTH) == ("file 2", "template", "file 2")
    assert chosen(PICTURES) == ("file 0", "common", "file 0")
    assert chosen(TOOLS) == ("file 0", "template", "")
    assert choose().problem == "its directory has none"


def test_of_several_templates_with_tools_the_one_that_is_named_for_them_is_taken() -> None:
    other = TOOLS.replace("These functions can", "Those functions can")
    listed = [PublishedTemplate(name, name, source) for name, source in (("default", TOOLS), ("tool_use", other))]
    found = choose_templates(TemplateFiles(tuple(listed), {}), NOW)
    assert found.template is not None and found.template.name == "tool_use"


def test_the_form_of_a_call_is_cut_from_the_template(family: str) -> None:
    form = choose(*FAMILIES[family]).call_form
    assert form is not None
    assert (form.opening, form.middle, form.closing) == (
        '<tool_call>\n{"name": "',
        '", "arguments": ',
        "}\n</tool_call>",
    )
    assert (form.lead, form.separator, form.item_separator, form.key_separator) == ("", "\n", ", ", ": ")
    thinking = choose(THINKS).call_form
    assert thinking is not None and thinking.lead == "\n</think>\n\n"
    compact = choose(BOTH.replace("arguments | tojson", "arguments | tojson(separators=(',', ':'))")).call_form
    assert compact is not None and (compact.item_separator, compact.key_separator) == (",", ":")


def test_the_names_of_special_tokens_are_given_to_the_template() -> None:
    source = PICTURES.replace("<|im_end|>", "{{ eos_token }}")
    listed = TemplateFiles((PublishedTemplate("default", "file", source),), {"eos_token": "<|im_end|>"})
    chat = ModelChat(TEXT, choose_templates(listed, NOW))
    assert chat.messages(Briefing("You fly."), (UserTurn("Why?"),)) == TEXT.question("Why?")


# Texts of callers


ADDED = {token.content: id for id, token in RAW.get_added_tokens_decoder().items()}
CONTROL = tuple(ADDED)
FRAGMENTS = st.sampled_from(
    [*CONTROL, "<|im_", "end|>", "<", "|>", "<tool", "_call>", "\n", '"', "\\", "{", "im_start", " "]
)
HOSTILE = st.lists(FRAGMENTS | st.text(max_size=4), max_size=6).map("".join)
ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | HOSTILE,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(HOSTILE, inner, max_size=2),
    max_leaves=4,
)


@st.composite
def conversations(draw: Any, text: st.SearchStrategy[str]) -> tuple[Briefing, tuple[Turn, ...]]:
    values = st.dictionaries(text, ARGUMENTS if text is HOSTILE else text, max_size=2)
    tools = draw(
        st.lists(
            st.builds(
                lambda name, words, names: Tool(
                    name,
                    words,
                    json.dumps(
                        {"type": "object", "properties": {key: {"type": "string", "enum": [key]} for key in names}}
                    ),
                ),
                st.sampled_from(["move", "im_end", "tool_call", "turn-2"]),
                text,
                st.lists(text, max_size=2),
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda tool: tool.name,
        )
    )
    calls = st.builds(
        lambda name, value: ToolCall(name, json.dumps(value)), st.sampled_from(["move", "im_end"]), values
    )
    turns: list[Turn] = [UserTurn(draw(text))]
    for _ in range(draw(st.integers(0, 3))):
        called = draw(st.lists(calls, max_size=2))
        turns.append(AssistantTurn(draw(text) if called else draw(text) + "!", tuple(called)))
        turns += [ToolTurn(draw(text), "move") for _ in called] if called else []
        if not called or draw(st.booleans()):
            turns.append(UserTurn(draw(text)))
    return Briefing(draw(text), tuple(tools)), tuple(turns)


CHATS = {name: chat_of(*sources) for name, sources in {**FAMILIES, "thinks": (THINKS,)}.items()}
CONTROL_IDS = frozenset(ADDED.values())


@settings(deadline=None)
@given(conversations(HOSTILE), st.sampled_from(sorted(CHATS)))
def test_no_text_of_a_caller_becomes_a_control_token(
    conversation: tuple[Briefing, tuple[Turn, ...]], name: str
) -> None:
    """Wherever it stands: of the control tokens there are as many, in the same order, as with harmless texts."""
    (briefing, turns), chat = conversation, CHATS[name]

    def harmless(value: Any) -> Any:
        if isinstance(value, str):
            return "x" * bool(value)
        return value

    tools = tuple(Tool(f"t{at}", harmless(tool.description)) for at, tool in enumerate(briefing.tools))
    quiet: list[Turn] = []
    for turn in turns:
        match turn:
            case AssistantTurn(text, calls):
                quiet.append(AssistantTurn(harmless(text), tuple(ToolCall("t0") for _ in calls)))
            case ToolTurn(text):
                quiet.append(ToolTurn(harmless(text)))
            case UserTurn(text):
                quiet.append(UserTurn(harmless(text)))
    calm = Briefing(harmless(briefing.system_prompt), tools)
    for ours, theirs in (
        (chat.opening(briefing), chat.opening(calm)),
        (chat.messages(briefing, turns), chat.messages(calm, tuple(quiet))),
    ):
        assert [id for id in ours if id in CONTROL_IDS] == [id for id in theirs if id in CONTROL_IDS]


@settings(deadline=None)
@given(conversations(HOSTILE), st.sampled_from(sorted(CHATS)))
def test_the_pieces_join_to_the_templates_own_text(conversation: tuple[Briefing, tuple[Turn, ...]], name: str) -> None:
    (briefing, turns), chat = conversation, CHATS[name]
    template = chat.templates.template
    assert template is not None
    ids = [*chat.opening(briefing), *chat.messages(briefing, turns)]
    joined = RAW.decode(ids, skip_special_tokens=False)
    if template.form.name == "template":
        source = {"qwen2_5_vl": TOOLS, "qwen3_vl": BOTH, "thinks": THINKS}[name]
        theirs = reference_ids(RAW, source, briefing.system_prompt or None, briefing.tools, turns)
        assert joined == RAW.decode(theirs, skip_special_tokens=False)
    names = [tool.name for tool in briefing.tools]
    assert all(f'"name": "{tool}"' in joined for tool in names)


TAME = st.text(st.characters(exclude_characters="<>|", exclude_categories=("Cs",)), max_size=12)


@settings(deadline=None)
@given(conversations(TAME), st.sampled_from(["qwen2_5_vl", "qwen3_vl", "thinks"]))
def test_ids_are_those_of_transformers_whatever_the_texts(
    conversation: tuple[Briefing, tuple[Turn, ...]], name: str
) -> None:
    briefing, turns = conversation
    source = {"qwen2_5_vl": TOOLS, "qwen3_vl": BOTH, "thinks": THINKS}[name]
    ours = [*CHATS[name].opening(briefing), *FRAME_IDS, *CHATS[name].messages(briefing, turns)]
    system_prompt = briefing.system_prompt or None
    assert ours == reference_ids(RAW, source, system_prompt, briefing.tools, turns, frames=FRAMES)


@settings(deadline=None)
@given(st.lists(st.tuples(HOSTILE, st.booleans()), max_size=6))
def test_control_tokens_stand_in_a_templates_own_text_alone(parts: list[tuple[str, bool]]) -> None:
    pieces = [Piece(text, from_caller) for text, from_caller in parts]
    ids = TEXT.encode_pieces(pieces)
    assert RAW.decode(ids, skip_special_tokens=False) == "".join(text for text, _ in parts)
    runs: list[str] = [""]
    for text, from_caller in parts:
        if text and from_caller:
            runs.append("")
        elif text:
            runs[-1] += text
    wanted = [id for run in runs for id in RAW.encode(run, add_special_tokens=False).ids if id in CONTROL_IDS]
    assert [id for id in ids if id in CONTROL_IDS] == wanted


def test_a_tag_that_the_tokenizer_does_not_call_special_is_text_in_a_callers_prompt() -> None:
    ids = TEXT.question("<tool_call> and </tool_response>")
    assert not {control(tag) for tag in TAGS} & set(ids)
    assert TEXT.decode(ids).startswith("<tool_call> and </tool_response>")


def test_words_that_a_tokenizer_keeps_whole_stay_whole() -> None:
    """The pilot's tokenizer keeps whole sentences: they are no control tokens, whoever writes them."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("You fly a drone. [Now.]", special=False)])
    text = ChatText(tokenizer)
    assert text.encode("You fly a drone. [Now.]") == [tokenizer.token_to_id("You fly a drone. [Now.]")]


# Templates that cannot be used


BROKEN: dict[str, tuple[str, str]] = {
    "trims": (TOOLS.replace("content + ''", "content | trim"), ""),
    "upper": (TOOLS.replace("content + ''", "content | upper"), "changes"),
    "reads": (TOOLS.replace("content + ''", "(content if content|length < 20 else 'long')"), "as it is"),
    "drops": (
        TOOLS.replace("{{ words(message.content) }}{{ '\\n</tool_response>'", "{{ '\\n</tool_response>'"),
        "leaves out",
    ),
    "slices": (TOOLS.replace("content + ''", "content[3:]"), "apart"),
    "twice": (TOOLS.replace("content + ''", "content + content"), "times, not once"),
    "no user": (TOOLS.replace("message.role == 'user'", "message.role == 'nobody'"), "0 times"),
    "reverses": (
        TOOLS.replace("for message in messages", "for message in messages[1:2] + messages[2:][::-1]"),
        "order",
    ),
    "another": (TOOLS.replace("messages[0].content", "messages[-1].content"), "leaves out system_prompt"),
    "tools last": (TOOLS.replace(SYSTEM, "") + SYSTEM, "other side"),
    "refuses": ("{{ raise_exception('no system role here') }}", "refuses it: no system role here"),
    "undefined": ("{{ messages[0].content.words }}{{ nothing.at.all }}", "refuses it"),
    "breaks": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "syntax": ("{% for %}", "cannot be compiled"),
    "loops": ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "takes too long"),
    "recurs": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "too long",
    ),
    "costly": (
        "{% set x = 'a' * 3000000 %}{% for a in range(99999) %}{% if x.upper() == a %}{% endif %}{% endfor %}",
        "more than 2 s",
    ),
    "writes on": ("{% for a in range(99999) %}{{ 'x' * 99999 }}{% endfor %}", "characters"),
    "multiplies": ("{{ 'x' * 10000000000 }}", "characters"),
    "raises": ("{{ 9 ** 9 ** 9 }}", "power"),
    "doubles": (
        "{% set n = namespace(x='ab') %}{% for a in range(99) %}{% set n.x = n.x ~ n.x %}{% endfor %}",
        "characters",
    ),
    "huge": ("x" * (MAX_SOURCE_CHARS + 1), f"at most {MAX_SOURCE_CHARS}"),
    "python": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "unsafe"),
    "files": ("{% include '/etc/passwd' %}", "TypeError"),
    "stores": ("{% set n = namespace() %}{% set n.__class__ = 1 %}", ""),
    "deep": ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "cannot be compiled"),
    "other calls": (
        TOOLS.replace(
            "{{- call.function.arguments | tojson }}",
            "{%- for key, value in call.function.arguments | items %}{{ '<' ~ key ~ '>' ~ value }}{% endfor %}",
        ),
        "does not write the arguments of a call as JSON",
    ),
    "calls alone": (TOOLS.replace("'<|im_start|>assistant\\nBEGUN'", "'<|im_start|>model\\n'"), ""),
}


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ("trims", "calls alone")])
def test_a_template_that_cannot_be_cut_is_not_used_and_says_why(name: str) -> None:
    source, words = BROKEN[name]
    found = choose(source)
    assert found.template is None and found.call_form is None
    assert words in found.problem and found.problem.startswith("file 0 ")
    chat = ModelChat(TEXT, found)
    assert chat.opening(Briefing("You fly.")) == TEXT.opening("You fly.")
    assert chat.question(Briefing("You fly."), "Why?") == TEXT.question("Why?")
    for wanted in (
        lambda: chat.opening(BRIEFING),
        lambda: chat.messages(Briefing("You fly."), TURNS[:1]),
        chat.call_form,
    ):
        with pytest.raises(ModelNotUsable, match="chat template"):
            wanted()


def test_what_one_template_knows_of_tools_is_not_put_into_other_words() -> None:
    source, _ = BROKEN["other calls"]
    found = choose(PICTURES, source)
    assert found.template is None and "arguments" in found.problem


def test_a_text_that_the_template_would_change_is_refused() -> None:
    """One that trims may be used with texts that have nothing to trim."""
    source, _ = BROKEN["trims"]
    chat = chat_of(source)
    assert chat.messages(BRIEFING, TURNS) == chat_of(TOOLS).messages(BRIEFING, TURNS)
    for turns in ((UserTurn("Find it. "),), (*TURNS[:2], ToolTurn("\nThere."))):
        with pytest.raises(InvalidInput, match=r"messages\[\d\].text as it is: it trims or reads it"):
            chat.messages(BRIEFING, turns)
    with pytest.raises(InvalidInput, match="system_prompt"):
        chat.opening(Briefing(" You fly.", BRIEFING.tools))


def test_every_tool_must_be_in_the_opening() -> None:
    chat = chat_of(TOOLS.replace("for tool in tools", "for tool in tools[:1]"))
    assert chat.opening(Briefing("You fly.", (LOOK,)))
    with pytest.raises(InvalidInput, match=r"leaves out tools\[1\]\.name"):
        chat.opening(BRIEFING)


def test_an_opening_that_changes_with_what_follows_is_refused() -> None:
    source = BOTH.replace("'<|im_start|>system\\n' }}", "'<|im_start|>system\\n' ~ (messages | length > 12) }}")
    chat = chat_of(source)
    turns = (*TURNS, AssistantTurn("Up."), UserTurn("And?"), AssistantTurn("Down."), UserTurn("And now?"))
    chat.messages(BRIEFING, TURNS)
    with pytest.raises(InvalidInput, match="before the frames"):
        chat.messages(BRIEFING, turns)


def test_messages_need_an_opening_that_the_template_writes_alike() -> None:
    source = PICTURES.replace("<|im_start|>", "<|im_start|>the ")
    chat = chat_of(source)
    assert chat.opening(BRIEFING)
    with pytest.raises(InvalidInput, match="open it with tools"):
        chat.messages(Briefing("You fly."), TURNS[:1])


def test_the_time_that_a_template_is_told_does_not_move() -> None:
    program = SandboxedTemplate("{{ strftime_now('%H:%M') }}", NOW)
    assert program.render({}) == program.render({}) == "12:00"


def test_a_template_has_what_transformers_gives_it() -> None:
    source = (
        "{% generation %}{{ {'a': '<é>'} | tojson }}{% endgeneration %}{% for x in [1, 2, 3] %}{% if x == 2 %}"
        "{% break %}{% endif %}{{ x }}{{ loop.length }}{{ loop.last }}{% endfor %}{{ dict(a=1).a }}"
        "{% set n = namespace(b=2) %}{% set n.b = n.b * 3 %}{{ n.b }}{{ [1, 2] | tojson(indent=1) }}{{ 2 ** 3 }}"
    )
    fast_text = '{"a": "<é>"}13False16[\n 1,\n 2\n]8'
    assert SandboxedTemplate(source, NOW).render({}) == fast_text


def test_faults_are_raised_again_after_a_good_rendering() -> None:
    program = SandboxedTemplate("{% for x in range(n) %}{% endfor %}", NOW)
    for _ in range(3):
        program.render({"n": 90_000})
    with pytest.raises(TemplateFault):
        SandboxedTemplate("{% for y in range(9) %}{% for x in range(n) %}{% endfor %}{% endfor %}", NOW).render(
            {"n": 90_000}
        )


# Files


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


# The published templates and tokenizer


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tokenizer, str, str]:
    folder = published_files()
    if folder is None:
        pytest.skip("the published files of Qwen2.5-VL-3B are not there; STILLWING_QWEN2_5_VL_3B names their folder")
    target = tmp_path_factory.mktemp("published")
    subprocess.run([sys.executable, str(folder / "build_tokenizer.py"), str(target)], check=True)
    templates = [(folder / f"chat_template_{kind}.jinja").read_text(encoding="utf-8") for kind in ("vision", "tools")]
    return Tokenizer.from_file(str(target / "tokenizer.json")), templates[0], templates[1]


def test_the_published_templates_take_their_parts(published: tuple[Tokenizer, str, str]) -> None:
    tokenizer, vision, tools = published
    chat = chat_of(vision, tools, text=ChatText(Tokenizer.from_str(tokenizer.to_str())))
    assert chat.templates.template is not None
    assert (chat.templates.template.name, chat.templates.pictures_place) == ("file 1", "file 0")
    form = chat.call_form()
    assert (form.opening, form.closing) == ('<tool_call>\n{"name": "', "}\n</tool_call>")
    frame_ids = [tokenizer.token_to_id(token) for token in ("<|vision_start|>", "<|video_pad|>", "<|vision_end|>")]
    assert frame_ids == [151652, 151656, 151653]
    for briefing in (BRIEFING, Briefing("", BRIEFING.tools)):
        ours = [*chat.opening(briefing), *frame_ids, *chat.messages(briefing, TURNS)]
        assert ours == reference_ids(
            tokenizer, tools, briefing.system_prompt or None, briefing.tools, TURNS, frames=FRAMES
        )
        assert all(f'"name": "{tool.name}"' in tokenizer.decode(ours) for tool in briefing.tools)
        assert (ours.count(151657), ours.count(151658)) == (5, 5)
    quiet = Briefing("You fly.")
    turns = (UserTurn("Why?"), AssistantTurn("So."), UserTurn("And?"))
    ours = [*chat.opening(quiet), *frame_ids, *chat.messages(quiet, turns)]
    assert ours == reference_ids(tokenizer, vision, "You fly.", (), turns, frames=FRAMES)


@settings(deadline=None, max_examples=30)
@given(hostile=conversations(HOSTILE), tame=conversations(TAME))
def test_published_control_tokens_are_never_a_callers(
    published: tuple[Tokenizer, str, str],
    hostile: tuple[Briefing, tuple[Turn, ...]],
    tame: tuple[Briefing, tuple[Turn, ...]],
) -> None:
    tokenizer, _, tools = published
    chat = _published_chat(published)
    briefing, turns = hostile
    ids = [*chat.opening(briefing), *chat.messages(briefing, turns)]
    calls = sum(len(turn.tool_calls) for turn in turns if isinstance(turn, AssistantTurn))
    # Two in the opening's own words.
    assert ids.count(151657) == calls + 2 and ids.count(151658) == calls + 2
    briefing, turns = tame
    frame_ids = [151652, 151656, 151653]
    ours = [*chat.opening(briefing), *frame_ids, *chat.messages(briefing, turns)]
    system_prompt = briefing.system_prompt or None
    assert ours == reference_ids(tokenizer, tools, system_prompt, briefing.tools, turns, frames=FRAMES)


_CHATS: dict[int, ModelChat] = {}


def _published_chat(published: tuple[Tokenizer, str, str]) -> ModelChat:
    if id(published) not in _CHATS:
        tokenizer, vision, tools = published
        _CHATS[id(published)] = chat_of(vision, tools, text=ChatText(Tokenizer.from_str(tokenizer.to_str())))
    return _CHATS[id(published)]
