"""Which known thing a phrase speaks of. Pure; it knows nothing of texts, models or memory banks.

What a phrase calls a thing must agree with the thing's kind; then 0.3 x (share of what the phrase says that holds of
the thing) + 0.2 x (how exactly the name is one it went by) decides, the one spoken of last among equals. Words alone
give no appearance, so its half of the weight is left out. What contradicts a thing rules it out, but what the phrase
tells as news ("now in a blue coat") does not. "Another" and "a second" are always new; whole words are compared, so a
mother is no "other".
"""

from dataclasses import dataclass

from stillwing_agent.core.memory.reading import lexicon as words
from stillwing_agent.core.memory.reading.noun_phrases import Determiner, Phrase, slot_of, word_slot
from stillwing_agent.core.memory.reading.registry import Known, Registry

ATTRIBUTE_WEIGHT = 0.3
ALIAS_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class _Fit:
    known: Known
    attributes: float
    described: int
    alias: float
    conflicts: int

    @property
    def score(self) -> float:
        if not self.described:
            return self.alias
        whole = ATTRIBUTE_WEIGHT + ALIAS_WEIGHT
        return (ATTRIBUTE_WEIGHT * self.attributes + ALIAS_WEIGHT * self.alias) / whole


def match(phrase: Phrase, registry: Registry) -> list[int]:
    """Numbers of the known things that `phrase` means: one, several for "they", none for a new thing."""
    if phrase.determiner is Determiner.PRONOUN:
        return _pronoun(phrase, registry)
    if phrase.determiner is Determiner.NEW:
        return []
    if phrase.head in words.PROTAGONISTS:
        return _protagonist(phrase, registry)
    fits = [fit for known in registry.known.values() if (fit := _fit(phrase, known)) is not None]
    if phrase.ordinal and phrase.determiner is Determiner.DEFINITE:
        named = [fit for fit in fits if fit.known.name.endswith(f"_{phrase.ordinal}")]
        if named:
            return [named[0].known.number]
    if phrase.other and fits:
        latest = max(fits, key=lambda fit: fit.known.mentioned)
        fits = [fit for fit in fits if fit is not latest]
    allowed = [fit for fit in fits if _may_be(phrase, fit)]
    if not allowed:
        return []
    return [max(allowed, key=lambda fit: (fit.score, fit.known.mentioned)).known.number]


def _may_be(phrase: Phrase, fit: _Fit) -> bool:
    if fit.conflicts:
        return False
    match phrase.determiner:
        case Determiner.DEFINITE:
            return True
        case Determiner.INDEFINITE:
            # A description said again in full is the same thing; "a man" alone is somebody else.
            return fit.described >= 2 and fit.attributes >= 0.99
        case _:
            return fit.alias >= 1.0 or (fit.described >= 1 and fit.attributes >= 0.99)


def _fit(phrase: Phrase, known: Known) -> _Fit | None:
    agreement = _agreement(phrase.kind, known)
    if agreement == 0.0:
        return None
    if phrase.entity in known.aliases:
        agreement = 1.0
    own = _described(known)
    told = [(word, word_slot(word)) for word in phrase.modifiers if _tells(word)]
    told += [(attr, slot_of(attr)) for attr in phrase.attrs if attr not in phrase.news]
    held = sum(_holds(text, own) for text, _ in told)
    slots = {slot: set(text.split()) for text in own if (slot := slot_of(text))}
    slots |= {slot: {word} for word in _modifier_words(known) if (slot := word_slot(word)) and slot not in slots}
    conflicts = sum(
        slot in slots and not set(text.split()) <= slots[slot] and not slots[slot] <= set(text.split())
        for text, slot in told
        if slot != "doing"
    )
    return _Fit(known, held / len(told) if told else 0.0, len(told), agreement, conflicts)


def _tells(word: str) -> bool:
    return word not in words.ORDINALS and word not in ("other", "new", "different", "same", "main")


def _described(known: Known) -> list[str]:
    return [*known.attrs, *_modifier_words(known)]


def _modifier_words(known: Known) -> list[str]:
    """Describing words of the name under which it became known."""
    return known.aliases[0].split()[:-1] if known.aliases else []


def _holds(text: str, own: list[str]) -> bool:
    wanted = set(text.split())
    return any(wanted <= set(said.split()) or (said.split()[-1:] == text.split()[-1:] and set(said.split()) <= wanted)
               for said in own)  # fmt: skip


def _agreement(kind: str, known: Known) -> float:
    """1 for the same kind, less for a wider word that covers it, 0 where it cannot be."""
    if kind == known.kind:
        return 0.8
    if kind in words.HYPERNYMS and known.kind in words.HYPERNYMS[kind]:
        return 0.4
    person = known.kind in words.PERSONS
    if kind == "person" and person:
        return 0.4
    if kind == "man" and person and known.kind not in words.FEMALE:
        return 0.4
    if kind == "woman" and person and known.kind not in words.MALE:
        return 0.4
    heads = {alias.split()[-1] for alias in known.aliases}
    return 0.6 if kind in heads else 0.0


def _protagonist(phrase: Phrase, registry: Registry) -> list[int]:
    for known in registry.known.values():
        if any(phrase.head in alias.split() for alias in known.aliases):
            return [known.number]
    persons = [known.number for known in registry.known.values() if known.kind in words.PERSONS]
    return [min(persons)] if persons else []


def _pronoun(phrase: Phrase, registry: Registry) -> list[int]:
    latest_first = sorted(registry.known.values(), key=lambda known: -known.mentioned)
    persons = [known for known in latest_first if known.kind in words.PERSONS]
    match phrase.kind:
        case "male":
            fitting = [known for known in persons if known.kind not in words.FEMALE]
        case "female":
            fitting = [known for known in persons if known.kind not in words.MALE]
        case "plural":
            return sorted(known.number for known in persons[:2])
        case _:
            fitting = [known for known in latest_first if known.kind not in words.PERSONS]
    return [fitting[0].number] if fitting else []
