"""Frames and texts as a noisy model would see them: pooled vectors in which visible things are mixed with clutter.

Each thing has a direction of its own. A text's queries point along it, a frame's keys along those of what is visible in
it, and everything has noise and a common drift. It knows nothing of images.
"""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from stillwing_common.vectors import Vectors
from stillwing_memory.core.scoring import Evidence, Thing

_LAYERS, _HEADS, _KEY_HEADS, _DIMENSIONS = 3, 4, 2, 32
_NOISE = 0.5


class VectorWorld:
    """One model's view of one script's things; the same seed is the same view."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._directions: dict[int, NDArray[np.float32]] = {}
        self._drift = self._random(_KEY_HEADS) * 0.3

    def thing(self, number: int) -> Thing:
        """What the text of a thing looks like."""
        noisy = self._direction(number) + _NOISE * self._random(_KEY_HEADS)
        query = np.repeat(noisy, _HEADS // _KEY_HEADS, axis=1)
        return Thing(str(number), f"thing {number}", Vectors(query.astype(np.float32)), 4)

    def frame(self, visible: Collection[int]) -> Evidence:
        """What a frame looks like that shows these things."""
        keys = self._drift + _NOISE * self._random(_KEY_HEADS)
        for number in visible:
            keys = keys + self._direction(number)
        return Evidence(keys=Vectors(keys.astype(np.float32)))

    def _direction(self, number: int) -> NDArray[np.float32]:
        if number not in self._directions:
            self._directions[number] = self._random(_KEY_HEADS)
        return self._directions[number]

    def _random(self, heads: int) -> NDArray[np.float32]:
        return self._rng.standard_normal((_LAYERS, heads, _DIMENSIONS), np.float32)
