"""What a model was taught to do, as its directory's stillwing.json says, and what of an instruction lies outside it.

Read beside `prompt_profile`, all optional: `instructions`, forms of sentences with places for words in braces, as in
"Fly to the {colour} beacon."; `words`, what may stand in each place; `things` and `views`, what it was taught to know
and to see, in words; `simulators`, whose pictures it was taught on. It knows nothing of models, engines or scenes.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillwing_agent.core.types import OutsideRange

_PLACE = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Taught:
    """Sentences, the words that fill their places, things, views, simulators; all empty where nothing is said."""

    instructions: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, ...]] | None = None
    things: tuple[str, ...] = ()
    views: tuple[str, ...] = ()
    simulators: tuple[str, ...] = ()

    @classmethod
    def read(cls, training_range: str) -> "Taught":
        """From the text of a stillwing.json; what has another form than these says nothing."""
        try:
            said = json.loads(training_range or "{}")
        except ValueError:
            return cls()
        if not isinstance(said, dict):
            return cls()
        words = said.get("words")
        places = words.items() if isinstance(words, dict) else ()
        return cls(
            _texts(said.get("instructions")),
            {str(place): _texts(fit) for place, fit in places},
            _texts(said.get("things")),
            _texts(said.get("views")),
            _texts(said.get("simulators")),
        )

    def outside(self, instruction: str, simulator: str = "") -> OutsideRange | None:
        """What of an instruction was not taught; None where all was, or nothing is known of it.

        `simulator`: whose pictures are flown by, "" where that is not known.
        """
        reasons = [*self._outside_words(instruction.strip())]
        if self.simulators and simulator and simulator not in self.simulators:
            reasons.append(f"pictures of {simulator}: it was taught on those of {', '.join(self.simulators)}")
        return OutsideRange(instruction, tuple(reasons), self._in_words()) if reasons else None

    def _outside_words(self, text: str) -> list[str]:
        if not self.instructions:
            folded = text.casefold()
            if not self.things or any(thing.casefold() in folded for thing in self.things):
                return []
            return ["it names none of the things that the model was taught"]
        if any(self._pattern(form).fullmatch(text) for form in self.instructions):
            return []
        known = self._known_words()
        new = dict.fromkeys(word for word in _WORD.findall(text) if word.casefold() not in known)
        words = [f"words it was not taught: {', '.join(new)}"] if new else []
        return ["it has none of the forms of instructions that the model was taught", *words]

    def _pattern(self, form: str) -> re.Pattern[str]:
        """A form as taught, to the letter: for a small model other letters are other tokens."""
        pieces, at = "", 0
        for place in _PLACE.finditer(form):
            fit = (self.words or {}).get(place[1], ())
            pieces += re.escape(form[at : place.start()]) + f"(?:{'|'.join(map(re.escape, fit)) or '(?!)'})"
            at = place.end()
        return re.compile(pieces + re.escape(form[at:]))

    def _known_words(self) -> set[str]:
        texts = [_PLACE.sub(" ", form) for form in self.instructions]
        texts += [word for fit in (self.words or {}).values() for word in fit]
        return {word.casefold() for text in (*texts, *self.things) for word in _WORD.findall(text)}

    def _in_words(self) -> tuple[str, ...]:
        lines = [f"instruction: {form}" for form in self.instructions]
        lines += [f"{place}: {', '.join(fit)}" for place, fit in (self.words or {}).items()]
        if self.things:
            lines.append(f"things: {', '.join(self.things)}")
        return (*lines, *(f"view: {view}" for view in self.views))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(one for one in value if isinstance(one, str) and one) if isinstance(value, list) else ()
