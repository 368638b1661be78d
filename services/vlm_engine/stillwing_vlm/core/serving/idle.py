"""Notices that something has not been used for a while. It knows nothing of what that is.

Used on one event loop, but for `touch`, which any thread may call.
"""

import asyncio
from collections.abc import Callable

from stillwing_common.clock import Clock


class IdleTimer:
    """Calls `on_idle` once, when `timeout_s` have passed since the last `touch` and nothing is under way."""

    def __init__(
        self, clock: Clock, timeout_s: float, is_busy: Callable[[], bool], on_idle: Callable[[], None]
    ) -> None:
        """`timeout_s` 0: never."""
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._timeout_s = timeout_s
        self._is_busy = is_busy
        self._on_idle = on_idle
        self._used_s = clock.monotonic_s()
        self._handle = self._loop.call_later(timeout_s, self._check) if timeout_s else None

    def touch(self) -> None:
        """It is in use."""
        self._used_s = self._clock.monotonic_s()

    def cancel(self) -> None:
        """Never call `on_idle`."""
        if self._handle is not None:
            self._handle.cancel()

    def _check(self) -> None:
        left_s = self._used_s + self._timeout_s - self._clock.monotonic_s()
        if self._is_busy():
            left_s = self._timeout_s
        if left_s > 0:
            self._handle = self._loop.call_later(left_s, self._check)
        else:
            self._on_idle()
