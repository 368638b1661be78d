"""Finds the things an English instruction speaks of: noun phrases, pronouns, and what is said of each. Pure and small.

It reads left to right once, without a model: a noun phrase is an optional determiner, describing words and a head noun;
clothes, looks and belongings said of somebody are attributes, everything else with an article or a known noun is a
thing. The words it knows are in `lexicon`. Singular nouns only: a plural ("two men", "the trees") names no one thing
and is passed over. It decides nothing about which known thing is meant; `matching` does.
"""

import re
from dataclasses import dataclass, field
from enum import Enum

from stillwing_agent.core.memory.reading import lexicon as words

_TOKEN = re.compile(r"'s\b|[^\W_]+(?:[-'][^\W_]+)*|[.,;:!?…()]")
_SENTENCE_ENDS = frozenset(".;:!?…()")
_GENERIC = {"guy": "man", "gentleman": "man", "lady": "woman"}
_VERB_ENDINGS = ("s", "ing", "ed")
_CHANGE = frozenset({"now"})
_DRESSING = frozenset({("puts", "on"), ("put", "on"), ("changes", "into"), ("changed", "into")})


class Determiner(Enum):
    """How a thing is introduced."""

    NEW = "another, a second"
    INDEFINITE = "a, an"
    DEFINITE = "the, his"
    NONE = "no article"
    PRONOUN = "he, she, it, they"


@dataclass(slots=True)
class Phrase:
    """One mention as read. `entity` is what it is called, `modifiers` its describing words, `head` its noun.

    `news` are those of `attrs` that say what is so now ("now in a blue coat", "is open"), and not which thing is meant.
    `ordinal` is 2 for "second"; `other` for "the other man". `start` and `end` are characters of the text.
    """

    determiner: Determiner
    head: str
    kind: str
    modifiers: tuple[str, ...] = ()
    attrs: list[str] = field(default_factory=list)
    entity: str = ""
    start: int = 0
    end: int = 0
    ordinal: int = 0
    other: bool = False
    news: set[str] = field(default_factory=set)

    @property
    def is_person(self) -> bool:
        """Whether it can wear and carry things."""
        return self.kind in words.PERSONS or self.head in words.PROTAGONISTS or self.determiner is Determiner.PRONOUN


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int


def slot_of(attr: str) -> str:
    """What an attribute is about, where a second one contradicts the first; "" where both may hold."""
    parts = attr.casefold().split()
    if not parts:
        return ""
    last = parts[-1]
    if any(word in words.AGE_WORDS for word in parts) or (last.rstrip("s").isdigit()):
        return "age"
    for word in parts:
        if word in words.STATES and len(parts) <= 2:
            return words.STATES[word]
    if parts[0] in words.VERBS:
        return "doing"
    if last in words.OUTERWEAR:
        return "outerwear"
    if last == "hair":
        return "hair colour" if words.COLOURS & set(parts) else ""
    if last in words.EXCLUSIVE:
        return last
    if len(parts) == 1:
        return word_slot(last)
    return ""


def word_slot(word: str) -> str:
    """What a describing word is about ("red": colour); "" where it excludes no other."""
    if word in words.COLOURS:
        return "colour"
    if word in words.STATES:
        return words.STATES[word]
    if word in ("young", "old", "elderly", "middle-aged"):
        return "years"
    if word in ("tall", "short"):
        return "height"
    if word in ("big", "large", "huge", "small", "little", "tiny"):
        return "size"
    return ""


def read_phrases(text: str) -> list[Phrase]:
    """Every mention in `text`, in order, with its attributes."""
    return _Reader(text).read()


class _Reader:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self._tokens = [_Token(m.group().casefold(), m.start(), m.end()) for m in _TOKEN.finditer(text)]
        self._phrases: list[Phrase] = []
        self._owner: Phrase | None = None
        self._attaching = ""
        self._listing = False
        self._changed = False
        self._possessed = False

    def read(self) -> list[Phrase]:
        place = 0
        while place < len(self._tokens):
            place = self._step(place)
        for phrase in self._phrases:
            _name(phrase)
        return self._phrases

    def _word(self, place: int) -> str:
        return self._tokens[place].text if 0 <= place < len(self._tokens) else "."

    def _step(self, place: int) -> int:
        """Read what begins at `place`; returns where to go on."""
        word = self._word(place)
        if word in _SENTENCE_ENDS:
            self._owner, self._attaching, self._listing, self._changed = None, "", False, False
            return place + 1
        if word == ",":
            return self._comma(place)
        if word == "'s":
            self._possessed = True
            return place + 1
        if word in _CHANGE:
            self._changed = True
            return place + 1
        if word in words.PRONOUNS:
            token = self._tokens[place]
            self._found(Phrase(Determiner.PRONOUN, word, words.PRONOUNS[word], start=token.start, end=token.end))
            return place + 1
        if word in words.ATTACHING and self._owner is not None:
            self._attaching = word
            return place + 1
        if self._owner is not None and word in words.STATES and self._word(place - 1) in ("is", "are", "was", "now"):
            self._attribute(word, news=True)
            return place + 1
        found = self._noun_phrase(place)
        if found is not None:
            return found
        if word in words.CONJUNCTIONS:
            self._listing = False
        elif word in words.PREPOSITIONS or word in words.VERBS:
            self._attaching, self._listing = "", False
        return place + 1

    # Lists after a comma

    def _comma(self, place: int) -> int:
        """After a comma a description may go on ("a man, late 20s, denim jacket"), or something else begins."""
        end = place + 1
        while self._word(end) not in _SENTENCE_ENDS and self._word(end) != ",":
            end += 1
        segment = [token.text for token in self._tokens[place + 1 : end]]
        self._attaching = ""
        self._changed = False
        if self._owner is None or not segment:
            return place + 1
        if segment[0] in _CHANGE:
            return place + 1
        if self._listing and self._describes(segment):
            self._attribute(" ".join(word for word in segment if word not in words.INDEFINITE | {"the"}))
            return end
        if segment[0] in words.CONJUNCTIONS:
            self._listing = False
        return place + 1

    def _describes(self, segment: list[str]) -> bool:
        """Whether a piece between commas says something of the thing before it and mentions no other."""
        first = segment[0]
        if first in words.ATTACHING:
            return False
        if any(word in words.PERSONS | words.THINGS | words.PROTAGONISTS for word in segment):
            return False
        if any(word in words.CONJUNCTIONS or word in words.PRONOUNS for word in segment):
            return False
        if first in words.VERBS:
            return segment[-1] in words.ACCESSORIES or not set(segment) & (words.INDEFINITE | words.DEFINITE)
        if words.AGE_WORDS & set(segment) or segment[-1].rstrip("s").isdigit():
            return True
        if segment[-1] in words.ACCESSORIES:
            return first not in words.DEFINITE
        return first in words.ADJECTIVES and len(segment) <= 2

    # Noun phrases

    def _noun_phrase(self, place: int) -> int | None:
        determiner, begin = self._determiner(place)
        run: list[str] = []
        end = begin
        while end < len(self._tokens) and len(run) < 6 and not self._stops(end, run, determiner):
            run.append(self._word(end))
            end += 1
        head_at = self._head(run, determiner)
        if head_at is None:
            return None
        run = run[: head_at + 1]
        head, modifiers = run[-1], tuple(run[:-1])
        end = begin + len(run)
        if self._is_attribute(head):
            self._attribute(self._activity(place) + " ".join(run))
            return end
        if determiner is Determiner.INDEFINITE and words.NEW_AFTER_INDEFINITE & set(modifiers):
            determiner = Determiner.NEW
        kind = _GENERIC.get(head, head)
        self._found(
            Phrase(
                determiner,
                head,
                kind,
                modifiers,
                start=self._tokens[begin].start,
                end=self._tokens[end - 1].end,
                ordinal=next((words.ORDINALS[word] for word in modifiers if word in words.ORDINALS), 0),
                other="other" in modifiers,
            )
        )
        return end

    def _determiner(self, place: int) -> tuple[Determiner, int]:
        word = self._word(place)
        if word in words.ALWAYS_NEW:
            return Determiner.NEW, place + 1
        if word in words.INDEFINITE:
            return Determiner.INDEFINITE, place + 1
        if word in words.DEFINITE:
            return Determiner.DEFINITE, place + 1
        if self._possessed:
            self._possessed = False
            return Determiner.DEFINITE, place
        return Determiner.NONE, place

    def _stops(self, place: int, run: list[str], determiner: Determiner) -> bool:
        word = self._word(place)
        if word in _SENTENCE_ENDS or word in (",", "'s") or word in _CHANGE:
            return True
        if word in words.DEFINITE | words.INDEFINITE | words.CONJUNCTIONS | words.ATTACHING or word in words.PRONOUNS:
            return True
        if word in words.PREPOSITIONS:
            return True
        return word in words.VERBS and (bool(run) or determiner is Determiner.NONE)

    def _head(self, run: list[str], determiner: Determiner) -> int | None:
        known = words.PERSONS | words.THINGS | words.PROTAGONISTS | words.ACCESSORIES
        for place in range(len(run) - 1, -1, -1):
            if run[place] in known:
                return place
        if determiner is Determiner.NONE:
            return None
        # No word of it is known: the first that only describes nothing is the noun, and the noun may be of two words.
        first = next((place for place, word in enumerate(run) if word not in words.ADJECTIVES), len(run))
        last = first
        while last + 1 < len(run) and not run[last + 1].endswith(_VERB_ENDINGS):
            last += 1
        if last >= len(run) or run[last] in words.NO_THING or not run[last].isalpha():
            return None
        return last

    def _is_attribute(self, head: str) -> bool:
        if self._owner is None:
            return False
        if head in words.ACCESSORIES:
            return self._owner.is_person or bool(self._attaching)
        return bool(self._attaching) and head not in words.PERSONS | words.VEHICLES | words.ANIMALS

    def _activity(self, place: int) -> str:
        """ "sits on " before a bench: the verb belongs to what is said."""
        before, verb = self._word(place - 1), self._word(place - 2)
        if (verb, before) in _DRESSING:
            self._changed = True
            return ""
        if self._attaching or before not in words.PREPOSITIONS or verb not in words.VERBS:
            return ""
        return f"{verb} {before} "

    def _attribute(self, text: str, *, news: bool = False) -> None:
        assert self._owner is not None
        if text not in self._owner.attrs:
            self._owner.attrs.append(text)
        if self._changed or news:
            self._owner.news.add(text)
        elif self._attaching and not self._owner.entity:
            self._owner.entity = f"{self._attaching} {text}"

    def _found(self, phrase: Phrase) -> None:
        attached = bool(self._attaching)
        phrase.attrs.extend(word for word in phrase.modifiers if word in words.STATES)
        self._phrases.append(phrase)
        if not attached or phrase.is_person:
            self._owner, self._listing = phrase, True
        self._attaching, self._changed, self._possessed = "", False, False


def _name(phrase: Phrase) -> None:
    """Give the phrase its name. A bare kind tells nobody apart; it takes what was said first: "man in grey sweater"."""
    said_first, phrase.entity = phrase.entity, ""
    if phrase.determiner is Determiner.PRONOUN:
        return
    modifiers = phrase.modifiers
    if phrase.determiner is Determiner.NEW and not words.NEW_AFTER_INDEFINITE & set(modifiers):
        modifiers = ("another", *modifiers)
    name = " ".join((*modifiers, phrase.head))
    if not modifiers and said_first and phrase.head not in words.PROTAGONISTS:
        preposition = "in" if said_first.startswith("in ") else "with"
        name = f"{phrase.head} {preposition} {said_first.split(' ', 1)[1]}"
    phrase.entity = name
