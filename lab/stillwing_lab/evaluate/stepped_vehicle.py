"""Airfield in this process as the bridge's vehicle: the bridge's own AirSim code, without a socket in between.

Motions and state go through the method table that airfield's server answers with; pictures are drawn on the calling
thread, because a stepped simulator has no other. It knows nothing of missions.
"""

import asyncio
from collections.abc import Collection
from concurrent.futures import Future
from typing import Any

from stillwing_airfield.methods import Methods, Refused
from stillwing_airfield.sim import Airfield
from stillwing_airfield.wire import Request
from stillwing_bridge.core.types import Camera
from stillwing_bridge.core.vehicle import Capture, VehicleSpec, View
from stillwing_bridge.core.vehicles.airsim.readings import Readings
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Connection
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
from stillwing_common.errors import SimulatorError
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp

VEHICLE_ID = "drone"
_KINDS = {View.COLOUR: "scene", View.DEPTH: "depth"}


class InProcessTransport:
    """Calls airfield's methods directly; the shape of the bridge's `Transport`."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods
        self.alive = True

    def submit(self, method: str, *params: object) -> "Future[Any]":
        """Send a call; the future is its answer."""
        try:
            answer = self._methods.call(Request(0, method, list(params)))
        except Refused as refusal:
            failed: Future[Any] = Future()
            failed.set_exception(SimulatorError(str(refusal), method=method))
            return failed
        if isinstance(answer, Future):
            return answer
        done: Future[Any] = Future()
        done.set_result(answer)
        return done

    async def call(self, method: str, *params: object, timeout_s: float) -> Any:
        """Send a call and wait for its answer, on simulated time. Raises SimulatorError."""
        answer = self.submit(method, *params)
        if answer.done():
            return answer.result()
        # Shielded, because the answer is the simulator's own, who gives it even if nobody waits any more.
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(answer)), timeout_s)

    def close(self) -> None:
        """Nothing to let go."""
        self.alive = False


class SteppedCameras:
    """Draws the vehicle's pictures; the shape of the bridge's `AirSimCameras`."""

    def __init__(self, airfield: Airfield, readings: Readings) -> None:
        self._airfield = airfield
        self._readings = readings

    def close(self) -> None:
        """Nothing to let go."""

    async def capture(self, camera_name: str, views: Collection[View]) -> Capture:
        """All `views` at one instant."""
        shot = self._airfield.capture(camera_name, [_KINDS[view] for view in views])
        return Capture(
            Stamp(shot.time_ns, self._readings.clock_id),
            Pose(PositionNed(*shot.camera_pose.position_ned_m), Quaternion(*shot.camera_pose.orientation_wxyz_ned)),
            shot.images.get("scene"),
            shot.images.get("depth"),
        )


class SteppedVehicle(AirSimVehicle):
    """One stepped airfield; see `stillwing_bridge.core.vehicle.Vehicle`."""

    def __init__(self, airfield: Airfield) -> None:
        self._methods = methods = Methods(airfield)
        optics = airfield.optics
        camera = Camera("front_center", optics.width_px, optics.height_px, optics.hfov_deg, has_depth=True)
        readings = Readings(battery_endurance_s=0)

        async def open_connection(settings: AirSimSettings, name: str) -> Connection:
            return InProcessTransport(methods)

        super().__init__(
            AirSimSettings(vehicle_id=VEHICLE_ID),
            VehicleSpec(VEHICLE_ID, (camera,)),
            readings,
            SteppedCameras(airfield, readings),
            open_connection,
        )

    def end(self) -> None:
        """Let the method table's threads go, after the bridge is closed."""
        self._methods.close()
