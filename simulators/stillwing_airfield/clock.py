"""A simulation clock of whole steps: paced by real time, paused, or let run for a while and paused again.

It counts and says how many steps are due; somebody else takes them. Not thread-safe: its owner's lock guards it. It
knows no simulator.
"""

import time
from collections.abc import Callable


class SteppableClock:
    """Real time asks for steps; `stepped` says they were taken. Rounding never adds up, because due steps are counted
    from an anchor instead of step by step. A host that falls behind by more than `most_lag_s` loses the difference:
    simulated time then runs slower than real time rather than in bursts.
    """

    def __init__(
        self,
        step_s: float,
        monotonic_s: Callable[[], float] = time.monotonic,
        most_lag_s: float = 0.25,
        speed: float = 1.0,
    ) -> None:
        """`step_s` is one step of simulated time, `speed` simulated seconds a real one; the clock runs from now."""
        self.step_s = step_s
        self.lost_s = 0.0
        self._speed = speed
        self._real_s = monotonic_s
        self._most_lag_s = most_lag_s
        self._steps = 0
        self._paused = False
        self._allowance: int | None = None
        self._anchor()

    def _anchor(self) -> None:
        self._anchor_s, self._anchor_steps = self._now_s(), self._steps

    def _now_s(self) -> float:
        return self._real_s() * self._speed

    @property
    def steps(self) -> int:
        """Steps taken since the clock was made; it never goes back."""
        return self._steps

    @property
    def time_ns(self) -> int:
        """Simulated time, exact."""
        return self._steps * round(self.step_s * 1e9)

    @property
    def paused(self) -> bool:
        """Whether time stands still, once an allowance of `continue_for` is used up too."""
        return self._paused and not self._allowance

    def pause(self, paused: bool) -> None:
        """Stop or go on; either ends a running `continue_for`."""
        self._paused, self._allowance = paused, None
        self._anchor()

    def continue_for(self, seconds: float) -> int:
        """Let `seconds` pass and pause then. Returns the step count at which that will be."""
        self._paused, self._allowance = True, max(round(seconds / self.step_s), 0)
        self._anchor()
        return self._steps + self._allowance

    def due(self) -> int:
        """Steps that real time asks for now."""
        if self.paused:
            return 0
        due = self._anchor_steps + int((self._now_s() - self._anchor_s) / self.step_s) - self._steps
        if due * self.step_s > self._most_lag_s:
            # Between this anchor and the next the host could not keep up; what it missed is not made up for.
            self.lost_s += due * self.step_s - self._most_lag_s
            self._anchor_s += due * self.step_s - self._most_lag_s
            due = int(self._most_lag_s / self.step_s)
        return due if self._allowance is None else min(due, self._allowance)

    def stepped(self, count: int = 1) -> None:
        """`count` steps were taken."""
        self._steps += count
        if self._allowance is not None:
            self._allowance = max(self._allowance - count, 0)

    def until_due_s(self, count: int = 1) -> float | None:
        """Real seconds until `count` more steps are due (0 if they are), or None while paused."""
        if self.paused:
            return None
        when_s = self._anchor_s + (self._steps - self._anchor_steps + count) * self.step_s
        return max(when_s - self._now_s(), 0.0) / self._speed
