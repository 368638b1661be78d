"""python -m pytest tests/unit/bridge/test_flight_log.py"""

import logging

import pytest

from stillwing_bridge.core.events import EmergencyStopChanged, FlightLogEntry
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.core.types import StopLevel
from stillwing_common.clock import FakeClock


def test_a_listener_that_breaks_breaks_neither_the_judge_nor_the_others(caplog: pytest.LogCaptureFixture) -> None:
    log = FlightLog(FakeClock())
    heard: list[FlightLogEntry] = []

    def breaks(entry: FlightLogEntry) -> None:
        raise OSError("the disk is full")

    log.listen(breaks)
    log.listen(heard.append)
    caplog.set_level(logging.CRITICAL)
    entry = log.append(EmergencyStopChanged(StopLevel.HOLD, "smoke", "operator"), None)
    assert heard == [entry]
    assert log.after(0) == (entry,)
