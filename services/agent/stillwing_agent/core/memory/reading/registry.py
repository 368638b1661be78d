"""What a mission's instructions are about: things, named and described, each under one number for the whole mission.

A reader finds the things an instruction mentions and says for each which known thing it is. Two readers share this
interface: `noun_phrases.NounPhraseReader`, which knows a fixed list of words and always reads alike, and
`model.ModelReader`, which asks the model under a JSON schema. This module knows nothing of either, of memory banks, of
frames or of vehicles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mention:
    """One place in an instruction where a thing is spoken of.

    `number` is the thing's number in the mission: that of a known thing, or the next free one for a new thing.
    `entity` is how it is called there ("young man"; "" for a pronoun), `attrs` what is said of it. `start` and `end`
    are the characters of the text that name it, 0 and 0 where the reader cannot say.
    """

    number: int
    entity: str
    attrs: tuple[str, ...] = ()
    kind: str = "thing"
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something said of a thing, until an instruction contradicts it (`until_instruction` None: it holds still).

    `slot` names what it is about ("jacket", "hair"); "" where nothing can contradict it.
    """

    text: str
    slot: str
    until_instruction: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A thing of this mission. `name` is its kind and its place among its kind: "man_1".

    `entity_id` is the memory bank's id for it, "" until the bank has given one. `mentioned` rises with every mention
    of anything: of two things the larger was spoken of last.
    """

    number: int
    name: str
    kind: str
    aliases: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    entity_id: str = ""
    mentioned: int = 0

    @property
    def attrs(self) -> tuple[str, ...]:
        """What holds of it now."""
        return tuple(one.text for one in self.attributes if one.until_instruction is None)

    @property
    def text(self) -> str:
        """What a scorer compares frames with: its first name and what holds of it now."""
        return ", ".join((*self.aliases[:1], *self.attrs))


@dataclass(slots=True)
class Registry:
    """The things of one mission, by number."""

    known: dict[int, Known] = field(default_factory=dict)

    def next_number(self) -> int:
        """The number that a new thing would get: 1, 2, 3, …"""
        return len(self.known) + 1

    def copy(self) -> "Registry":
        """One that can be changed without changing this one."""
        return Registry(dict(self.known))

    def add(self, instruction: int, mention: Mention, slot_of: "SlotOf") -> Known:
        """Take one mention in: a new thing, or a known one with its aliases and attributes appended.

        An attribute that contradicts an older one of the same slot ends that one's validity; nothing is forgotten.
        Raises ValueError for a number that is neither known nor the next.
        """
        if mention.number not in self.known:
            if mention.number != self.next_number():
                raise ValueError(f"{mention.number} is neither a known thing nor the next one, {self.next_number()}")
            ordinal = 1 + sum(one.kind == mention.kind for one in self.known.values())
            self.known[mention.number] = Known(mention.number, f"{mention.kind}_{ordinal}", mention.kind)
        old = self.known[mention.number]
        attributes = list(old.attributes)
        for text in mention.attrs:
            slot = slot_of(text)
            current = [place for place, one in enumerate(attributes) if one.until_instruction is None]
            if any(attributes[place].text == text for place in current):
                continue
            for place in current:
                if slot and attributes[place].slot == slot:
                    attributes[place] = replace(attributes[place], until_instruction=instruction)
            attributes.append(Attribute(text, slot))
        aliases = old.aliases
        if mention.entity and mention.entity not in aliases:
            aliases = (*aliases, mention.entity)
        latest = 1 + max((one.mentioned for one in self.known.values()), default=0)
        thing = replace(old, aliases=aliases, attributes=tuple(attributes), mentioned=latest)
        self.known[mention.number] = thing
        return thing


class SlotOf(Protocol):
    """Says what an attribute is about, so that two of one slot contradict each other; "" contradicts nothing."""

    def __call__(self, attr: str, /) -> str: ...


class InstructionReader(Protocol):
    """Reads one instruction of a mission."""

    async def read(self, text: str, instruction: int, registry: Registry) -> Sequence[Mention]:
        """The mentions in `text`, in order, each with its number; `registry` is left as it is.

        Numbers are those of `registry`, and for new things the next free ones in order of first mention.
        """
