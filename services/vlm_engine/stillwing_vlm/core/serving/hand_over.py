"""Calls from the device's thread to the event loop, many to one waking. It knows nothing of what is called."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any


class LoopCalls:
    """Calls functions on one event loop, in order. `call` belongs to any thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._scheduled = False

    def call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call it soon; never once the loop is closed. One step of several answers wakes the loop once."""
        self._waiting.append((function, arguments))
        if not self._scheduled and not self._loop.is_closed():
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        # First, so that what is added from here on either is found below or schedules a turn of its own.
        self._scheduled = False
        while self._waiting:
            function, arguments = self._waiting.popleft()
            try:
                function(*arguments)
            except Exception as error:
                self._loop.call_exception_handler({"message": "a call from the device broke", "exception": error})
