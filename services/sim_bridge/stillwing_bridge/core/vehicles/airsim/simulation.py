"""AirSim's world as a `Simulation`, on a connection of its own: stepping blocks, and must not delay a hold."""

import json
import math
from typing import Any

from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.types import GroundTruth, WorldInfo
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.link import Link
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
from stillwing_common.errors import InvalidInput, UnknownObject
from stillwing_common.types import Pose, Stamp

_CALL_TIMEOUT_S = 5.0
_MAX_STEP_S = 600.0


class AirSimSimulation:
    """See `core.protocol.Simulation`; `bridge` drives the vehicles of the same simulator."""

    def __init__(self, settings: AirSimSettings, bridge: LocalBridge) -> None:
        self._settings = settings
        self._bridge = bridge
        self._link = Link(settings, "world")

    async def close(self) -> None:
        """Close the connection."""
        self._link.close()

    async def get_world(self) -> WorldInfo:
        """See `Simulation.get_world`."""
        settings_json = await self._call("getSettingsString")
        paused = await self._call("simIsPaused")
        return WorldInfo(_simulator(settings_json), settings_json, paused, await self._stamp())

    async def reset(self) -> Stamp:
        """See `Simulation.reset`."""
        await self._call("reset")
        for driver in self._bridge.drivers:
            if isinstance(driver.vehicle, AirSimVehicle):
                driver.vehicle.clock_restarted()
            await driver.refresh()
        return await self._stamp()

    async def pause(self, paused: bool) -> None:
        """See `Simulation.pause`."""
        await self._call("simPause", paused)

    async def step(self, duration_s: float) -> Stamp:
        """See `Simulation.step`."""
        if not 0 < duration_s <= _MAX_STEP_S:
            raise InvalidInput(f"a step takes more than 0 and at most {_MAX_STEP_S:g} s", field="duration")
        # A busy machine simulates slower than time passes.
        await self._call("simContinueForTime", float(duration_s), timeout_s=_CALL_TIMEOUT_S + 10 * duration_s)
        return await self._stamp()

    @dialect.understood
    async def vehicle_ground_truth(self, vehicle_id: str) -> GroundTruth:
        """See `Simulation.vehicle_ground_truth`."""
        driver = self._bridge.driver(vehicle_id)
        truth = await self._call("simGetGroundTruthKinematics", self._settings.vehicle_name)
        stamp = (await driver.refresh()).stamp
        return GroundTruth(stamp, dialect.pose_of(truth), dialect.velocity_of(truth["linear_velocity"]))

    @dialect.understood
    async def object_ground_truth(self, object_name: str) -> GroundTruth:
        """See `Simulation.object_ground_truth`."""
        _, language = await self._link.connected()
        answer = await self._call("simGetObjectPose", *language.object_pose_params(object_name))
        if math.isnan(answer["position"]["x_val"]):
            raise UnknownObject(object_name=object_name)
        return GroundTruth(await self._stamp(), dialect.pose_of(answer), None)

    async def list_objects(self, name_regex: str = "") -> tuple[str, ...]:
        """See `Simulation.list_objects`."""
        return tuple(sorted(await self._call("simListSceneObjects", name_regex or ".*")))

    async def spawn_object(self, object_name: str, asset: str, pose: Pose, scale: float) -> str:
        """See `Simulation.spawn_object`."""
        if not (math.isfinite(scale) and scale > 0):
            raise InvalidInput("scale is above 0", field="scale")
        size = {"x_val": scale, "y_val": scale, "z_val": scale}
        name = await self._call("simSpawnObject", object_name, asset, dialect.wire_pose(pose), size, False, False)
        return str(name)

    async def _stamp(self) -> Stamp:
        return (await self._bridge.drivers[0].refresh()).stamp

    async def _call(self, method: str, *params: object, timeout_s: float = _CALL_TIMEOUT_S) -> Any:
        connection, _ = await self._link.connected()
        return await connection.call(method, *params, timeout_s=timeout_s)


def _simulator(settings_json: str) -> str:
    try:
        settings = json.loads(settings_json)
    except ValueError:
        return "airsim"
    # Airfield names the scene it draws in its settings; AirSim's world is whatever Unreal was built with.
    return "airfield" if isinstance(settings, dict) and "Scene" in settings else "airsim"
