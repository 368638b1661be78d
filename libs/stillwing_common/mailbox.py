"""Bounded hand-overs between producers and asyncio readers: newest-wins for state, everything-or-error for logs.

It knows nothing of what is handed over. All methods run on one event loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):
    """The mailbox is closed and empty."""


class Full(Exception):
    """The log holds as much unread as it may."""


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """One value with its place in the order of production; a gap in `sequence` counts what was dropped."""

    sequence: int
    value: T


class Mailbox(Generic[T]):
    """One slot; a new value replaces an unread one, and the gap in the sequence shows it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._item: Item[T] | None = None
        self._sequence = 0
        self._closed = False

    def put(self, value: T) -> None:
        """Offer a value; never blocks. Does nothing once closed."""
        if self._closed:
            return
        self._sequence += 1
        self._item = Item(self._sequence, value)
        self._event.set()

    async def get(self) -> Item[T]:
        """Wait for a value and take it; raises `Closed` when there will be none."""
        while self._item is None:
            if self._closed:
                raise Closed
            self._event.clear()
            await self._event.wait()
        item, self._item = self._item, None
        return item

    def close(self) -> None:
        """No more values; a reader that waits is told."""
        self._closed = True
        self._event.set()


class BoundedLog(Generic[T]):
    """Every value in order, for one reader, with at most `capacity` unread."""

    def __init__(self, capacity: int, merge: Callable[[T, T], bool] | None = None) -> None:
        """`merge(newest_unread, value)` may take a value into the newest unread one, and then says True."""
        self._capacity = capacity
        self._merge = merge
        self._values: deque[T] = deque()
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._values)

    def put(self, value: T) -> None:
        """Add a value. Raises `Full`. Does nothing once closed."""
        if self._closed or (self._merge is not None and self._values and self._merge(self._values[-1], value)):
            return
        if len(self._values) >= self._capacity:
            raise Full
        self._values.append(value)
        self._changed.set()

    def take_back(self, wanted: Callable[[T], bool]) -> T | None:
        """The newest unread value, taken out again, where `wanted` says so."""
        return self._values.pop() if self._values and wanted(self._values[-1]) else None

    async def get(self) -> T:
        """Wait for the oldest unread value and take it; raises `Closed` when there will be none."""
        while not self._values:
            if self._closed:
                raise Closed
            self._changed.clear()
            await self._changed.wait()
        value = self._values.popleft()
        self._changed.set()
        return value

    async def wait_below(self, unread: int) -> None:
        """Return once fewer than `unread` values wait, or it is closed."""
        while len(self._values) >= unread and not self._closed:
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        """No more values; what is unread can still be taken."""
        self._closed = True
        self._changed.set()
