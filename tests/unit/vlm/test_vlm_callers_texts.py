"""python -m pytest tests/unit/vlm/test_vlm_callers_texts.py -v

A caller's text is text wherever it is put, and the rest is what transformers gives.
"""

from chat_templates import BOTH, FAMILIES, TAGS, THINKS, TOOLS, reference_ids
from conversations import ADDED, CONTROL_IDS, FRAME_IDS, FRAMES, HOSTILE, RAW, TAME, TEXT, chat_of, conversations
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken

from stillwing_lab.tiny_model import tiny_tokenizer
from stillwing_vlm.core.conversation import AssistantTurn, Briefing, Tool, ToolCall, ToolTurn, Turn, UserTurn
from stillwing_vlm.core.inputs.text import ChatText, Piece

CHATS = {name: chat_of(*sources) for name, sources in {**FAMILIES, "thinks": (THINKS,)}.items()}


@settings(deadline=None)
@given(conversations(HOSTILE), st.sampled_from(sorted(CHATS)))
def test_no_text_of_a_caller_becomes_a_control_token(
    conversation: tuple[Briefing, tuple[Turn, ...]], name: str
) -> None:
    """Wherever it stands: of the control tokens there are as many, in the same order, as with harmless texts."""
    (briefing, turns), chat = conversation, CHATS[name]

    def harmless(text: str) -> str:
        return "x" * bool(text)

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
    assert not {ADDED[tag] for tag in TAGS} & set(ids)
    assert TEXT.decode(ids).startswith("<tool_call> and </tool_response>")


def test_words_that_a_tokenizer_keeps_whole_stay_whole() -> None:
    """The pilot's tokenizer keeps whole sentences: they are no control tokens, whoever writes them."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("You fly a drone. [Now.]", special=False)])
    text = ChatText(tokenizer)
    assert text.encode("You fly a drone. [Now.]") == [tokenizer.token_to_id("You fly a drone. [Now.]")]
