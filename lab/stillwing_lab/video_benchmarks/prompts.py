"""How a probe is put to a model: in the benchmark's own words, read from the user's checkout of it, or in ours.

Official prompts are no part of this project: with `--prompts CHECKOUT` they are read as text from the checkout's Python
files, which are parsed and never run. It knows nothing of videos or scores.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stillwing_common.errors import InvalidInput, NotFound, UnknownBackend
from stillwing_lab.video_benchmarks.probes import LETTERS, NO, YES, Probe, ProbeKind

ANSWERS = ("free", "letters", "options")
_MOST_COUNTED = 30


@dataclass(frozen=True, slots=True)
class Phrased:
    """A prompt; with `options` the answer is one of them, and `means` says what each counts as."""

    prompt: str
    options: tuple[str, ...] = ()
    means: tuple[str, ...] = ()


class Phrasing(Protocol):
    """One way of asking."""

    def ask(self, probe: Probe) -> Phrased:
        """The question; of a proactive probe, whether it is time."""

    def say(self, probe: Probe) -> str:
        """The question in free words that follows once it is time."""


class Wording(Protocol):
    """The words around a question."""

    @property
    def name(self) -> str:
        """Whose words."""

    def words(self, probe: Probe) -> str:
        """The whole prompt; of a proactive probe, whether it is time."""

    def say(self, probe: Probe) -> str:
        """The prompt once it is time."""


@dataclass(frozen=True, slots=True)
class OwnWording:
    """Our words. Scores compare with each other and with no published ones."""

    name: str = "stillwing"

    def words(self, probe: Probe) -> str:
        """See `Wording`."""
        match probe.kind:
            case ProbeKind.CHOICE:
                options = "\n".join(lettered(probe.options))
                asked = f"{probe.context or ''}{probe.question}"
                return f"{asked}\n{options}\nAnswer with the letter of the right option alone."
            case ProbeKind.COUNT:
                return f"So far in the video, how often did this happen: {probe.question}? Answer with a number alone."
            case ProbeKind.STEP:
                return f"Is this being done right now: {probe.question}? Answer Yes or No."
            case ProbeKind.ENOUGH:
                return f"{probe.question}\nHas the video shown enough by now to answer this? Answer Yes or No."
            case ProbeKind.PROACTIVE:
                return f'{probe.question}\nIs this the moment to say "{probe.answer}"? Answer Yes or No.'

    def say(self, probe: Probe) -> str:
        """See `Wording`."""
        return probe.question


@dataclass(frozen=True, slots=True)
class OvoWording:
    """OVO-Bench's templates, from `constant.py` of its repository."""

    templates: Mapping[str, str]
    name: str = "official"

    @classmethod
    def read(cls, checkout: Path) -> "OvoWording":
        """Raises NotFound, InvalidInput."""
        found = read_strings(checkout / "constant.py")
        return cls({kind: _wanted(found, f"{kind}_PROMPT_TEMPLATE", checkout) for kind in ("BR", "REC", "SSR", "CRR")})

    def words(self, probe: Probe) -> str:
        """See `Wording`."""
        match probe.kind:
            case ProbeKind.COUNT:
                return _filled(self.templates["REC"], f"How many times did they {probe.question}?")
            case ProbeKind.STEP:
                return _filled(self.templates["SSR"], probe.question)
            case ProbeKind.ENOUGH:
                return _filled(self.templates["CRR"], probe.question)
            case _:
                return _filled(self.templates["BR"], probe.question, "; ".join(lettered(probe.options)) + ";")

    def say(self, probe: Probe) -> str:
        """OVO-Bench asks nothing proactively."""
        return probe.question


@dataclass(frozen=True, slots=True)
class StreamingWording:
    """StreamingBench's templates, from `src/benchmark/` of its repository; a sequence's context is in our words."""

    plain: str
    sequential: str
    proactive: str
    name: str = "official"

    @classmethod
    def read(cls, checkout: Path) -> "StreamingWording":
        """Raises NotFound, InvalidInput."""
        folder = checkout / "src" / "benchmark"
        templates = [
            _wanted(read_strings(folder / f"{file}.py"), name, folder / f"{file}.py")
            for file, name in (
                ("StreamingBench", "PROMPT_TEMPLATE"),
                ("StreamingBenchSQA", "PROMPT_TEMPLATE"),
                ("StreamingBenchProactive", "PROMPT_TEMPLATE_PROACTIVE"),
            )
        ]
        return cls(*templates)

    def words(self, probe: Probe) -> str:
        """See `Wording`."""
        if probe.kind is ProbeKind.PROACTIVE:
            asked = f'{probe.question} Is it the right time to output "{probe.answer}"? You can only answer yes or no.'
            return _filled(self.proactive, asked)
        options = lettered(probe.options)
        if probe.context is not None:
            return _filled(self.sequential, probe.context, probe.question, *options)
        return _filled(self.plain, probe.question, *options) + "\n\nThe best option is:"

    def say(self, probe: Probe) -> str:
        """See `Wording`."""
        return _filled(self.proactive, probe.question)


@dataclass(frozen=True, slots=True)
class FreeAnswers:
    """Any words; the benchmark's matching finds the answer in them."""

    wording: Wording

    def ask(self, probe: Probe) -> Phrased:
        """See `Phrasing`."""
        return Phrased(self.wording.words(probe))

    def say(self, probe: Probe) -> str:
        """See `Phrasing`."""
        return self.wording.say(probe)


@dataclass(frozen=True, slots=True)
class LetterAnswers:
    """The same prompts, and the most probable of the possible answers: a letter, yes or no, a number."""

    wording: Wording

    def ask(self, probe: Probe) -> Phrased:
        """See `Phrasing`."""
        match probe.kind:
            case ProbeKind.CHOICE:
                options = tuple(LETTERS[: len(probe.options)])
            case ProbeKind.COUNT:
                options = tuple(str(count) for count in range(_MOST_COUNTED + 1))
            case _:
                options = (YES, NO)
        return Phrased(self.wording.words(probe), options, options)

    def say(self, probe: Probe) -> str:
        """See `Phrasing`."""
        return self.wording.say(probe)


@dataclass(frozen=True, slots=True)
class OptionAnswers:
    """Multiple choice as the bare question, and the most probable of the options' own texts; the rest as by letters.

    For models that were never taught what a letter stands for.
    """

    wording: Wording

    def ask(self, probe: Probe) -> Phrased:
        """See `Phrasing`."""
        if probe.kind is not ProbeKind.CHOICE:
            return LetterAnswers(self.wording).ask(probe)
        # Of options that read alike the first stands for all.
        means = {option: letter for letter, option in reversed(list(zip(LETTERS, probe.options, strict=False)))}
        options = tuple(dict.fromkeys(probe.options))
        return Phrased((probe.context or "") + probe.question, options, tuple(means[option] for option in options))

    def say(self, probe: Probe) -> str:
        """See `Phrasing`."""
        return self.wording.say(probe)


def phrasing_of(answers: str, wording: Wording) -> Phrasing:
    """One of `ANSWERS`. Raises UnknownBackend."""
    match answers:
        case "free":
            return FreeAnswers(wording)
        case "letters":
            return LetterAnswers(wording)
        case "options":
            return OptionAnswers(wording)
    raise UnknownBackend(f"answers are {', '.join(ANSWERS)}, not {answers!r}", name=answers)


def lettered(options: tuple[str, ...]) -> list[str]:
    """Options as lines, each behind its letter."""
    return [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]


def read_strings(path: Path) -> dict[str, str]:
    """Texts that a Python file gives to names of its own, by name. The file is parsed and not run.

    Raises NotFound, InvalidInput.
    """
    if not path.is_file():
        raise NotFound(f"{path}: official prompts are read from a checkout of the benchmark's repository", path=path)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise InvalidInput(f"{path} is no Python file: {error}", field="prompts") from error
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            found.update({target.id: node.value.value for target in node.targets if isinstance(target, ast.Name)})
    return found


def _wanted(found: Mapping[str, str], name: str, where: Path) -> str:
    if name not in found:
        raise InvalidInput(f"{where} gives no {name}", field="prompts")
    return found[name]


def _filled(template: str, *parts: str) -> str:
    """`template` with its `{}` filled one after another. Raises InvalidInput where their number is another."""
    pieces = template.split("{}")
    if len(pieces) != len(parts) + 1:
        raise InvalidInput(f"a template with {len(pieces) - 1} places was to be filled with {len(parts)} texts")
    return pieces[0] + "".join(part + piece for part, piece in zip(parts, pieces[1:], strict=True))
