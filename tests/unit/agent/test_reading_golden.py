"""python -m pytest tests/unit/agent/test_reading_golden.py

Three instructions about three people: who is who, under which names, with which attributes.
"""

from stillwing_agent.core.memory.reading.noun_phrase_reader import read_instruction
from stillwing_agent.core.memory.reading.noun_phrases import slot_of
from stillwing_agent.core.memory.reading.registry import Mention, Registry

WALK_THROUGH = (
    "young man, late 20s, messy black hair, denim jacket, sits on a park bench, sketchbook",
    "the protagonist in the denim jacket looks up; another man, around 30, glasses, grey sweater, coffee cup",
    "the protagonist and the man in the grey sweater talk; "
    "a young woman, late 20s, long hair, white dress, shoulder bag",
)


def read_all(texts: tuple[str, ...]) -> tuple[Registry, list[list[Mention]]]:
    """The registry after them, and the mentions of each."""
    registry, said = Registry(), []
    for instruction, text in enumerate(texts, 1):
        said.append(read_instruction(text, instruction, registry))
        for mention in said[-1]:
            registry.add(instruction, mention, slot_of)
    return registry, said


def test_who_is_in_which_instruction() -> None:
    _, said = read_all(WALK_THROUGH)
    assert [sorted({one.number for one in mentions}) for mentions in said] == [[1], [1, 2], [1, 2, 3]]


def test_names_and_aliases() -> None:
    known = read_all(WALK_THROUGH)[0].known
    assert {number: one.name for number, one in known.items()} == {1: "man_1", 2: "man_2", 3: "woman_1"}
    assert known[1].aliases == ("young man", "protagonist")
    assert known[2].aliases == ("another man", "man in grey sweater")
    assert known[3].aliases == ("young woman",)


def test_attributes_are_appended_and_said_once() -> None:
    registry, said = read_all(WALK_THROUGH)
    assert registry.known[1].attrs == (
        "late 20s", "messy black hair", "denim jacket", "sits on park bench", "sketchbook"
    )  # fmt: skip
    assert registry.known[2].attrs == ("around 30", "glasses", "grey sweater", "coffee cup")
    assert registry.known[3].attrs == ("late 20s", "long hair", "white dress", "shoulder bag")
    assert [(one.entity, one.attrs) for one in said[1]] == [
        ("protagonist", ("denim jacket",)),
        ("another man", ("around 30", "glasses", "grey sweater", "coffee cup")),
    ]
