"""Time as a dependency, so that safety logic can be tested on a clock that stands still."""

import time
from typing import Protocol


class Clock(Protocol):
    """Reads time. `monotonic_s` never goes back and is what deadlines use; `wall_ns` is for people and logs."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""


class WallClock:
    """The machine's clocks."""

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()


class FakeClock:
    """Stands still until told; for tests."""

    def __init__(self, monotonic_s: float = 1000.0, wall_ns: int = 1_700_000_000_000_000_000) -> None:
        self._monotonic_s = monotonic_s
        self._wall_ns = wall_ns

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""
        return self._monotonic_s

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return self._wall_ns

    def advance(self, seconds: float) -> None:
        """Let `seconds` (>= 0) pass on both clocks."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._monotonic_s += seconds
        self._wall_ns += round(seconds * 1e9)

    def set_wall_ns(self, wall_ns: int) -> None:
        """Step the wall clock alone, as NTP or a user does."""
        self._wall_ns = wall_ns
