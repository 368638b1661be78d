"""An emergency stop in words: who stopped, when and why, and what clears it."""

from datetime import datetime

from stillwing_bridge.core.types import EmergencyStop

CLEAR_COMMAND = "stillwing stop --clear"


def stop_words(vehicle_id: str, stop: EmergencyStop) -> str:
    """The stop that is in force, in one line without how to clear it."""
    when = datetime.fromtimestamp(stop.latched_time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    words = f"{vehicle_id}: emergency stop {stop.level.name} by {stop.who or 'somebody'} at {when}"
    words += f": {stop.reason}" if stop.reason else ""
    return words + (f" (not on disk: {stop.not_on_disk})" if stop.not_on_disk else "")
