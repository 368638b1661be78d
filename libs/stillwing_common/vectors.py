"""A model's vectors as they cross the borders between services. Beside `types`, which does without numpy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwing_common.errors import InvalidInput

MAX_VECTOR_FLOATS = 65_536
"""Most numbers in one `Vectors`: eight layers of 64 heads of 128 dimensions."""


@dataclass(frozen=True, eq=False, slots=True)
class Vectors:
    """Finite numbers, float32[layers, heads, dimensions]; a copy that nobody writes to, equal where every number is.

    Raises InvalidInput for other dtypes and shapes, for more than `MAX_VECTOR_FLOATS` numbers, and for NaN and
    infinities.
    """

    array: NDArray[np.float32]

    def __post_init__(self) -> None:
        check_shape(self.array.shape)
        if self.array.dtype != np.float32:
            raise InvalidInput(f"vectors are float32, not {self.array.dtype}", dtype=self.array.dtype)
        if not np.isfinite(self.array).all():
            raise InvalidInput("vectors hold a number that is not finite", shape=self.array.shape)
        own = self.array.copy()
        own.setflags(write=False)
        object.__setattr__(self, "array", own)

    @property
    def shape(self) -> tuple[int, ...]:
        """Layers, heads, dimensions."""
        return self.array.shape

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vectors) and np.array_equal(self.array, other.array)

    def __hash__(self) -> int:
        return hash((self.shape, (self.array + 0.0).tobytes()))  # -0.0 equals 0.0, hence is hashed as it


def check_shape(shape: tuple[int, ...]) -> None:
    """Raises InvalidInput for what is not layers, heads and dimensions, or is more than `MAX_VECTOR_FLOATS` numbers."""
    if len(shape) != 3 or min(shape) < 1:
        raise InvalidInput(f"vectors have layers, heads and dimensions, none of them 0; shape {shape}", shape=shape)
    if math.prod(shape) > MAX_VECTOR_FLOATS:
        raise InvalidInput(f"vectors of shape {shape} are too large", shape=shape, limit=MAX_VECTOR_FLOATS)
