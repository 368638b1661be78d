"""How well a frame shows the things an instruction is about. Three scorers behind one interface; pure arithmetic.

`attention`  the model's own: how much the text of the things attends to the frame's tokens, from mean-pooled vectors
`similarity` how alike the text of the things and the text of the frame are (caption and labels)
`newest`     the newer the better: the baseline that looks at nothing

A frame is scored against one text of all things together, and against each alone, which says what is visible in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Protocol

import numpy as np

from stillwing_common.errors import InvalidInput, UnknownBackend
from stillwing_common.vectors import Vectors
from stillwing_memory.core.text import Similarity, words


@dataclass(frozen=True, slots=True)
class Thing:
    """What a scorer compares with: the thing's id, its text ("young man, denim jacket"), and the model's view of it.

    `query`: its text's query vectors, averaged over the text's `tokens` tokens.
    """

    entity_id: str
    text: str
    query: Vectors | None = None
    tokens: int = 1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a scorer knows of a frame: its text, the model's keys, the things a tracker names, and how new it is.

    `keys`: the keys of the frame's tokens before rotation, averaged; its heads are key heads.
    `tracked` gives a confidence of 0 to 1 by entity id. `capture_ns` orders frames of one clock.
    """

    text: str = ""
    keys: Vectors | None = None
    tracked: Mapping[str, float] = field(default_factory=dict)
    capture_ns: int = 0


@dataclass(frozen=True, slots=True)
class FrameScore:
    """How well one frame shows all things together, and how visible each is, 0 to 1, by entity id."""

    score: float
    visibility: Mapping[str, float]


class FrameScorer(Protocol):
    """Scores the frames of one chunk. Called from any thread; keeps nothing."""

    @property
    def name(self) -> str:
        """As settings and status call it."""

    def score(self, frames: Sequence[Evidence], things: Sequence[Thing]) -> list[FrameScore]:
        """One score a frame, in their order. Raises InvalidInput where a frame or thing lacks what is compared."""


# Attention


def pooled_score(query: Vectors, keys: Vectors) -> float:
    """The mean over text tokens, frame tokens, layers and heads of q·k / sqrt(d), no softmax, from pooled vectors.

    Without a softmax the means commute with the product. Each key head serves heads / key heads query heads in a row.
    Raises InvalidInput for shapes that do not fit each other.
    """
    if query.shape[::2] != keys.shape[::2] or query.shape[1] % keys.shape[1]:
        raise InvalidInput("pooled query and keys are of other shapes", query=query.shape, keys=keys.shape)
    layers, heads, dimensions = query.shape
    grouped = query.array.astype(np.float64).reshape(layers, keys.shape[1], heads // keys.shape[1], dimensions)
    return float(np.einsum("lkgd,lkd->", grouped, keys.array.astype(np.float64)) / (layers * heads * sqrt(dimensions)))


@dataclass(frozen=True, slots=True)
class AttentionScorer:
    """Scores by pooled attention. `low` and `high` are the cosines at which a thing counts as absent and as visible.

    The score of all things together is the mean over the tokens of their whole text, hence weighted by their tokens.
    Visibility goes by the cosine, because the raw product drifts with the length of the stream.
    """

    low: float = 0.1
    high: float = 0.4
    name: str = "attention"

    def score(self, frames: Sequence[Evidence], things: Sequence[Thing]) -> list[FrameScore]:
        """See `FrameScorer`."""
        return [self._one(frame, things) for frame in frames]

    def _one(self, frame: Evidence, things: Sequence[Thing]) -> FrameScore:
        if frame.keys is None or any(thing.query is None for thing in things):
            raise InvalidInput("the attention scorer needs the model's pooled keys and queries", scorer=self.name)
        tokens = sum(thing.tokens for thing in things)
        total = 0.0
        visibility = dict(frame.tracked)
        for thing in things:
            assert thing.query is not None
            raw = pooled_score(thing.query, frame.keys)
            total += raw * thing.tokens / tokens
            group = thing.query.shape[1] // frame.keys.shape[1]
            length = np.linalg.norm(thing.query.array) * np.linalg.norm(np.repeat(frame.keys.array, group, axis=1))
            cosine = (
                raw * (thing.query.shape[0] * thing.query.shape[1] * sqrt(thing.query.shape[2])) / float(length or 1)
            )
            seen = min(1.0, max(0.0, (cosine - self.low) / (self.high - self.low)))
            visibility[thing.entity_id] = max(seen, visibility.get(thing.entity_id, 0.0))
        return FrameScore(total, visibility)


# Words


@dataclass(frozen=True, slots=True)
class SimilarityScorer:
    """Compares texts: the things' with the frame's caption and labels."""

    similarity: Similarity
    name: str = "similarity"

    def score(self, frames: Sequence[Evidence], things: Sequence[Thing]) -> list[FrameScore]:
        """See `FrameScorer`."""
        wanted = ". ".join(thing.text for thing in things)
        scores = text_scores(self.similarity, wanted, [frame.text for frame in frames])
        return [FrameScore(score, _named(frame, things)) for frame, score in zip(frames, scores, strict=True)]


def text_scores(similarity: Similarity, wanted: str, texts: Sequence[str]) -> list[float]:
    """How alike each text is to the wanted one: the cosine of their embeddings, else |a and b| / sqrt(|a| |b|)."""
    vectors = similarity.embed([wanted, *texts])
    if vectors is not None:
        matrix = np.asarray(vectors)
        return [float(cosine) for cosine in matrix[1:] @ matrix[0]]
    own = set(words(wanted))
    found = [set(words(text)) for text in texts]
    return [len(own & one) / sqrt(len(own) * len(one)) if own and one else 0.0 for one in found]


def _named(frame: Evidence, things: Sequence[Thing]) -> dict[str, float]:
    """A thing is visible as far as a tracker says so, or as the words of its name are in the frame's text."""
    told = set(words(frame.text))
    visibility = dict(frame.tracked)
    for thing in things:
        name = words(thing.text.split(",")[0])
        share = sum(word in told for word in name) / len(name) if name else 0.0
        visibility[thing.entity_id] = max(share, visibility.get(thing.entity_id, 0.0))
    return visibility


# Baseline


@dataclass(frozen=True, slots=True)
class NewestScorer:
    """The newest frame of the chunk scores 1, the oldest 1 / frames; only what a tracker names counts as visible."""

    name: str = "newest"

    def score(self, frames: Sequence[Evidence], things: Sequence[Thing]) -> list[FrameScore]:
        """See `FrameScorer`."""
        rank = {
            place: age for age, place in enumerate(sorted(range(len(frames)), key=lambda p: frames[p].capture_ns), 1)
        }
        return [FrameScore(rank[place] / len(frames), dict(frame.tracked)) for place, frame in enumerate(frames)]


def choose_scorer(name: str, similarity: Similarity) -> FrameScorer:
    """Raises UnknownBackend."""
    match name:
        case "attention":
            return AttentionScorer()
        case "similarity":
            return SimilarityScorer(similarity)
        case "newest":
            return NewestScorer()
    raise UnknownBackend(f"no scorer is called {name!r}; known: attention, similarity, newest", name=name)
