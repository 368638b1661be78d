"""Emergency stops in force, and how they outlive the bridge: what is latched is kept, and latched again before serving.

It knows nothing of where they are kept, and decides nothing about stops: it follows the flight logs.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol

from stillwing_bridge.core.events import EmergencyStopChanged, FlightLogEntry
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.types import EmergencyStop, StopLevel

_log = logging.getLogger(__name__)

_DISK_LIMIT_S = 1.0
_NO_STORE = "this bridge keeps no stops: it was started without a stop_file"


class StopStore(Protocol):
    """Where stops outlive the process. Both calls may block, and are made off the event loop."""

    def load(self) -> Mapping[str, EmergencyStop]:
        """By vehicle id. Raises `InvalidInput` where what is kept cannot be read: no stop is to be forgotten."""

    def save(self, stops: Mapping[str, EmergencyStop]) -> None:
        """Replace all, whole or not at all, so that it survives a loss of power. Raises OSError."""


class StopKeeper:
    """Keeps what the flight logs tell of. Stopping never waits for it; an answer to whoever stopped or cleared does."""

    def __init__(self, store: StopStore | None) -> None:
        """Without a store stops end with the process, and every answer says so."""
        self._store = store
        self._stops: dict[str, EmergencyStop] = {}
        self._not_on_disk = _NO_STORE if store is None else ""
        # A thread of its own: pictures may keep those of the event loop busy. One, so that the newest is written last.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stops")

    async def load(self) -> Mapping[str, EmergencyStop]:
        """What was latched when the last bridge ended; of vehicles that are not here too, and those stay kept."""
        if self._store is not None:
            self._stops = dict(await asyncio.get_running_loop().run_in_executor(self._writer, self._store.load))
        return dict(self._stops)

    def follow(self, vehicle_id: str, log: FlightLog) -> None:
        """Take note of every change from now on; `settle` writes it."""

        def on_entry(entry: FlightLogEntry) -> None:
            if not isinstance(entry.event, EmergencyStopChanged):
                return
            level, reason, who = entry.event.level, entry.event.reason, entry.event.who
            if level is StopLevel.NONE:
                self._stops.pop(vehicle_id, None)
            else:
                self._stops[vehicle_id] = EmergencyStop(level, reason, entry.log_time_ns, who)

        log.listen(on_entry)

    def stop_of(self, vehicle_id: str) -> EmergencyStop | None:
        """The stop in force and whether it is on the disk."""
        stop = self._stops.get(vehicle_id)
        return None if stop is None else replace(stop, not_on_disk=self._not_on_disk)

    async def settle(self) -> str:
        """Return "" once the disk, if there is one, holds what was noted, or why not: it is full, or hangs.

        Raises nothing, because the stop is in force all the same: an error to its caller would say that it is not.
        """
        if self._store is None:
            return ""  # there is no disk that could hold anything else
        loop = asyncio.get_running_loop()
        saving = loop.run_in_executor(self._writer, self._store.save, dict(self._stops))
        saving.add_done_callback(self._on_saved)
        _, late = await asyncio.wait({saving}, timeout=_DISK_LIMIT_S)
        if late:
            self._say(f"the disk has not taken it within {_DISK_LIMIT_S:g} s")
        return self._not_on_disk

    def _on_saved(self, saving: asyncio.Future[None]) -> None:
        error = None if saving.cancelled() else saving.exception()
        if error is None:
            self._not_on_disk = ""
        else:
            self._say(str(error))

    def _say(self, fault: str) -> None:
        self._not_on_disk = fault or "it could not be written"
        _log.error("emergency stops would not survive a restart of the bridge: %s", fault)
