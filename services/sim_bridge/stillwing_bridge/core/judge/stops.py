"""Emergency stops that outlive the bridge: what is latched is kept, and latched again before anybody is served.

It knows nothing of where they are kept, and decides nothing about stops: it follows the flight logs.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from stillwing_bridge.core.events import EmergencyStopChanged, FlightLogEntry
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.types import StopLevel

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KeptStop:
    """A latched stop, why, and since when (nanoseconds of the epoch)."""

    level: StopLevel
    reason: str
    latched_time_ns: int


class StopStore(Protocol):
    """Where stops outlive the process. Both calls may block, and are made off the event loop."""

    def load(self) -> Mapping[str, KeptStop]:
        """By vehicle id. Raises `InvalidInput` where what is kept cannot be read: no stop is to be forgotten."""

    def save(self, stops: Mapping[str, KeptStop]) -> None:
        """Replace all, whole or not at all, so that it survives a loss of power. Raises OSError."""


class StopKeeper:
    """Keeps what the flight logs tell of. Stopping never waits for it; an answer to whoever stopped or cleared does."""

    def __init__(self, store: StopStore) -> None:
        self._store = store
        self._stops: dict[str, KeptStop] = {}
        self._saving = asyncio.Lock()

    async def load(self) -> Mapping[str, KeptStop]:
        """What was latched when the last bridge ended; of vehicles that are not here too, and those stay kept."""
        self._stops = dict(await asyncio.to_thread(self._store.load))
        return dict(self._stops)

    def follow(self, vehicle_id: str, log: FlightLog) -> None:
        """Take note of every change from now on; `settle` writes it."""

        def on_entry(entry: FlightLogEntry) -> None:
            if not isinstance(entry.event, EmergencyStopChanged):
                return
            if entry.event.level is StopLevel.NONE:
                self._stops.pop(vehicle_id, None)
            else:
                self._stops[vehicle_id] = KeptStop(entry.event.level, entry.event.reason, entry.log_time_ns)

        log.listen(on_entry)

    async def settle(self) -> None:
        """Return once everything noted so far is kept, or could not be, which is an error in the process's log."""
        async with self._saving:
            try:
                await asyncio.to_thread(self._store.save, dict(self._stops))
            except OSError as error:
                # The stop is in force all the same: an error to its caller would say that it is not.
                _log.error("emergency stops would not survive a restart of the bridge: %s", error)
