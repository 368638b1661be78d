"""A reader's own rate, on a beat that is kept while it can be. Pure: told the time."""

_EARLY_S = 0.005


class Pace:
    """Says when the next value is due for a reader of `rate_hz`; 0 means every value."""

    def __init__(self, rate_hz: float) -> None:
        self._period_s = 1 / rate_hz if rate_hz > 0 else 0.0
        self._due_s = 0.0

    def due(self, now_s: float) -> bool:
        """Whether a value of this moment is for the reader."""
        return now_s >= self._due_s - _EARLY_S

    def advance(self, now_s: float) -> None:
        """The reader had its turn: on the beat while it is kept, a whole period from now where it was lost."""
        next_s = self._due_s + self._period_s
        self._due_s = next_s if next_s > now_s else now_s + self._period_s
