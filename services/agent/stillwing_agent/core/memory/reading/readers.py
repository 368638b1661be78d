"""Readers of instructions by name: the one place that knows them all."""

from stillwing_agent.core.memory.reading.model_reader import Ask, ModelReader
from stillwing_agent.core.memory.reading.noun_phrase_reader import NounPhraseReader
from stillwing_agent.core.memory.reading.registry import InstructionReader
from stillwing_common.errors import UnknownBackend


def make_reader(name: str, ask: Ask) -> InstructionReader:
    """`noun_phrases` or `model`, which asks with `ask`. Raises UnknownBackend."""
    if name == "noun_phrases":
        return NounPhraseReader()
    if name == "model":
        return ModelReader(ask)
    raise UnknownBackend(f"no reader of instructions is called {name!r}; known: noun_phrases, model", name=name)
