"""python -m pytest tests/unit/common/test_told_text.py"""

from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.told_text import told_text

ANY_CODE_POINT = st.text(st.characters(exclude_categories=()))  # lone surrogates and control characters, too


@given(st.one_of(ANY_CODE_POINT, st.binary(), st.none(), st.integers()), st.integers(1, 40))
def test_any_words_become_one_line_that_can_be_sent_and_shown(said: object, most: int) -> None:
    told = told_text(said, most)
    assert len(told) <= most
    assert told.encode().decode() == told
    assert all(each.isprintable() or each in "\u200c\u200d" for each in told)
    assert told == told_text(told, most), "what is clean stays as it is"


@given(st.text(st.characters(categories=("L", "N", "P", "S"), exclude_characters="\ufffd"), max_size=40))
def test_plain_words_are_left_alone(said: str) -> None:
    assert told_text(said, 40) == said
    assert told_text(said + "!" * 60, 40) == (said + "!" * 60)[:39] + "…"
