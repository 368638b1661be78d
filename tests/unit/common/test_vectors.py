"""python -m pytest tests/unit/common/test_vectors.py

A model's vectors are what they say they are, and stay so.
"""

import numpy as np
import pytest

from stillwing_common.errors import InvalidInput
from stillwing_common.vectors import MAX_VECTOR_FLOATS, Vectors


def test_nobody_writes_to_them() -> None:
    array = np.ones((1, 2, 3), np.float32)
    vectors = Vectors(array)
    array[0, 0, 0] = 9.0
    assert vectors.array[0, 0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        vectors.array[0, 0, 0] = 9.0


def test_they_are_equal_by_number_and_shape() -> None:
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    one, other = Vectors(array), Vectors(np.where(array == 0, np.float32(-0.0), array))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Vectors(array.reshape(1, 3, 2))
    assert one != Vectors(array + 1)
    assert one != array.tolist()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3), np.float32), "none of them 0"),
        (np.ones((1, 0, 3), np.float32), "none of them 0"),
        (np.ones((1, 1, 2)), "not float64"),
        (np.full((1, 1, 2), np.nan, np.float32), "not finite"),
        (np.full((1, 1, 2), np.inf, np.float32), "not finite"),
        (np.ones((1, 1, MAX_VECTOR_FLOATS + 1), np.float32), "too large"),
    ],
)
def test_other_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        Vectors(array)
