"""Writes scripts of six instructions and says what is true of them: which words mean which thing, who is in each frame.

Made for measuring readers of instructions: it has its own vocabulary, larger than any one script shows, and draws on
everything that misleads: aliases, pronouns, "another", attributes that contradict earlier ones, and words that hold
other words ("mother", "brother", "newspaper"). One seed is one script. It knows nothing of how a reader works.
"""

from dataclasses import dataclass, field
from random import Random

INSTRUCTIONS = 6

_MEN = ("man", "gentleman", "guy")
_WOMEN = ("woman", "lady")
_OTHERS = (
    "mother",
    "brother",
    "newspaper seller",
    "boy",
    "girl",
    "driver",
    "officer",
    "nurse",
    "grandmother",
    "cyclist",
)
_HE = frozenset({"man", "gentleman", "guy", "brother", "boy"})
_SHE = frozenset({"woman", "lady", "mother", "girl", "nurse", "grandmother"})
_AGES = ("late 20s", "around 30", "early 40s", "mid 50s", "about 60", "early 20s")
_HAIR = (
    "messy black hair",
    "long blonde hair",
    "short grey hair",
    "curly brown hair",
    "a red beard",
    "a brown ponytail",
)
_COATS = (
    "denim jacket", "grey sweater", "green coat", "yellow raincoat", "black hoodie", "white cardigan", "blue vest",
    "brown blazer",
)  # fmt: skip
_EXTRAS = (
    "glasses", "a coffee cup", "a sketchbook", "a shoulder bag", "an umbrella", "a straw hat", "a newspaper",
    "a red scarf", "a guitar", "a camera",
)  # fmt: skip
_THINGS = (
    "van", "truck", "tower", "beacon", "gate", "boat", "tent", "windmill", "dog", "container", "crane", "bridge", "pad",
    "bicycle", "shed", "turbine", "reservoir", "pavilion",
)  # fmt: skip
_COLOURS = ("red", "blue", "green", "yellow", "white", "black", "orange")
_WAYS = ("slowly", "without other noise", "in the rain", "at night", "in the background", "on the left")
_ACTS = ("waits", "walks on", "bothers nobody", "renews nothing", "smiles", "looks up")
_VEHICLES = frozenset({"van", "truck", "boat", "bicycle", "crane"})


@dataclass(slots=True)
class Actor:
    """A thing of a script as it is now. `said` are the attributes that were told so far and still hold."""

    number: int
    kind: str
    modifier: str = ""
    coat: str = ""
    said: list[str] = field(default_factory=list)
    state: str = ""

    @property
    def is_person(self) -> bool:
        """Whether it wears things."""
        return bool(self.coat)


@dataclass(frozen=True, slots=True)
class TrueMention:
    """Characters `start` to `end` of an instruction mean the thing `number`."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TrueInstruction:
    """One instruction, its mentions in order, and for each chunk the things visible in each of its frames."""

    text: str
    mentions: tuple[TrueMention, ...]
    visible: tuple[tuple[frozenset[int], ...], ...]


@dataclass(slots=True)
class _Text:
    parts: list[str] = field(default_factory=list)
    mentions: list[TrueMention] = field(default_factory=list)
    length: int = 0

    def add(self, text: str) -> None:
        if text.startswith(".") and self.parts and self.parts[-1].endswith(","):
            self.parts[-1] = self.parts[-1][:-1]
            self.length -= 1
        self.parts.append(text)
        self.length += len(text)

    def mention(self, number: int, before: str, name: str, after: str = "") -> None:
        """`before` and `after` belong to the phrase but do not name the thing."""
        self.add(before)
        self.mentions.append(TrueMention(number, self.length, self.length + len(name)))
        self.add(name + after)

    @property
    def text(self) -> str:
        text = "".join(self.parts)
        return text[:1].upper() + text[1:]


def write_script(seed: int, *, chunks: int = 10, frames: int = 3) -> tuple[TrueInstruction, ...]:
    """Six instructions; the same seed is the same script."""
    return _Writer(Random(seed), chunks, frames).write()


class _Writer:
    def __init__(self, random: Random, chunks: int, frames: int) -> None:
        self._random = random
        self._chunks = chunks
        self._frames = frames
        self._actors: list[Actor] = []
        self._coats = random.sample(_COATS, len(_COATS))
        self._hair = random.sample(_HAIR, len(_HAIR))
        self._ages = random.sample(_AGES, len(_AGES))
        self._extras = random.sample(_EXTRAS, len(_EXTRAS))
        self._colours = random.sample(_COLOURS, len(_COLOURS))

    def write(self) -> tuple[TrueInstruction, ...]:
        return tuple(self._instruction(number) for number in range(1, INSTRUCTIONS + 1))

    def _instruction(self, number: int) -> TrueInstruction:
        text = _Text()
        sentences = 1 if number == 1 else self._random.randint(1, 3)
        for sentence in range(sentences):
            if sentence:
                text.add(" ")
            self._sentence(text)
        meant = {mention.number for mention in text.mentions}
        return TrueInstruction(text.text, tuple(text.mentions), self._seen(meant))

    def _seen(self, meant: set[int]) -> tuple[tuple[frozenset[int], ...], ...]:
        return tuple(
            tuple(frozenset(one for one in meant if self._random.random() < 0.6) for _ in range(self._frames))
            for _ in range(self._chunks)
        )

    # Sentences

    def _sentence(self, text: _Text) -> None:
        shape = self._random.randrange(5)
        if shape == 0:
            text.add(self._random.choice(("Fly to ", "Follow ", "Look for ", "Circle ")))
            self._refer(text)
            text.add(f" {self._random.choice(_WAYS)}." if self._random.random() < 0.4 else ".")
        elif shape == 1:
            self._refer(text)
            text.add(f" {self._random.choice(_ACTS)}.")
        elif shape == 2:
            self._refer(text)
            text.add(f" {self._random.choice(('walks past', 'waits beside', 'looks at', 'meets'))} ")
            self._refer(text)
            text.add(".")
        elif shape == 3:
            who = self._refer(text)
            text.add(f" {self._random.choice(_ACTS)}.")
            self._pronoun(text, who)
        else:
            self._change(text)

    def _refer(self, text: _Text) -> Actor:
        old = [actor for actor in self._actors if actor.number not in {m.number for m in text.mentions}]
        if not old or (len(self._actors) < 7 and self._random.random() < 0.45):
            return self._introduce(text)
        actor = self._random.choice(old)
        self._again(text, actor)
        return actor

    # First mentions

    def _introduce(self, text: _Text) -> Actor:
        random = self._random
        number = len(self._actors) + 1
        if self._coats and self._extras and self._hair and self._ages and random.random() < 0.6:
            actor = self._person(text, number)
        else:
            actor = self._thing(text, number)
        self._actors.append(actor)
        return actor

    def _person(self, text: _Text, number: int) -> Actor:
        random = self._random
        taken = {actor.kind for actor in self._actors}
        kind = random.choice(
            [one for one in (*_MEN[:1] * 5, *_WOMEN[:1] * 5, *_OTHERS) if one in ("man", "woman") or one not in taken]
        )
        again = any(actor.kind == kind for actor in self._actors)
        actor = Actor(number, kind, coat=self._coats.pop())
        age, hair, extra = self._ages.pop(), self._hair.pop(), self._extras.pop()
        if again:
            before, name = random.choice((("another ", kind), ("a ", f"second {kind}"), ("a ", f"different {kind}")))
        else:
            actor.modifier = random.choice(("young ", "tall ", "")) if kind in ("man", "woman") else ""
            before, name = "a ", actor.modifier + kind
        form = random.randrange(3)
        if form == 0:
            text.mention(number, before, name, f", {age}, {_bare(hair)}, {actor.coat}, {_bare(extra)},")
            actor.said = [age, hair, actor.coat, extra]
        elif form == 1:
            text.mention(number, before, name, f" in a {actor.coat} with {hair}")
            actor.said = [hair, actor.coat]
        else:
            text.mention(number, before, name, f" wearing a {actor.coat} and carrying {extra}")
            actor.said = [actor.coat, extra]
        return actor

    def _thing(self, text: _Text, number: int) -> Actor:
        taken = {(actor.kind, actor.modifier) for actor in self._actors}
        while True:
            kind, colour = self._random.choice(_THINGS), self._random.choice(self._colours)
            if (kind, colour + " ") not in taken:
                break
        actor = Actor(number, kind, colour + " ")
        again = any(one.kind == kind for one in self._actors)
        before = "another " if again else ("an " if colour[0] in "aeiou" else "a ")
        text.mention(number, before, f"{colour} {kind}")
        return actor

    # Later mentions

    def _again(self, text: _Text, actor: Actor) -> None:
        if not actor.is_person:
            self._thing_again(text, actor)
            return
        names = self._names(actor)
        ways = [(name, f" in the {actor.coat}") for name in names if actor.coat in actor.said]
        ways += [
            (name, f" with the {_bare(extra)}") for name in names for extra in actor.said if extra in (*_EXTRAS, *_HAIR)
        ]
        if self._alone(actor):
            ways += [(name, "") for name in names]
        if actor.number == min(one.number for one in self._actors if one.is_person):
            ways += [("protagonist", ""), ("protagonist", f" in the {actor.coat}")]
        if (
            actor.modifier == "young "
            and sum(one.modifier == "young " and one.kind == actor.kind for one in self._actors) == 1
        ):
            ways.append((f"young {actor.kind}", ""))
        name, after = self._random.choice(ways)
        text.mention(actor.number, "the ", name, after)

    def _names(self, actor: Actor) -> tuple[str, ...]:
        return {"man": _MEN, "woman": _WOMEN}.get(actor.kind, (actor.kind,))

    def _alone(self, actor: Actor) -> bool:
        """Whether its bare kind can mean no other of the script."""

        def like(one: Actor) -> bool:
            if actor.kind == "man":
                return one.is_person and one.kind not in _SHE
            if actor.kind == "woman":
                return one.is_person and one.kind not in _HE
            return one.kind == actor.kind

        return sum(like(one) for one in self._actors) == 1

    def _thing_again(self, text: _Text, actor: Actor) -> None:
        same = [one for one in self._actors if one.kind == actor.kind]
        names = [actor.modifier + actor.kind]
        if len(same) == 1:
            names.append(actor.kind)
        if actor.kind in _VEHICLES and sum(one.kind in _VEHICLES for one in self._actors) == 1:
            names.append("vehicle")
        text.mention(actor.number, "the ", self._random.choice(names))

    def _pronoun(self, text: _Text, actor: Actor) -> None:
        words = (
            ("It",) if not actor.is_person else ("He",) if actor.kind in _HE else ("She",) if actor.kind in _SHE else ()
        )
        if words:
            text.add(" ")
            text.mention(actor.number, "", words[0], f" {self._random.choice(_ACTS)}.")

    def _change(self, text: _Text) -> None:
        people = [actor for actor in self._actors if actor.is_person]
        gates = [actor for actor in self._actors if actor.kind == "gate"]
        if gates and (not people or self._random.random() < 0.5):
            gate = gates[0]
            gate.state = "closed" if gate.state == "open" else "open"
            self._thing_again(text, gate)
            text.add(f" is {gate.state}.")
            return
        if not people or not self._coats:
            self._refer(text)
            text.add(" waits.")
            return
        actor = self._random.choice(people)
        self._again(text, actor)
        old, actor.coat = actor.coat, self._coats.pop()
        actor.said = [*(one for one in actor.said if one != old), actor.coat]
        text.add(
            self._random.choice(
                (f", now in a {actor.coat}, waits.", f" now wears a {actor.coat}.", f" puts on a {actor.coat}.")
            )
        )


def _bare(text: str) -> str:
    return text.removeprefix("a ").removeprefix("an ")


# Scoring


@dataclass(slots=True)
class Tally:
    """Counts over scripts. Precision and recall are of mentions that got the right thing's number."""

    predicted: int = 0
    true: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        """Share of the mentions found that are mentions and mean that thing."""
        return self.right / max(1, self.predicted)

    @property
    def recall(self) -> float:
        """Share of the true mentions that were found with the right thing."""
        return self.right / max(1, self.true)


class Score:
    """Compares a reader's numbers with the true ones of one script: a number means what it was first given for."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._means: dict[int, int] = {}

    def instruction(self, truth: TrueInstruction, found: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
        """Takes (number, start, end) for each mention found; returns those that are wrong."""
        self._tally.true += len(truth.mentions)
        self._tally.predicted += len(found)
        wrong = []
        taken: set[TrueMention] = set()
        for number, start, end in found:
            meant = next(
                (one for one in truth.mentions if one not in taken and start < one.end and one.start < end), None
            )
            known = number in self._means
            true_number = self._means.setdefault(number, meant.number if meant else -1)
            if (
                meant is None
                or true_number != meant.number
                or (not known and meant.number in list(self._means.values())[:-1])
            ):
                wrong.append((number, start, end))
                continue
            taken.add(meant)
            self._tally.right += 1
        return wrong
