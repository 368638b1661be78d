"""An emergency stop in words: who stopped, when and why, and what clears it; told as soon as it comes into force."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from stillwing_common.errors import StillwingError

if TYPE_CHECKING:  # takes time to import, which a stop has not
    from stillwing_bridge.core.protocol import Bridge
    from stillwing_bridge.core.types import EmergencyStop

CLEAR_COMMAND = "stillwing stop --clear"
_LOOK_EVERY_S = 0.5


def stop_words(vehicle_id: str, stop: "EmergencyStop") -> str:
    """The stop that is in force, in one line without how to clear it."""
    when = datetime.fromtimestamp(stop.latched_time_ns / 1e9).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    words = f"{vehicle_id}: emergency stop {stop.level.name} by {stop.who or 'somebody'} at {when}"
    words += f": {stop.reason}" if stop.reason else ""
    return words + (f" (not on disk: {stop.not_on_disk})" if stop.not_on_disk else "")


async def stops_in_force(bridge: "Bridge") -> "dict[str, EmergencyStop]":
    """By vehicle; empty where nothing is stopped."""
    stops = {
        vehicle.vehicle_id: await bridge.get_emergency_stop(vehicle.vehicle_id)
        for vehicle in await bridge.list_vehicles()
    }
    return {vehicle_id: stop for vehicle_id, stop in stops.items() if stop is not None}


def told(vehicle_id: str, stop: "EmergencyStop") -> str:
    """The stop that is in force, and how to clear it."""
    return f"{stop_words(vehicle_id, stop)}. To clear it: {CLEAR_COMMAND}"


async def follow_stops(
    bridge: "Bridge", tell: Callable[[str], None], known: "Mapping[str, EmergencyStop] | None" = None
) -> None:
    """Tell of each stop that is in force and not `known`, of each that comes, and of its end, until cancelled.

    Asked twice a second instead of taken from telemetry, which is silent while the simulator is.
    """
    before = dict(known or {})
    is_known = True
    while True:
        try:
            now, is_known = await stops_in_force(bridge), True
        except StillwingError as error:
            now = before
            if is_known:
                tell(f"whether an emergency stop is in force is not known: {error}")
            is_known = False
        for vehicle_id, stop in now.items():
            if before.get(vehicle_id) != stop:
                tell(told(vehicle_id, stop))
        for vehicle_id in before.keys() - now.keys():
            tell(f"{vehicle_id}: the emergency stop is cleared")
        before = now
        await asyncio.sleep(_LOOK_EVERY_S)
