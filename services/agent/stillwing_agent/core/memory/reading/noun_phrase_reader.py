"""The reader that needs no model: noun phrases, then matching by name and attributes. The same text reads alike always.

It knows nothing of frames or of where things are; see `lexicon` for the words it knows.
"""

from collections.abc import Sequence
from unicodedata import name

from stillwing_agent.core.memory.reading.lexicon import PROTAGONISTS
from stillwing_agent.core.memory.reading.matching import match
from stillwing_agent.core.memory.reading.noun_phrases import Determiner, Phrase, read_phrases, slot_of
from stillwing_agent.core.memory.reading.registry import Mention, Registry
from stillwing_common.errors import Unsupported


class NounPhraseReader:
    """An `InstructionReader` by rule, for English."""

    async def read(self, text: str, instruction: int, registry: Registry) -> Sequence[Mention]:
        """See `InstructionReader`. Raises Unsupported for text that is not written in Latin letters for the most part:
        it would find nothing there, or take a whole clause for a name.
        """
        if not _in_latin_letters(text):
            raise Unsupported(
                "the rule reader reads English, not this: what the instruction is about is not remembered. "
                "The reader `model` has the model read it",
                reader="noun_phrases",
            )
        return read_instruction(text, instruction, registry)


def read_instruction(text: str, instruction: int, registry: Registry) -> list[Mention]:
    """The mentions in `text`; later ones may mean what earlier ones brought in. `registry` is left as it is."""
    draft = registry.copy()
    mentions = []
    for phrase in read_phrases(text):
        numbers = match(phrase, draft)
        if not numbers and phrase.determiner is not Determiner.PRONOUN:
            numbers = [draft.next_number()]
        for number in numbers:
            mention = _mention(phrase, number)
            draft.add(instruction, mention, slot_of)
            mentions.append(mention)
    return mentions


def _in_latin_letters(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return 2 * sum(name(letter, "").startswith("LATIN") for letter in letters) >= len(letters)


def _mention(phrase: Phrase, number: int) -> Mention:
    kind = "person" if phrase.kind in PROTAGONISTS else phrase.kind
    return Mention(number, phrase.entity, tuple(phrase.attrs), kind, phrase.start, phrase.end)
