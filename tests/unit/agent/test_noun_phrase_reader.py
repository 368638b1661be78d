"""python -m pytest tests/unit/agent/test_noun_phrase_reader.py

What the reader without a model makes of words that mislead, and what a mission's registry keeps of them.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_agent.core.memory.reading.noun_phrase_reader import NounPhraseReader, read_instruction
from stillwing_agent.core.memory.reading.noun_phrases import read_phrases, slot_of
from stillwing_agent.core.memory.reading.registry import Known, Mention, Registry
from stillwing_common.errors import Unsupported


@pytest.mark.parametrize(
    "text", ["飞到红色信标。", "飞到 red beacon 旁边的红色面包车", "Лети к красному маяку.", "赤いビーコンへ"]
)
async def test_what_is_not_written_in_latin_letters_is_told_apart(text: str) -> None:
    with pytest.raises(Unsupported, match="reads English"):
        await NounPhraseReader().read(text, 1, Registry())


@pytest.mark.parametrize("text", ["Fly to the sign that says 出口.", "Vuela al café.", "", "42!"])
async def test_a_name_in_other_letters_keeps_no_instruction_from_being_read(text: str) -> None:
    await NounPhraseReader().read(text, 1, Registry())


def read_all(*texts: str) -> tuple[Registry, list[list[int]]]:
    """The registry after all texts, and the numbers mentioned in each."""
    registry, numbers = Registry(), []
    for instruction, text in enumerate(texts, 1):
        mentions = read_instruction(text, instruction, registry)
        for mention in mentions:
            registry.add(instruction, mention, slot_of)
        numbers.append([mention.number for mention in mentions])
    return registry, numbers


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (("Fly to the red beacon.", "Go back to the red beacon."), [[1], [1]]),
        (("Fly to the red beacon past a blue van.", "Circle the van."), [[1, 2], [2]]),
        (("A red van.", "Find the blue van."), [[1], [2]]),
        (("A red van waits.", "Look for another red van."), [[1], [2]]),
        (("A mother waits.", "The mother smiles."), [[1], [1]]),
        (("A newspaper seller waits.", "Follow the newspaper seller."), [[1], [1]]),
        (("A brother and a mother wait.", "She smiles. He looks up."), [[1, 2], [2, 1]]),
        (("A man in a red coat waits.", "A man in a blue coat waits."), [[1], [2]]),
        (("A man in a red coat with glasses waits.", "A man in a red coat with glasses smiles."), [[1], [1]]),
        (("A man waits. Another man waits.", "The other man smiles.", "The second man smiles."), [[1, 2], [1], [2]]),
        (("A man and a woman wait.", "They leave."), [[1, 2], [1, 2]]),
        (("The shed is old; the thesis is new.",), [[1, 2]]),
        (("A dog sleeps.", "He waits."), [[1], []]),
        (("A truck is parked.", "Land beside the vehicle."), [[1], [1]]),
        (("Fly on the left, then turn right and land on the ground.",), [[]]),
        (("",), [[]]),
    ],
)  # fmt: skip
def test_who_is_meant(texts: tuple[str, ...], numbers: list[list[int]]) -> None:
    assert read_all(*texts)[1] == numbers


def test_a_contradiction_ends_what_held_before_and_forgets_nothing() -> None:
    registry, numbers = read_all(
        "A woman in a green coat with glasses waits.",
        "The woman with the glasses, now in a black coat, waves.",
        "The woman in the black coat leaves.",
        "The woman in the green coat leaves.",
    )
    assert numbers == [[1], [1], [1], [2]]
    coats = [(one.text, one.until_instruction) for one in registry.known[1].attributes]
    assert ("green coat", 2) in coats and ("black coat", None) in coats
    assert "green coat" not in registry.known[1].attrs


def test_a_state_changes_and_the_thing_stays() -> None:
    registry, numbers = read_all("The gate is open.", "The gate is closed.", "Fly through the gate.")
    assert numbers == [[1], [1], [1]]
    assert registry.known[1].attrs == ("closed",)


def test_what_a_scorer_gets_is_name_and_what_holds_now() -> None:
    registry, _ = read_all("A man in a red coat waits.", "The man puts on a blue coat.")
    assert registry.known[1].text == "man in red coat, blue coat"


def test_a_number_that_is_neither_known_nor_next_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a known thing nor the next"):
        Registry().add(1, Mention(2, "van"), slot_of)


@given(st.text(max_size=200))
def test_any_text_is_read_and_the_registry_left_alone(text: str) -> None:
    registry, _ = read_all("A man and a red van wait.")
    before = dict(registry.known)
    mentions = read_instruction(text, 2, registry)
    assert registry.known == before
    after = registry.copy()
    for mention in mentions:
        after.add(2, mention, slot_of)
        assert 0 <= mention.start < mention.end <= len(text)
    assert {number: after.known[number].name for number in before} == {n: one.name for n, one in before.items()}


def test_pronouns_name_nobody() -> None:
    (phrase,) = read_phrases("He waits.")
    assert phrase.entity == ""
    assert Known(1, "man_1", "man").text == ""
