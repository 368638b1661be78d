"""One AirSim multirotor as a `Vehicle`: motion and state on one connection, pictures on another.

AirSim's booleans are not believed: what came of a call is read from the state.
"""

import asyncio
import re
from collections.abc import Collection
from dataclasses import replace
from typing import Protocol

from stillwing_bridge.core.vehicle import Capture, Plan, VehicleSpec, VehicleState, View
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.cameras import AirSimCameras
from stillwing_bridge.core.vehicles.airsim.link import Opener, open_connection
from stillwing_bridge.core.vehicles.airsim.motion import Motion
from stillwing_bridge.core.vehicles.airsim.readings import Readings
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_common.errors import LinkLost, StillwingError, UnknownCamera

_GROUND = re.compile(r"ground|landscape|terrain|floor", re.IGNORECASE)


class Cameras(Protocol):
    """Takes the vehicle's pictures; see `AirSimCameras`."""

    async def capture(self, camera_name: str, views: Collection[View]) -> Capture:
        """All `views` at one instant; `LinkLost`, `SimulatorError`."""

    def close(self) -> None:
        """Let go of what is open; the next picture opens it again."""


class AirSimVehicle:
    """See `core.vehicle.Vehicle`; `connect` before anything else. `discover` makes one whose cameras are unknown."""

    def __init__(
        self,
        settings: AirSimSettings,
        spec: VehicleSpec,
        readings: Readings,
        cameras: Cameras,
        opener: Opener = open_connection,
    ) -> None:
        self.spec = spec
        self._settings = settings
        self._readings = readings
        self._cameras = cameras
        self._opener = opener
        self._connected: Motion | None = None

    @classmethod
    async def discover(cls, settings: AirSimSettings) -> "AirSimVehicle":
        """Connect and ask for the cameras; `LinkLost`, `Unsupported` for another dialect, `SimulatorError`."""
        readings = Readings(settings.battery_endurance_s)
        cameras = AirSimCameras(settings, readings)
        try:
            descriptions = [await cameras.describe(name) for name in settings.camera_names]
            vehicle = cls(settings, VehicleSpec(settings.vehicle_id, tuple(descriptions)), readings, cameras)
            await vehicle.connect()
        except StillwingError:
            cameras.close()
            raise
        return vehicle

    async def connect(self) -> None:
        """See `Vehicle.connect`."""
        await self.close()
        connection = await self._opener(self._settings, "motion")
        self._connected = Motion(connection, self._settings, self._readings)
        await self._connected.begin()

    async def close(self) -> None:
        """See `Vehicle.close`."""
        if self._connected is not None:
            self._connected.close()
        self._connected = None
        self._cameras.close()

    @dialect.understood
    async def state(self) -> VehicleState:
        """See `Vehicle.state`."""
        motion = self._motion()
        reading: VehicleState
        reading, collision, controlled = await asyncio.gather(motion.read(), motion.collision(), motion.controlled())
        collided_with = None
        if collision["has_collided"] and not _GROUND.search(collision["object_name"]):
            collided_with = collision["object_name"] or "unknown"
        return replace(reading, controlled=controlled, collided_with=collided_with)

    def clock_restarted(self) -> None:
        """The world was reset: times from before mean nothing any more, and the vehicle stands disarmed."""
        self._readings.restart()

    async def hold(self) -> None:
        """See `Vehicle.hold`."""
        await self._motion().hold()

    async def kill(self) -> None:
        """See `Vehicle.kill`."""
        await self._motion().kill()

    async def fly(self, plan: Plan, ttl_s: float) -> None:
        """See `Vehicle.fly`."""
        await self._motion().fly(plan, ttl_s)

    async def capture(self, camera_id: str, views: Collection[View]) -> Capture:
        """See `Vehicle.capture`."""
        if all(camera.camera_id != camera_id for camera in self.spec.cameras):
            raise UnknownCamera(camera_id=camera_id)
        return await self._cameras.capture(camera_id, views)

    def _motion(self) -> Motion:
        if self._connected is None:
            raise LinkLost("not connected")
        return self._connected
