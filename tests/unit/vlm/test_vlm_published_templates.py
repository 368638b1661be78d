"""python -m pytest tests/unit/vlm/test_vlm_published_templates.py -v

The published templates and tokenizer of Qwen2.5-VL, where their folder is there.
"""

import subprocess
import sys

import pytest
from chat_templates import published_files, reference_ids
from conversations import BRIEFING, FRAMES, HOSTILE, TAME, TURNS, chat_of, conversations
from hypothesis import given, settings
from tokenizers import Tokenizer

from stillwing_vlm.core.conversation import AssistantTurn, Briefing, Turn, UserTurn
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.text import ChatText


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
