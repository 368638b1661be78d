"""python -m pytest tests/unit/agent/test_reading_golden.py

Three instructions about three people: who is who, under which names, with which attributes.
"""

from stillwing_agent.core.memory.reading.noun_phrase_reader import read_instruction
from stillwing_agent.core.memory.reading.noun_phrases import slot_of
from stillwing_agent.core.memory.reading.registry import Registry

WALK_THROUGH = (
    "young man, late 20s, messy black hair, denim jacket, sits on a park bench, sketchbook",
    "the protagonist in the denim jacket looks up; another man, around 30, glasses, grey sweater, coffee cup",
    "the protagonist and the man in the grey sweater talk; "
    "a young woman, late 20s, long hair, white dress, shoulder bag",
)


def read_all(texts: tuple[str, ...]) -> Registry:
    registry = Registry()
    for instruction, text in enumerate(texts, 1):
        for mention in read_instruction(text, instruction, registry):
            registry.add(instruction, mention, slot_of)
    return registry


def test_who_is_in_which_instruction() -> None:
    registry = read_all(WALK_THROUGH)
    numbers = [[one.number for one in registry.of_instruction(instruction)] for instruction in (1, 2, 3)]
    assert numbers == [[1], [1, 2], [1, 2, 3]]


def test_names_and_aliases() -> None:
    known = read_all(WALK_THROUGH).known
    assert {number: one.name for number, one in known.items()} == {1: "man_1", 2: "man_2", 3: "woman_1"}
    assert known[1].aliases == ("young man", "protagonist")
    assert known[2].aliases == ("another man", "man in grey sweater")
    assert known[3].aliases == ("young woman",)


def test_attributes_are_appended_and_said_once() -> None:
    registry = read_all(WALK_THROUGH)
    assert registry.known[1].attrs == (
        "late 20s", "messy black hair", "denim jacket", "sits on park bench", "sketchbook"
    )  # fmt: skip
    assert registry.known[2].attrs == ("around 30", "glasses", "grey sweater", "coffee cup")
    assert registry.known[3].attrs == ("late 20s", "long hair", "white dress", "shoulder bag")
    assert [(one.entity, one.attrs) for one in registry.of_instruction(2)] == [
        ("protagonist", ("denim jacket",)),
        ("another man", ("around 30", "glasses", "grey sweater", "coffee cup")),
    ]
