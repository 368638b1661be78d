"""Lets the reader without a model read generated scripts, and counts how often it knew who was meant."""

from collections.abc import Callable, Iterable

from stillwing_agent.core.memory.reading.base import Registry
from stillwing_agent.core.memory.reading.deterministic import read_instruction
from stillwing_agent.core.memory.reading.noun_phrases import slot_of
from stillwing_lab.memory.scripts import Score, Tally, write_script


def read_scripts(seeds: Iterable[int], renumber: Callable[[int], int] = int) -> Tally:
    """Mentions found, true and right over the scripts of `seeds`; `renumber` spoils the numbers, to test the score."""
    tally = Tally()
    for seed in seeds:
        registry, score = Registry(), Score(tally)
        for number, truth in enumerate(write_script(seed), 1):
            mentions = read_instruction(truth.text, number, registry)
            for mention in mentions:
                registry.add(number, mention, slot_of)
            score.instruction(truth, [(renumber(one.number), one.start, one.end) for one in mentions])
    return tally
