"""AirSim's world as a `Simulation`, on a connection of its own: stepping blocks, and must not delay a hold."""

import asyncio
import json
import math
from typing import Any

from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.types import GroundTruth, WorldInfo
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.transport import Transport
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimSettings, AirSimVehicle
from stillwing_common.errors import InvalidInput, UnknownObject, Unsupported
from stillwing_common.types import Pose, Stamp

_CALL_TIMEOUT_S = 5.0
_MAX_STEP_S = 600.0


class AirSimSimulation:
    """See `core.protocol.Simulation`; `bridge` drives the vehicles of the same simulator."""

    def __init__(self, settings: AirSimSettings, bridge: LocalBridge) -> None:
        self._settings = settings
        self._bridge = bridge
        self._connection: Transport | None = None
        self._dialect = dialect.MICROSOFT
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()

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

    async def vehicle_ground_truth(self, vehicle_id: str) -> GroundTruth:
        """See `Simulation.vehicle_ground_truth`."""
        return await self._bridge.driver(vehicle_id).vehicle.ground_truth()

    @dialect.understood
    async def object_ground_truth(self, object_name: str) -> GroundTruth:
        """See `Simulation.object_ground_truth`."""
        await self._connected()
        answer = await self._call("simGetObjectPose", *self._dialect.object_pose_params(object_name))
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
        return await (await self._connected()).call(method, *params, timeout_s=timeout_s)

    async def _connected(self) -> Transport:
        async with self._opening:
            if self._connection is None or not self._connection.alive:
                s = self._settings
                self._connection = await asyncio.to_thread(
                    Transport.open, s.host, s.port, timeout_s=s.connect_timeout_s, name="world"
                )
                self._dialect = await dialect.detect(self._connection, s.vehicle_name, timeout_s=s.connect_timeout_s)
            return self._connection


class NoSimulation:
    """What stands in the place of a `Simulation` for real vehicles: everything raises `Unsupported`."""

    async def get_world(self) -> WorldInfo:
        """`Unsupported`."""
        raise _real()

    async def reset(self) -> Stamp:
        """`Unsupported`."""
        raise _real()

    async def pause(self, paused: bool) -> None:
        """`Unsupported`."""
        raise _real()

    async def step(self, duration_s: float) -> Stamp:
        """`Unsupported`."""
        raise _real()

    async def vehicle_ground_truth(self, vehicle_id: str) -> GroundTruth:
        """`Unsupported`."""
        raise _real()

    async def object_ground_truth(self, object_name: str) -> GroundTruth:
        """`Unsupported`."""
        raise _real()

    async def list_objects(self, name_regex: str = "") -> tuple[str, ...]:
        """`Unsupported`."""
        raise _real()

    async def spawn_object(self, object_name: str, asset: str, pose: Pose, scale: float) -> str:
        """`Unsupported`."""
        raise _real()


def _real() -> Unsupported:
    return Unsupported("the vehicles of this bridge are not simulated")


def _simulator(settings_json: str) -> str:
    try:
        settings = json.loads(settings_json)
    except ValueError:
        return "airsim"
    # Airfield names the scene it draws in its settings; AirSim's world is whatever Unreal was built with.
    return "airfield" if isinstance(settings, dict) and "Scene" in settings else "airsim"
