"""python -m pytest tests/unit/vlm/test_vlm_broken_templates.py -v

Templates that cannot be cut, and programs that would run on: each with a sentence that says why.
"""

import pytest
from chat_templates import BOTH, PICTURES, SYSTEM, TOOLS
from conversations import BRIEFING, LOOK, NOW, TEXT, TURNS, chat_of, choose

from stillwing_common.errors import InvalidInput, ModelNotUsable
from stillwing_vlm.core.conversation import AssistantTurn, Briefing, ToolTurn, UserTurn
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.templates.sandbox import MAX_SOURCE_CHARS, SandboxedTemplate, TemplateFault

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
}


@pytest.mark.parametrize("name", [name for name in BROKEN if name != "trims"])
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
