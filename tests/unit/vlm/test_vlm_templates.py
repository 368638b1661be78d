"""python -m pytest tests/unit/vlm/test_vlm_templates.py -v

Conversations as templates write them, of the tests' own in the style of each family's.
"""

import pytest
from chat_templates import BOTH, FAMILIES, PICTURES, TAGS, THINKS, TOOLS, reference_ids
from conversations import BRIEFING, FRAME_IDS, FRAMES, LOOK, NOW, RAW, TEXT, TURNS, chat_of, choose

from stillwing_vlm.core.conversation import AssistantTurn, Briefing, ToolCall, ToolTurn, Turn, UserTurn
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.templates.choice import choose_templates
from stillwing_vlm.core.inputs.templates.files import PublishedTemplate, TemplateFiles


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
