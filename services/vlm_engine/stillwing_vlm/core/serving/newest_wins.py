"""What becomes of frames between their placing and the device, under newest-wins.

A run of appends with nothing placed between them is one entry of a lane. It holds at most three chunks: one that is
ready for the device, one being made ready, and the newest that came meanwhile. A newer chunk takes the place of the
newest that came, and one made ready takes the place of the ready one. Nothing is dropped while it is being made ready,
so that frames coming faster than they can be made ready still go in.

Where another request was placed behind it, the run is sealed: it takes no more chunks and goes in only once its newest
is ready, because that request is to see it.

It knows nothing of pictures, trunks or event loops: chunks are whatever they are made ready from.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol


class WaitingChunk(Protocol):
    """One chunk on its way. Exactly one of `append`, `drop` and `fail` ends it."""

    @property
    def deadline_s(self) -> float:
        """When it should be in the trunk, on the scheduler's clock."""

    def prepare(self) -> "Future[Any]":
        """Start making it ready. Any thread."""

    def append(self, ready: "Future[Any]") -> None:
        """Put it into the trunk, once `ready` has a result. Device thread."""

    def drop(self) -> None:
        """A newer one took its place. Any thread."""

    def fail(self, error: Exception) -> None:
        """It cannot go in. Any thread."""


class NewestWins:
    """A run of appends, as one entry of a lane. Methods may be called from any thread."""

    heavy = True

    def __init__(self, first: WaitingChunk, wake: Callable[[], None]) -> None:
        """`wake` is called when it may have become ready."""
        self._lock = threading.Lock()
        self._wake = wake
        self._newest: WaitingChunk | None = None
        self._preparing: WaitingChunk | None = first
        self._ready: tuple[WaitingChunk, Future[Any]] | None = None
        self._running: WaitingChunk | None = None
        self._sealed = False
        self._spent = False
        self._prepare(first)

    @property
    def deadline_s(self) -> float:
        """The earliest of its chunks'."""
        with self._lock:
            ready = self._ready[0] if self._ready is not None else None
            waiting = [each for each in (ready, self._preparing, self._newest) if each is not None]
        return min((each.deadline_s for each in waiting), default=0.0)

    def offer(self, chunk: WaitingChunk) -> bool:
        """Take a newer chunk; False where it is sealed or has left its lane, and then nothing happens."""
        with self._lock:
            if self._sealed or self._spent:
                return False
            begin = self._preparing is None
            older = None
            if begin:
                self._preparing = chunk
            else:
                older, self._newest = self._newest, chunk
        if begin:
            self._prepare(chunk)
        if older is not None:
            older.drop()
        return True

    def takes_more(self) -> bool:
        """Whether a newer chunk would take the place of one that waits here."""
        with self._lock:
            return not self._sealed and not self._spent

    def seal(self) -> None:
        """Take no more chunks: another request stands behind it."""
        with self._lock:
            self._sealed = True

    def is_ready(self) -> bool:
        """Whether a chunk can go in now; an empty run is ready, so that it leaves its lane."""
        with self._lock:
            coming = self._preparing is not None or self._newest is not None
            return not coming if self._sealed else self._ready is not None or not coming

    def run(self) -> None:
        """Append the newest that is ready."""
        with self._lock:
            newest, self._ready = self._ready, None
        if newest is not None:
            self._running = newest[0]
            newest[0].append(newest[1])
            self._running = None

    def spent(self) -> bool:
        """Whether nothing is left; from then on `offer` refuses."""
        with self._lock:
            self._spent = self._preparing is None and self._newest is None and self._ready is None
            return self._spent

    def fail(self, error: Exception) -> None:
        """End the chunk that was running, or, where none was, all of them."""
        with self._lock:
            if self._running is not None:
                ended, self._running = [self._running], None
            else:
                ready = self._ready[0] if self._ready is not None else None
                ended = [each for each in (ready, self._preparing, self._newest) if each is not None]
                self._ready = self._preparing = self._newest = None
                self._sealed = True
        for chunk in ended:
            chunk.fail(error)

    def _prepare(self, chunk: WaitingChunk) -> None:
        chunk.prepare().add_done_callback(lambda ready: self._prepared(chunk, ready))

    def _prepared(self, chunk: WaitingChunk, ready: "Future[Any]") -> None:
        older = next_up = None
        with self._lock:
            if self._preparing is not chunk:
                return  # the lane was closed meanwhile
            error = None if ready.cancelled() else ready.exception()
            self._preparing = None
            if not ready.cancelled() and error is None:
                if self._ready is not None:
                    older = self._ready[0]
                self._ready = (chunk, ready)
            next_up, self._newest = self._newest, None
            self._preparing = next_up
        if isinstance(error, Exception):
            chunk.fail(error)
        if older is not None:
            older.drop()
        if next_up is not None:
            self._prepare(next_up)
        self._wake()
