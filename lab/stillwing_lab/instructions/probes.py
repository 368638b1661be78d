"""The six probes: what is asked, in three variants each, and which verdict is passed on the answer.

Variants differ in what they ask for, so that no fixed answer follows all of them. It knows nothing of models.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stillwing_lab.instructions import verdicts
from stillwing_lab.instructions.verdicts import Verdict


@dataclass(frozen=True, slots=True)
class Shown:
    """What is known of the video. `people` None: nobody counted them."""

    duration_s: float
    people: int | None


@dataclass(frozen=True, slots=True)
class Variant:
    """One question, and how its answer is judged."""

    prompt: str
    judge: Callable[[str, Shown], Verdict]


@dataclass(frozen=True, slots=True)
class InstructionProbe:
    """One kind of instruction; it is followed where all variants are."""

    name: str
    claim: str
    variants: tuple[Variant, ...]


def _people(prompt: str) -> Variant:
    return Variant(f"{prompt} If there are none, say so.", lambda text, shown: verdicts.people(text, shown.people))


def _timestamps(moments: int) -> Variant:
    return Variant(
        f"Name {moments} moments of the video, one a line, each beginning with its time in seconds in square brackets, "
        "like [3.5 s]. Write nothing else.",
        lambda text, shown: verdicts.timestamps(text, moments, shown.duration_s),
    )


def _numbered(steps: int) -> Variant:
    return Variant(
        f"How would a drone look at everything here from near? Answer in exactly {steps} steps, one a line, numbered "
        f"1. to {steps}., and write nothing else.",
        lambda text, shown: verdicts.numbered(text, steps),
    )


def _bold(pieces: int) -> Variant:
    words = "one word" if pieces == 1 else f"{pieces} words"
    return Variant(
        f"Describe the scene in one sentence with exactly {words} in bold, **like this**.",
        lambda text, shown: verdicts.bold(text, pieces),
    )


def _language(name: str) -> Variant:
    return Variant(f"Describe the scene in {name}.", lambda text, shown: verdicts.language(text, name))


def _length(low: int, high: int) -> Variant:
    return Variant(
        f"Describe the scene in {low} to {high} words.", lambda text, shown: verdicts.length(text, low, high)
    )


PROBES: tuple[InstructionProbe, ...] = (
    InstructionProbe(
        "people",
        "speaks of people alone",
        (
            _people("Describe the people in the video and nothing else."),
            _people("Who is in the video? Leave out everything but the people."),
            _people("Ignore the scenery. What are the people doing?"),
        ),
    ),
    InstructionProbe("timestamps", "gives times in brackets", (_timestamps(2), _timestamps(3), _timestamps(4))),
    InstructionProbe("numbered steps", "numbers its steps", (_numbered(3), _numbered(4), _numbered(5))),
    InstructionProbe("bold", "puts so many words in bold", (_bold(1), _bold(2), _bold(3))),
    InstructionProbe(
        "language",
        "answers in the language asked for",
        (_language("Chinese"), _language("Russian"), _language("Japanese")),
    ),
    InstructionProbe("length", "keeps to a length", (_length(5, 10), _length(20, 30), _length(50, 70))),
)
