"""Scores by attention in full, token by token, beside which the pooled ones are held."""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from stillwing_common.vectors import Vectors


def attention_score(queries: NDArray[np.float32], keys: NDArray[np.float32]) -> float:
    """The full form: the mean over text tokens, frame tokens, layers and heads of q·k / sqrt(d), no softmax.

    `queries` is float32[text tokens, layers, heads, d], `keys` float32[frame tokens, layers, key heads, d]; each key
    head serves heads / key heads query heads in a row.
    """
    group = queries.shape[2] // keys.shape[2]
    repeated = np.repeat(keys.astype(np.float64), group, axis=2)
    products = np.einsum("tlhd,flhd->tflh", queries.astype(np.float64), repeated)
    return float(products.mean() / sqrt(queries.shape[-1]))


def pool(vectors: NDArray[np.float32]) -> Vectors:
    """The mean over tokens of float32[tokens, layers, heads, d]."""
    return Vectors(np.asarray(vectors.mean(axis=0, dtype=np.float64), np.float32))
