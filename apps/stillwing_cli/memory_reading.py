"""How `stillwing memory import` reads the words of instructions: by rule, as the agent does without a model."""

from collections.abc import Sequence
from dataclasses import replace

from stillwing_agent.core.memory.reading.noun_phrase_reader import read_instruction
from stillwing_agent.core.memory.reading.noun_phrases import slot_of
from stillwing_agent.core.memory.reading.registry import Registry
from stillwing_memory.core.entities import Attribute
from stillwing_memory.core.instructions import ThingMention


class ReadingByRule:
    """See `stillwing_memory.core.interchange.bank_import.Reading`."""

    def things(self, prompts: Sequence[str]) -> list[tuple[ThingMention, ...]]:
        """What each instruction is about, things known again by name and attributes."""
        registry, about = Registry(), []
        for number, text in enumerate(prompts, 1):
            said: dict[int, ThingMention] = {}
            for mention in read_instruction(text, number, registry):
                thing = registry.add(number, mention, slot_of)
                attributes = tuple(Attribute(one) for one in mention.attrs)
                label = mention.entity or thing.aliases[0]
                known = said.get(mention.number, ThingMention(label, str(mention.number), kind=thing.kind))
                said[mention.number] = replace(known, attributes=(*known.attributes, *attributes))
            about.append(tuple(said.values()))
        return about

    def slot_of(self, attribute: str, /) -> str:
        """What an attribute is about."""
        return slot_of(attribute)
