"""What callers hold while an answer is under way or evictions are followed, whoever produces them.

Used on one event loop. It knows no threads, no device and no transport.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Generic, TypeVar

from stillwing_common.errors import Exhausted
from stillwing_vlm.core.results import AnswerDelta, AnswerDone, Evicted, WatchEvent

_KEPT_EVENTS = 4096


class AsyncAnswer:
    """An `Answer` that is fed by whoever decodes it."""

    def __init__(self, cancel: Callable[[], None]) -> None:
        """`cancel` asks whoever decodes to stop; `progress` is then still called with the end."""
        self._loop = asyncio.get_running_loop()
        self._deltas: asyncio.Queue[AnswerDelta | None] = asyncio.Queue()
        self._done: asyncio.Future[AnswerDone] = new_future(self._loop)
        self._cancel = cancel
        self._cancelling = False

    async def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        """Pieces of the answer; one reader."""
        while (delta := await self._deltas.get()) is not None:
            yield delta

    async def done(self) -> AnswerDone:
        """Wait for the end."""
        return await asyncio.shield(self._done)

    def cancel(self) -> None:
        """Stop decoding."""
        if not self._done.done() and not self._cancelling:
            self._cancelling = True
            self._cancel()

    def progress(self, deltas: Sequence[str], done: AnswerDone | None) -> None:
        """Called on the event loop as the answer grows."""
        if self._done.done():
            return
        for text in deltas:
            self._deltas.put_nowait(AnswerDelta(text))
        if done is not None:
            self._deltas.put_nowait(None)
            self._done.set_result(done)

    def fail(self, error: Exception) -> None:
        """Called on the event loop where there is no answer."""
        if not self._done.done():
            self._deltas.put_nowait(None)
            self._done.set_exception(error)


T = TypeVar("T")


class EventStream(Generic[T]):
    """A log of events from the moment it was made, for one reader; bounded."""

    def __init__(self) -> None:
        self._items: asyncio.Queue[T | None] = asyncio.Queue()
        self._overflowed = False
        self._error: Exception | None = None

    def fail(self, error: Exception) -> None:
        """End the log with an error, once what came before is read."""
        self._error = error
        self.put(None)

    def put(self, event: T | None) -> None:
        """Add one; None ends the log."""
        if self._items.qsize() >= _KEPT_EVENTS and event is not None:
            self._overflowed = True
            return
        self._items.put_nowait(event)

    async def __aiter__(self) -> AsyncIterator[T]:
        while (event := await self._items.get()) is not None:
            yield event
            if self._overflowed and self._items.empty():
                raise Exhausted(f"more than {_KEPT_EVENTS} events were left unread")
        if self._error is not None:
            raise self._error


class EvictionStream(EventStream[Evicted]):
    """A log of evictions."""


class RunningWatch(EventStream[WatchEvent]):
    """A `Watch` that is fed by whoever asks its question."""

    def __init__(self, unset: Callable[[], object]) -> None:
        super().__init__()
        self._unset = unset
        self._ended = False

    def unset(self) -> None:
        """Ask no more."""
        if not self._ended:
            self._ended = True
            self._unset()

    def end(self, error: Exception | None = None) -> None:
        """Called on the event loop when it is over."""
        self._ended = True
        if error is None:
            self.put(None)
        else:
            self.fail(error)


def new_future(loop: asyncio.AbstractEventLoop) -> "asyncio.Future[Any]":
    """A future whose failure may be left unread."""
    future: asyncio.Future[Any] = loop.create_future()
    # A result may be left unread; without this, an unread failure would be logged as a bug.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def settle(future: "asyncio.Future[Any]", result: Any, error: Exception | None) -> None:
    """End a future, unless it has ended: its reader may have been cancelled."""
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
