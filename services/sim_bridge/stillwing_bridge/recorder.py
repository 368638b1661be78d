"""Writes a vehicle's flight log to a file as lines of JSON, in the wire's field names. Knows nothing of commands."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from stillwing_bridge.convert.flight_log import entry_to_json
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_common.errors import InvalidInput

_log = logging.getLogger(__name__)


class FlightLogRecorder:
    """Writes every entry, line by line, so that a killed bridge loses none; `close` when done.

    One file for each run of the bridge, because each run numbers its entries anew.
    """

    def __init__(self, log: FlightLog, folder: Path, vehicle_id: str) -> None:
        """Starts with the entries there are; `InvalidInput` if the folder cannot be written to."""
        started = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.path = folder / f"flight_log_{vehicle_id}_{started}_{os.getpid()}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise InvalidInput(f"{self.path}: {error.strerror}", field="record") from error
        for entry in log.after(0, log.last_seq):
            self._write(entry)
        self._stop_listening: Callable[[], None] = log.listen(self._write)

    def close(self) -> None:
        """Write no more."""
        self._stop_listening()
        self._file.close()

    def _write(self, entry: FlightLogEntry) -> None:
        try:
            self._file.write(entry_to_json(entry) + "\n")
        except OSError as error:
            # A full disk must not stop a hold; the log in memory goes on.
            _log.error("flight log %s: %s", self.path, error)
