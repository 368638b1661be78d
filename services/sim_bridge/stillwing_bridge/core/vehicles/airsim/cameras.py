"""Pictures of one vehicle's cameras, on a connection of their own: a picture that hangs delays no hold."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stillwing_bridge.core.types import Camera
from stillwing_bridge.core.vehicle import Capture, View
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.link import Link, Opener, open_connection
from stillwing_bridge.core.vehicles.airsim.readings import Readings
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Connection
from stillwing_common.errors import LinkLost, SimulatorError
from stillwing_common.types import Stamp

_KINDS = {View.COLOUR: (dialect.SCENE, False), View.DEPTH: (dialect.DEPTH_PLANAR, True)}


class AirSimCameras:
    """The cameras of one vehicle; their stamps are on the clock of its `readings`."""

    def __init__(self, settings: AirSimSettings, readings: Readings, opener: Opener = open_connection) -> None:
        self._settings = settings
        self._name = settings.vehicle_name
        self._readings = readings
        self._link = Link(settings, "image", opener)

    def close(self) -> None:
        """Close the connection; the next picture opens another."""
        self._link.close()

    @dialect.understood
    async def describe(self, camera_name: str) -> Camera:
        """Size and field of view; `LinkLost`, `SimulatorError`, `Unsupported` for another dialect."""
        capture = await self.capture(camera_name, (View.COLOUR,))
        connection, language = await self._link.connected()
        info = await self._call(connection, "simGetCameraInfo", *language.camera_info_params(camera_name, self._name))
        if capture.rgb is None or not math.isfinite(info["fov"]):
            raise SimulatorError("the camera has no field of view", camera_id=camera_name)
        height_px, width_px, _ = capture.rgb.shape
        return Camera(camera_name, width_px, height_px, float(info["fov"]), has_depth=True)

    @dialect.understood
    async def capture(self, camera_name: str, views: Collection[View]) -> Capture:
        """All `views` at one instant; `LinkLost`, `SimulatorError`."""
        ordered = [view for view in View if view in views]
        requests = [dialect.image_request(camera_name, _KINDS[view][0], as_float=_KINDS[view][1]) for view in ordered]
        connection, language = await self._link.connected()
        responses = await self._call(connection, "simGetImages", *language.image_params(requests, self._name))
        if len(responses) != len(ordered):
            raise SimulatorError(f"{len(responses)} images instead of {len(ordered)}", camera_id=camera_name)
        pixels: dict[View, Any] = {}
        for view, response in zip(ordered, responses, strict=True):
            dialect.check_image(response, camera_name)
            pixels[view] = (
                _colour(response, blue_first=language.blue_first) if view is View.COLOUR else _depth(response)
            )
        first = responses[0]
        pose = dialect.pose_of({"position": first["camera_position"], "orientation": first["camera_orientation"]})
        stamp = Stamp(dialect.time_of(first["time_stamp"]), self._readings.clock_id)
        return Capture(stamp, pose, pixels.get(View.COLOUR), pixels.get(View.DEPTH))

    async def _call(self, connection: Connection, method: str, *params: object) -> Any:
        try:
            return await connection.call(method, *params, timeout_s=self._settings.image_timeout_s)
        except LinkLost:
            connection.close()  # a hung picture hangs its connection; the next one gets a fresh one
            raise


def _colour(response: dict[str, Any], *, blue_first: bool) -> NDArray[np.uint8]:
    height, width = response["height"], response["width"]
    data = response["image_data_uint8"]
    if len(data) != height * width * 3:
        raise SimulatorError(f"{len(data)} bytes are no {width}x{height} image of three colours")
    pixels = np.frombuffer(data, np.uint8).reshape(height, width, 3)
    return np.ascontiguousarray(pixels[:, :, ::-1]) if blue_first else pixels.copy()


def _depth(response: dict[str, Any]) -> NDArray[np.float32]:
    height, width = response["height"], response["width"]
    data = response["image_data_float"]
    if len(data) != height * width:
        raise SimulatorError(f"{len(data)} values are no {width}x{height} depth image")
    depth_m = np.asarray(data, np.float32).reshape(height, width)
    if np.isnan(depth_m).any():
        raise SimulatorError("the depth image holds what is no number")
    return depth_m
