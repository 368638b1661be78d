"""Intervals of what was measured: of shares by Wilson, of the rest by the bootstrap. It knows nothing of flights."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_Z_95 = 1.959964
_RESAMPLES = 2000
_SEED = 20_240_229


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927); (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, _Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z_95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    # Rounding must not push the ends past the proportion itself.
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


def share(hits: Sequence[bool]) -> Estimate:
    """How many of them are true."""
    successes = sum(hits)
    return Estimate(successes / len(hits), *wilson(successes, len(hits)))


def mean(values: Sequence[float]) -> Estimate:
    """Their mean, with the interval of the percentile bootstrap (Efron 1979) from a fixed seed."""
    return ratio(values, [1.0] * len(values))


def ratio(parts: Sequence[float], wholes: Sequence[float]) -> Estimate:
    """Sum of `parts` over sum of `wholes`, resampled in pairs; 0 where all wholes are 0."""
    pairs = np.array([parts, wholes], dtype=np.float64)

    def of(sample: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        top, bottom = sample.sum(axis=-1)
        found: npt.NDArray[np.float64] = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
        return found

    return _bootstrap(pairs, of)


def quantile(values: Sequence[float], level: float) -> Estimate:
    """A quantile of pooled values, `level` 0 to 1."""
    return _bootstrap(np.array([values], dtype=np.float64), lambda sample: np.quantile(sample[0], level, axis=-1))


def _bootstrap(
    columns: npt.NDArray[np.float64], figure: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> Estimate:
    """`columns` is (kinds, episodes); episodes are drawn again with replacement."""
    count = columns.shape[1]
    value = float(figure(columns[:, None, :])[0])
    if count == 1:
        return Estimate(value, value, value)
    rng = np.random.default_rng(_SEED)
    drawn = figure(columns[:, rng.integers(0, count, (_RESAMPLES, count))])
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(value, float(low), float(high))
