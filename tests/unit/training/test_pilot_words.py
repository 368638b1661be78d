"""python -m pytest tests/unit/lab/test_pilot_words.py

The pilot's tokenizer reads any text, makes tool calls short, and agrees with the engine on the same words.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from stillwing_agent.core.prompting.prompts import (
    CHOICES,
    WHERES,
    choice_prompt,
    decision_prompt,
    dump_tool_call,
    system_prompt,
    where_prompt,
)
from stillwing_training.pilot.config import ACTIONS, COLOURS, SPECIAL_TOKENS
from stillwing_training.pilot.sequence import Words
from stillwing_training.pilot.tokenizer import build_tokenizer, goal_texts, save_tokenizer
from stillwing_vlm.core.inputs.text import ChatText


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer()


@given(text=st.text(max_size=60))
@settings(max_examples=80, deadline=None)
def test_any_text_comes_back(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "")
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_tool_call_is_a_handful_of_tokens_with_one_or_two_decisions(tokenizer: PreTrainedTokenizerFast) -> None:
    calls = {action: tokenizer.encode(dump_tool_call(call)) for action, call in CHOICES.items()}
    assert max(map(len, calls.values())) <= 7
    assert len({call[0] for call in calls.values()}) == 1, "every call opens alike"
    assert len({calls[action][1] for action in ACTIONS}) == 3, "move, turn, final_answer"
    left, right = calls["left"], calls["right"]
    assert [a == b for a, b in zip(left, right, strict=True)].count(False) == 1
    assert len(tokenizer) < 1000


def test_every_answer_is_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    for word in (*ACTIONS, *WHERES):
        assert len(tokenizer.encode(word)) == 1


def test_special_tokens_have_the_ids_the_config_names(tokenizer: PreTrainedTokenizerFast) -> None:
    assert [tokenizer.convert_tokens_to_ids(token) for token in SPECIAL_TOKENS] == list(range(len(SPECIAL_TOKENS)))


def test_training_is_twice_the_same(tokenizer: PreTrainedTokenizerFast) -> None:
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()


def test_the_engine_reads_the_same_ids(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    save_tokenizer(tokenizer, tmp_path)
    engine, words = ChatText.from_file(tmp_path / "tokenizer.json"), Words(tokenizer)
    assert engine.opening(system_prompt()) == words.system(system_prompt())
    for colour in COLOURS:
        for goal in goal_texts(colour):
            for question in (decision_prompt(goal), decision_prompt(goal, "OBSTRUCTED"), choice_prompt(goal)):
                assert engine.question(question) == words.question(question)
        assert engine.question(where_prompt(f"the {colour} beacon")) == words.question(
            where_prompt(f"the {colour} beacon")
        )
    for call in CHOICES.values():
        assert engine.encode(dump_tool_call(call)) == words.ids(dump_tool_call(call))
