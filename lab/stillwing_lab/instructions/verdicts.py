"""Whether a text follows an instruction about its form or focus. Pure functions of text, that err on the strict side.

Each returns a `Verdict` with a reason. They judge form and focus, never whether what is said of a video is true; of
people alone it may be told how many there are. They know nothing of models or prompts.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

_LEAST_DISTINCT = 0.35
"""Share of different words below which a text of some length only says the same again and again."""
_REPEATS_FROM = 10

_LEAST_ABOUT_PEOPLE = 0.75
_LEAST_IN_SCRIPT = 0.8


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it was followed, and why."""

    followed: bool
    why: str


def words(text: str) -> list[str]:
    """Words as one counts them: letters and digits, with apostrophes and hyphens inside."""
    return re.findall(r"[^\W_]+(?:['’\-][^\W_]+)*", text)


def numbered(text: str, steps: int) -> Verdict:
    """Exactly `steps` lines, numbered 1, 2, 3, …, each with words, and nothing else."""
    lines = _lines(text)
    found = [re.match(r"(\d+)[.)]\s+(.*)", line) for line in lines]
    numbers = [int(match[1]) for match in found if match]
    if len(numbers) < len(lines):
        return _no("there are lines without a number") if numbers else _no("nothing is numbered")
    if numbers != list(range(1, steps + 1)):
        return _no(f"numbers are {_some(numbers)}, not 1 to {steps}")
    if not all(words(match[2]) for match in found if match):
        return _no("a step has no words")
    return _repeats(text) or _yes(f"{steps} steps")


def timestamps(text: str, moments: int, duration_s: float) -> Verdict:
    """Exactly `moments` lines, each "[12.5 s] words", times rising and within a video of `duration_s`."""
    lines = _lines(text)
    found = [re.match(r"\[(\d{1,7}(?:\.\d+)?)\s?s\]\s*(.*)", line) for line in lines]
    times = [float(match[1]) for match in found if match]
    if len(times) < len(lines):
        return _no("there are lines without a time in brackets") if times else _no("there are no times in brackets")
    if len(times) != moments:
        return _no(f"{len(times)} moments, not {moments}")
    if not all(words(match[2]) for match in found if match):
        return _no("a moment has no words")
    if max(times) > duration_s:
        return _no(f"{max(times):g} s is after the video's end, {duration_s:g} s")
    if any(later <= earlier for earlier, later in pairwise(times)):
        return _no(f"times do not rise: {_some(times)}")
    return _repeats(text) or _yes(f"{moments} moments")


def bold(text: str, pieces: int) -> Verdict:
    """Exactly `pieces` stretches in bold Markdown, each with words, in a text that is not bold throughout."""
    parts = text.split("**")
    if len(parts) % 2 == 0:
        return _no("a ** is never closed")
    within, around = parts[1::2], parts[::2]
    if len(within) != pieces:
        return _no(f"{len(within)} in bold, not {pieces}")
    for part in within:
        if not words(part) or part != part.strip() or "\n" in part:
            return _no(f"{part!r:.40} is not bold in Markdown")
    if not any(words(part) for part in around):
        return _no("everything is bold")
    return _repeats(text) or _yes(f"{pieces} in bold")


def length(text: str, low: int, high: int) -> Verdict:
    """From `low` to `high` words."""
    count = len(words(text))
    if not low <= count <= high:
        return _no(f"{count} words, not {low} to {high}")
    return _repeats(text) or _yes(f"{count} words")


SCRIPTS: Mapping[str, tuple[str, ...]] = {
    "Chinese": ("CJK UNIFIED",),
    "Japanese": ("HIRAGANA", "KATAKANA", "CJK UNIFIED"),
    "Korean": ("HANGUL",),
    "Russian": ("CYRILLIC",),
    "Greek": ("GREEK",),
    "Arabic": ("ARABIC",),
    "Hindi": ("DEVANAGARI",),
}
"""Languages that their script tells, by how the names of its letters begin in Unicode."""

_KANA = ("HIRAGANA", "KATAKANA")


def language(text: str, name: str) -> Verdict:
    """Written in a language of `SCRIPTS`: four letters in five are of its script. Raises KeyError for another name."""
    names = [unicodedata.name(character, "") for character in text if character.isalpha()]
    if len(names) < 4:
        return _no("there are hardly any letters")
    share = sum(letter.startswith(SCRIPTS[name]) for letter in names) / len(names)
    kana = sum(letter.startswith(_KANA) for letter in names) / len(names)
    if share < _LEAST_IN_SCRIPT:
        return _no(f"{share:.0%} of the letters are {name}")
    if name == "Japanese" and kana == 0:
        return _no("there is no kana in it, so it is Chinese")
    return _repeats(text) or _yes(f"{share:.0%} of the letters are {name}")


_PEOPLE = (
    "people|persons?|mans?|men|women|woman|boys?|girls?|child|children|kids?|humans?|pedestrians?|someone|somebody|anyone"
    "|anybody|adults?|crowds?|workers?|cyclists?|players?|hikers?|drivers?|runners?|walkers?|riders?|pilots?|soldiers?"
    "|passers-by|passer-by|bystanders?|individuals?|figures?|couples?|famil(?:y|ies)|gentlem[ae]n|lad(?:y|ies)|bab(?:y|ies)"
)  # fmt: skip
_NOBODY = re.compile(r"\b(?:nobody|no[ -]one|no[ -]body)\b", re.IGNORECASE)
_PERSON = re.compile(rf"\b(?:{_PEOPLE})\b", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(?:he|she|they|him|her|them|his|hers|their|theirs|who|whose|both|each)\b", re.IGNORECASE)
_DENIED = re.compile(
    rf"\b(?:no|not|without|zero|never|none|neither|cannot|\w+n['’]t)\b(?:\W+\w+){{0,4}}?\W+(?:{_PEOPLE})\b"
    rf"|\b(?:{_PEOPLE})\b(?:\W+\w+){{0,3}}?\W+(?:not|\w+n['’]t|absent|missing)\b",
    re.IGNORECASE,
)


def people(text: str, shown: int | None) -> Verdict:
    """Speaks of people and of little else; where `shown` is 0, says that there are none, and nothing of any.

    `shown` None: not known, so that either will do.
    """
    sentences = [part for part in re.split(r"(?<=[.!?。])\s+|\n+", text) if words(part)]
    if not sentences or len(words(text)) < 2:
        return _no("there are no sentences")
    clauses = [
        clause for part in sentences for clause in re.split(r"[.;,:!?]|\bbut\b|\band\b", part, flags=re.IGNORECASE)
    ]
    denied = [bool(_NOBODY.search(clause) or _DENIED.search(clause)) for clause in clauses]
    affirmed = [bool(_PERSON.search(clause)) and not no for clause, no in zip(clauses, denied, strict=True)]
    if any(denied) and not any(affirmed):
        return _no("says that there are none") if shown else _repeats(text) or _yes("says that there are none")
    if not any(affirmed):
        return _no("speaks of no people")
    if shown == 0:
        return _no("speaks of people where there are none")
    about = sum(bool(_PERSON.search(part) or _PRONOUN.search(part)) for part in sentences)
    if about / len(sentences) < _LEAST_ABOUT_PEOPLE:
        return _no(f"{about} of {len(sentences)} sentences are about people")
    return _repeats(text) or _yes(f"{about} of {len(sentences)} sentences are about people")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _repeats(text: str) -> Verdict | None:
    """A verdict where a text only says the same again and again: stuffing follows no instruction."""
    found = [word.casefold() for word in words(text)]
    if len(found) >= _REPEATS_FROM and len(set(found)) / len(found) < _LEAST_DISTINCT:
        return _no("says the same again and again")
    return None


def _some(values: list[int] | list[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:6]) + (", …" if len(values) > 6 else "")


def _yes(why: str) -> Verdict:
    return Verdict(True, why)


def _no(why: str) -> Verdict:
    return Verdict(False, why)
