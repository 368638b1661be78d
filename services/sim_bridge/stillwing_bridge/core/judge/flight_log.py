"""The record of one vehicle: every command, hold, thinking interval and refusal, numbered in the order they happened.

Pure: it keeps the newest entries in memory and tells listeners of each new one; who writes them to a file or to a wire
is none of its business.
"""

import logging
from collections import deque
from collections.abc import Callable
from itertools import islice

from stillwing_bridge.core.events import FlightEvent, FlightLogEntry
from stillwing_common.clock import Clock
from stillwing_common.types import Stamp

Listener = Callable[[FlightLogEntry], None]

_log = logging.getLogger("stillwing.bridge.flight_log")


class FlightLog:
    """Append-only; keeps the newest `capacity` entries. A gap in `log_seq` shows a late reader what is kept no more."""

    def __init__(self, clock: Clock, *, capacity: int = 20_000) -> None:
        if capacity < 1:
            raise ValueError("a flight log keeps at least 1 entry")
        self._clock = clock
        self._entries: deque[FlightLogEntry] = deque(maxlen=capacity)
        self._listeners: list[Listener] = []
        self._last_time_ns = 0
        self.last_seq = 0

    def append(self, event: FlightEvent, vehicle_time: Stamp | None) -> FlightLogEntry:
        """Number and keep an event, then tell the listeners. Entries' times never go back, whatever the clock does."""
        self.last_seq += 1
        self._last_time_ns = max(self._last_time_ns, self._clock.wall_ns())
        entry = FlightLogEntry(self.last_seq, self._last_time_ns, vehicle_time, event)
        self._entries.append(entry)
        for listener in tuple(self._listeners):
            try:
                listener(entry)
            except Exception:  # what was judged stands, and the other listeners are told of it
                _log.exception("a listener of the flight log broke")
        return entry

    def after(self, log_seq: int, limit: int = 1000) -> tuple[FlightLogEntry, ...]:
        """At most `limit` kept entries after `log_seq`, oldest first."""
        if not self._entries:
            return ()
        skip = max(0, log_seq + 1 - self._entries[0].log_seq)
        return tuple(islice(self._entries, skip, skip + limit))

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with each new entry, on the appending thread; the returned function ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)
