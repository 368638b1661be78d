"""python -m pytest tests/unit/memory/test_memory_words.py

Words, page tokens and matching: what needs no store.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.errors import BadPageToken, UnknownBackend
from stillwing_common.types import PositionNed
from stillwing_memory.core.filing.matching import Candidate, choose_entity
from stillwing_memory.core.paging import make_token, read_token
from stillwing_memory.core.text import choose_similarity, normalise, tokens


@pytest.mark.parametrize("label", ["red beacon", "The Red Beacon", " red  beacon! ", "a RED-beacon", "ｒｅｄ beacon"])
def test_spellings_of_one_label_are_one(label: str) -> None:
    assert normalise(label) == "red beacon"


def test_names_that_differ_stay_different() -> None:
    assert len({normalise(label) for label in ("mother", "other", "red beacon", "beacon red", "赤", "the")}) == 6


@given(st.text())
def test_normalising_twice_is_normalising_once(label: str) -> None:
    assert normalise(normalise(label)) == normalise(label)


def test_tokens_are_different_words_in_one_order() -> None:
    assert tokens("Tree, tree and the car") == ["and", "car", "tree"]


def test_a_similarity_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownBackend, match="token_overlap"):
        choose_similarity("bm25")


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=40))
def test_a_token_gives_back_what_was_put_in(kind: str, scope: str, last: str) -> None:
    assert read_token(make_token(kind, scope, last), kind, scope) == last


@given(st.integers(min_value=0), st.characters(codec="utf-8"))
def test_a_changed_token_is_refused(place: int, char: str) -> None:
    token = make_token("keyframes", "mis_1", "1234")
    place %= len(token)
    changed = token[:place] + char + token[place + 1 :]
    try:
        last = read_token(changed, "keyframes", "mis_1")
    except BadPageToken:
        return
    # base64 writes the last few bits in several ways; whatever is taken must mean the same.
    assert last == "1234"


@given(st.text(max_size=60))
def test_nonsense_is_no_token(token: str) -> None:
    with pytest.raises(BadPageToken):
        read_token(token, "keyframes", "")


positions = st.none() | st.builds(PositionNed, *(st.floats(-50, 50, allow_nan=False) for _ in range(3)))
candidates = st.lists(
    st.builds(Candidate, st.sampled_from(["ent_a", "ent_b", "ent_c", "ent_d"]), positions, st.integers(1, 99)),
    unique_by=lambda candidate: candidate.entity_id,
)


@given(positions, candidates, st.floats(0.1, 30), st.sets(st.sampled_from(["ent_a", "ent_b"])))
def test_matching_keeps_its_rules(
    position: PositionNed | None, known: list[Candidate], gate_m: float, taken: set[str]
) -> None:
    def distance_m(candidate: Candidate) -> float | None:
        if position is None or candidate.position_ned_m is None:
            return None
        return position.distance_m(candidate.position_ned_m)

    chosen = choose_entity(position, known, gate_m=gate_m, taken=taken)
    allowed = {
        candidate.entity_id: distance_m(candidate)
        for candidate in known
        if candidate.entity_id not in taken and ((distance_m(candidate) or 0.0) <= gate_m)
    }
    assert (chosen is None) == (not allowed)
    if chosen is None:
        return
    assert chosen in allowed
    placed = {entity_id: metres for entity_id, metres in allowed.items() if metres is not None and metres < gate_m}
    if placed:
        assert allowed[chosen] == min(placed.values())


def test_without_places_the_thing_seen_last_wins() -> None:
    known = [Candidate("ent_a", None, 3), Candidate("ent_b", PositionNed(0, 0, 0), 9), Candidate("ent_c", None, 5)]
    assert choose_entity(None, known, gate_m=5, taken=()) == "ent_b"
    assert choose_entity(None, known, gate_m=5, taken={"ent_b"}) == "ent_c"
