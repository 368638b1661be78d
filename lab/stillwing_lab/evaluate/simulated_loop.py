"""An event loop whose time is simulated: where another loop would sleep, this one lets the world run.

Everything that waits by the loop (timeouts, tickers, `asyncio.sleep`) then runs on simulated time, as fast as the
machine goes and in the same order every time. Time stands still while a worker thread computes. It knows nothing of
what is simulated.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

_START_S = 1000.0
_LEAST_S = 1e-6
_TURNS_AT_ONCE = 200
_WALL_START_NS = 1_700_000_000_000_000_000


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`advance(seconds)` is called with every stretch of time that passes; set it before anything waits."""

    def __init__(self) -> None:
        self._now_s = _START_S
        self._computing = 0
        self.advance: Callable[[float], None] = lambda seconds: None
        self._selector_of_time = _TimeSelector(self)
        super().__init__(self._selector_of_time)

    def time(self) -> float:
        """Simulated seconds from an arbitrary start."""
        return self._now_s

    def run_in_executor(  # type: ignore[override]  # passes on whatever it is given
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """As any loop does; simulated time stands still until the function is done."""
        future = super().run_in_executor(executor, func, *args)
        self.begin_computing()
        future.add_done_callback(lambda _: self.end_computing())
        return future

    def begin_computing(self) -> None:
        """Somebody computes outside the loop: time stands still until as many ends as begins."""
        self._computing += 1

    def end_computing(self) -> None:
        """See `begin_computing`."""
        self._computing -= 1

    @property
    def computing(self) -> bool:
        """Whether somebody computes outside the loop."""
        return self._computing > 0

    def pass_time(self, seconds: float) -> None:
        """Let the world run, then the clock say so."""
        self.advance(seconds)
        self._now_s += seconds


class _TimeSelector(selectors.DefaultSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop
        self._turns_at_once = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        if timeout > 0 and self._loop.computing:
            return super().select(None)
        events = super().select(0)
        if timeout > 0 and not events:
            self._turns_at_once = 0
            self._loop.pass_time(max(timeout, _LEAST_S))
        elif not self._loop.computing:
            # Code that asks again until a moment has come relies on time going on while it asks.
            self._turns_at_once += 1
            if self._turns_at_once >= _TURNS_AT_ONCE:
                self._turns_at_once = 0
                self._loop.pass_time(_LEAST_S)
        return events


class SimulatedClock:
    """The loop's time as a `Clock`."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def monotonic_s(self) -> float:
        """Simulated seconds from an arbitrary start."""
        return self._loop.time()

    def wall_ns(self) -> int:
        """Simulated nanoseconds since a fixed date, the same in every run."""
        return _WALL_START_NS + round((self._loop.time() - _START_S) * 1e9)
