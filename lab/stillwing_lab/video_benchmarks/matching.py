"""Whether what a model said is right: as each benchmark's own script matches it, and strictly.

The official rules are facts of the scripts (OVO-Bench `utils/OVOBenchScore.py`, StreamingBench `src/data/count.py`):
generous, and easily met by chance. The strict ones take an answer only where it says one thing. Pure functions of text.
"""

import re

from stillwing_lab.video_benchmarks.probes import (
    LETTERS,
    NO,
    PROACTIVE_WITHIN_S,
    YES,
    Answer,
    Probe,
    ProbeKind,
    Verdict,
)

_PUNCTUATION = " \t\r\n.,:;!\"'`*()[]{}<>"


def ovo_official(probe: Probe, said: str | None) -> bool:
    """OVO-Bench: the letter anywhere in the answer; all its digits in a row are the count; "Yes" or "No" anywhere, or
    the bare letter Y or N. Nothing said is wrong.
    """
    if said is None:
        return False
    match probe.kind:
        case ProbeKind.COUNT:
            return "".join(re.findall(r"\d+", said)) == probe.answer
        case ProbeKind.STEP | ProbeKind.ENOUGH:
            return said == probe.answer[0] or probe.answer in said
        case _:
            return probe.answer in said


def streaming_official(probe: Probe, answer: Answer) -> bool | None:
    """StreamingBench: the first character is the letter; an empty answer is left out of the score.

    A proactive answer is right within two seconds of its time; see `said_what_was_due` for its words.
    """
    if probe.kind is ProbeKind.PROACTIVE:
        return in_time(probe, answer)
    if not answer.said:
        return None
    return answer.said[0] == probe.answer


def in_time(probe: Probe, answer: Answer) -> bool:
    """Whether the last ask of a proactive question was within two seconds of its time."""
    return abs(answer.asked_s - probe.due_s) <= PROACTIVE_WITHIN_S


def said_what_was_due(probe: Probe, answer: Answer) -> bool:
    """Whether a proactive answer came in time and holds what was to be said, as StreamingBench counts answers."""
    return in_time(probe, answer) and probe.answer in (answer.dialog[-1][1] if answer.dialog else "")


def means_yes(said: str) -> bool:
    """Whether StreamingBench takes an ask of whether it is time as answered with yes: anywhere in it."""
    return "yes" in said.lower()


def strict(probe: Probe, answer: Answer) -> bool:
    """Whether the answer says the right thing and nothing else; a proactive one in time, after a plain yes."""
    if probe.kind is ProbeKind.PROACTIVE:
        polls = answer.dialog[:-1]
        said_yes = answer.said is not None and bool(polls) and strict_word(polls[-1][1]) == YES.lower()
        return said_yes and said_what_was_due(probe, answer)
    if answer.said is None:
        return False
    match probe.kind:
        case ProbeKind.COUNT:
            return strict_count(answer.said) == int(probe.answer)
        case ProbeKind.STEP | ProbeKind.ENOUGH:
            return strict_word(answer.said) == probe.answer.lower()
        case _:
            return strict_letter(answer.said, probe.options) == probe.answer


def strict_letter(said: str, options: tuple[str, ...]) -> str | None:
    """The one option that is named: its letter alone ("B", "(b)", "B."), its letter with its own text, or its text."""
    bare = said.strip(_PUNCTUATION)
    letters = LETTERS[: len(options)]
    if len(bare) == 1 and bare.upper() in letters:
        return bare.upper()
    matched = re.match(rf"[\s\"'`*(\[]*([{letters}])\s*[.:)\]]+\s*(.*)", said, re.DOTALL)
    if matched:
        letter, rest = matched.groups()
        return letter if _same(rest, options[letters.index(letter)]) else None
    named = [letter for letter, option in zip(letters, options, strict=True) if _same(said, option)]
    return named[0] if len(named) == 1 else None


def strict_count(said: str) -> int | None:
    """The number, where nothing but one whole number is said."""
    bare = said.strip(_PUNCTUATION)
    return int(bare) if re.fullmatch(r"[0-9]{1,9}", bare) else None


def strict_word(said: str) -> str:
    """The one word that is said, in lower case, without what stands around it; "" where there are more or none."""
    bare = said.strip(_PUNCTUATION).lower()
    return bare if bare.isalpha() else ""


def judge_ovo(probe: Probe, answer: Answer) -> Verdict:
    """Both verdicts on an answer of OVO-Bench."""
    return Verdict(ovo_official(probe, answer.said), strict(probe, answer))


def judge_streaming(probe: Probe, answer: Answer) -> Verdict:
    """Both verdicts on an answer of StreamingBench."""
    return Verdict(streaming_official(probe, answer), strict(probe, answer))


def _same(said: str, option: str) -> bool:
    return said.strip(_PUNCTUATION).casefold() == option.strip(_PUNCTUATION).casefold()


assert (YES[0], NO[0]) == ("Y", "N")
