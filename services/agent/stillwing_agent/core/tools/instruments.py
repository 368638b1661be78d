"""What a mission reads off its vehicle at a pause: height, heading, way home, way flown, and how far it can see back.

It knows nothing of tools, prompts or models.
"""

import asyncio
import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from stillwing_agent.core.flight import Flight
from stillwing_agent.core.frame_pump import FramePump
from stillwing_agent.core.prompting.base import VehicleState
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import Telemetry
from stillwing_common.errors import LinkLost
from stillwing_common.types import PositionNed


async def read_telemetry(bridge: Bridge, vehicle_id: str, timeout_s: float) -> Telemetry:
    """The newest state of a vehicle. Raises LinkLost where there is none within `timeout_s`."""
    states = bridge.watch_telemetry(vehicle_id)
    try:
        async with asyncio.timeout(timeout_s):
            return await anext(states)
    except (TimeoutError, StopAsyncIteration) as error:
        raise LinkLost("the bridge shows no state of the vehicle", vehicle_id=vehicle_id) from error
    finally:
        if isinstance(states, AsyncGenerator):
            await states.aclose()


@dataclass(slots=True)
class Instruments:
    """Of one mission. The way flown is the sum of straight lines between readings, as motions are."""

    flight: Flight
    pump: FramePump
    _last: PositionNed | None = None
    _flown_m: float = 0.0

    async def vehicle(self) -> VehicleState:
        """Read it now. Raises LinkLost."""
        flight = self.flight
        with flight.life.waiting():
            telemetry = await read_telemetry(flight.bridge, flight.lease.vehicle_id, flight.settings.frame_timeout_s)
        here = telemetry.pose.position
        if self._last is not None:
            self._flown_m += here.distance_m(self._last)
        self._last = here
        return VehicleState(
            height_m=-here.down_m,
            heading_deg=telemetry.pose.orientation.yaw_deg % 360,
            home_m=math.hypot(here.north_m, here.east_m),
            home_bearing_deg=math.degrees(math.atan2(-here.east_m, -here.north_m)) % 360,
            flown_m=self._flown_m,
            is_flying=telemetry.flying,
            battery_fraction=telemetry.battery_fraction,
        )

    @property
    def time_left_s(self) -> float:
        """Until the mission's time limit."""
        return self.flight.deadline_s - self.flight.clock.monotonic_s()
