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


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("\U0001f534 beacon", "\U0001f535 beacon"),
        ("\u0928\u0940\u0932\u093e", "\u0928\u093e\u0932\u0940"),  # Hindi: blue, drain; vowel signs tell them apart
        ("crate C++", "crate C#"),
        ("sign \u2190", "sign \u2192"),
        ("house \u2605", "house \u2606"),
        ("gate A", "gate"),
        ("gate -1", "gate 1"),
        ("gate 1/2", "gate 12"),
        ("gate 3.5", "gate 35"),
        ("A-frame house", "frame house"),
        ("tank 100%", "tank 100"),
        ("\u0e01\u0e32 sign", "\u0e01 sign"),
        ("\U0001f1e9\U0001f1ea flag", "\U0001f1eb\U0001f1f7 flag"),
        ("\U0001f469\u200d\U0001f680 sign", "\U0001f469\U0001f680 sign"),
    ],
)
def test_different_names_stay_different_in_any_script(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)
    assert tokens(one) != tokens(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("bea\xadcon", "beacon"),
        ("bea\u200dcon", "beacon"),
        ("\ufeffbeacon", "beacon"),
        ("caf\xe9 sign", "cafe\u0301 sign"),
        ("Stra\xdfe", "STRASSE"),
        ("pilot\u2019s van", "pilot's van"),
        ("\u2764\ufe0f sign", "\u2764 sign"),
        ("red_beacon", "red beacon"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u062e\u0648\u0627\u0647\u0645"),
        ("\uff76\uff9e", "\u30ac"),  # half-width and full-width kana
    ],
)
def test_one_name_in_two_spellings_is_one(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


def test_a_part_of_a_name_without_spaces_is_among_its_words() -> None:
    assert set(tokens("\u706f\u53f0")) <= set(tokens("\u8d64\u3044\u706f\u53f0"))


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
