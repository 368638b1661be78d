"""Calls about the simulator itself: versions, time, reset, the scene's objects, cameras and images."""

import json
import logging
import math
import re
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from stillwing_airfield import values, wire
from stillwing_airfield.calls.binding import VEHICLE, CallFailed, bind, finite, seconds, sim_vehicle
from stillwing_airfield.calls.segments import Segments
from stillwing_airfield.images import KIND_OF, ImageRequest, ImageType, as_rgb, png, response
from stillwing_airfield.mounts import Mount, place_camera
from stillwing_airfield.sim import Airfield, Shot

_log = logging.getLogger("airfield")
_VERSION = 1
_SEVERITY = {0: logging.INFO, 1: logging.INFO, 2: logging.WARNING, 3: logging.ERROR}


class WorldCalls:
    """Bound to one simulator. Images are drawn on its thread and encoded on `pool`."""

    def __init__(self, airfield: Airfield, segments: Segments, pool: ThreadPoolExecutor) -> None:
        self._airfield = airfield
        self._segments = segments
        self._pool = pool

    @bind("ping")
    def ping(self) -> bool:
        return True

    @bind("getServerVersion")
    def get_server_version(self) -> int:
        return _VERSION

    @bind("getMinRequiredClientVersion")
    def get_min_required_client_version(self) -> int:
        return _VERSION

    @bind("reset")
    def reset(self) -> None:
        self._airfield.reset()
        self._segments.reset()

    @bind("simPause", wire.boolean)
    def pause(self, paused: bool) -> None:
        self._airfield.pause(paused)

    @bind("simIsPaused")
    def is_paused(self) -> bool:
        return self._airfield.paused

    @bind("simContinueForTime", seconds)
    def continue_for_time(self, duration_s: float) -> Future[None]:
        if not 0 <= duration_s < math.inf:
            raise CallFailed(f"cannot continue for {duration_s} s")
        return self._airfield.continue_for(duration_s)

    @bind("listVehicles")
    def list_vehicles(self) -> list[str]:
        return [VEHICLE]

    @bind("getSettingsString")
    def get_settings_string(self) -> str:
        optics = self._airfield.optics
        capture = [
            {"ImageType": kind, "Width": optics.width_px, "Height": optics.height_px, "FOV_Degrees": optics.hfov_deg}
            for kind in KIND_OF
        ]
        return json.dumps(
            {
                "SettingsVersion": 1.2,
                "SimMode": "Multirotor",
                "ViewMode": "NoDisplay",
                "CameraDefaults": {"CaptureSettings": capture},
                "Scene": {"Name": self._airfield.scene.name, "Seed": self._airfield.scene.seed},
            }
        )

    @bind("simPrintLogMessage", wire.text, wire.text, wire.byte)
    def print_log_message(self, message: str, parameter: str, severity: int) -> None:
        _log.log(_SEVERITY.get(severity, logging.INFO), "client says: %s%s", message, parameter)

    # Objects

    @bind("simListSceneObjects", wire.text)
    def list_scene_objects(self, pattern: str) -> list[str]:
        try:
            return self._segments.matching(pattern)
        except re.error as error:
            raise CallFailed("regex_error") from error

    @bind("simGetObjectPose", wire.text)
    def get_object_pose(self, name: str) -> dict[str, Any]:
        for thing in self._airfield.scene.objects:
            if thing.name == name:
                return values.pose(thing.position_ned_m, (1.0, 0.0, 0.0, 0.0))
        return values.NAN_POSE

    @bind("simSetSegmentationObjectID", wire.text, wire.integer, wire.boolean)
    def set_segmentation_object_id(self, name: str, object_id: int, is_regex: bool) -> bool:
        if not 0 <= object_id < 256:
            raise CallFailed(f"segmentation ids are 0 to 255, got {object_id}")
        try:
            return self._segments.set_id(name, object_id, is_regex)
        except re.error as error:
            raise CallFailed("regex_error") from error

    @bind("simGetSegmentationObjectID", wire.text)
    def get_segmentation_object_id(self, name: str) -> int:
        return self._segments.id_of(name)

    @bind("simTestLineOfSightToPoint", values.GEO_POINT, sim_vehicle)
    def is_in_line_of_sight(self, point: dict[str, float], _vehicle: str) -> bool:
        here = self._airfield.do(lambda v: v.state()).position_ned_m
        there = values.local_position(point)
        distance_m = math.dist(here, there)
        if not math.isfinite(distance_m):
            raise CallFailed("a point needs finite coordinates")
        if distance_m == 0:
            return True
        way = (there[0] - here[0], there[1] - here[1], there[2] - here[2])
        return self._airfield.cast_ray(here, way, distance_m) is None

    # Cameras

    @bind("simGetCameraInfo", wire.text, sim_vehicle, wire.boolean)
    def get_camera_info(self, camera: str, _vehicle: str, _external: bool) -> dict[str, Any]:
        _, mount, optics = self._airfield.mount(camera)
        state = self._airfield.do(lambda v: v.state())
        focal = 1 / math.tan(math.radians(optics.hfov_deg) / 2)
        aspect = optics.width_px / optics.height_px
        matrix = [[0.0] * 4 for _ in range(4)]
        matrix[0][0], matrix[1][1], matrix[2][3], matrix[3][2] = focal, focal * aspect, 10.0, 1.0
        return {
            "pose": values.pose(*place_camera(state, mount)),
            "fov": optics.hfov_deg,
            "proj_mat": {"matrix": matrix},
        }

    @bind("simSetCameraPose", wire.text, values.POSE, sim_vehicle, wire.boolean)
    def set_camera_pose(self, camera: str, pose: dict[str, Any], _vehicle: str, _external: bool) -> None:
        place, turn = values.triple(pose["position"]), values.quadruple(pose["orientation"])
        size = math.hypot(*turn)
        if not all(map(math.isfinite, (*place, *turn))) or size == 0:
            raise CallFailed("a camera pose needs finite numbers and an orientation that is not zero")
        unit = (turn[0] / size, turn[1] / size, turn[2] / size, turn[3] / size)
        self._airfield.set_mount(camera, Mount(place, unit))

    @bind("simSetCameraFov", wire.text, finite, sim_vehicle, wire.boolean)
    def set_camera_fov(self, camera: str, hfov_deg: float, _vehicle: str, _external: bool) -> None:
        if not 1 <= hfov_deg <= 170:
            raise CallFailed(f"a field of view is 1 to 170 degrees, got {hfov_deg:f}")
        self._airfield.set_hfov(camera, hfov_deg)

    @bind("simGetImages", wire.array_of(values.IMAGE_REQUEST), sim_vehicle, wire.boolean)
    def get_images(self, requests: list[dict[str, Any]], _vehicle: str, _external: bool) -> Any:
        wanted = [_image_request(fields) for fields in requests]
        if not wanted:
            return []
        for request in wanted:
            self._airfield.mount(request.camera)
        return self._pool.submit(self._take, wanted)

    @bind("simGetImage", wire.text, wire.integer, sim_vehicle, wire.boolean)
    def get_image(self, camera: str, kind: int, _vehicle: str, _external: bool) -> "Future[bytes]":
        request = _image_request(
            {"camera_name": camera, "image_type": kind, "pixels_as_float": False, "compress": True}
        )
        self._airfield.mount(camera)
        return self._pool.submit(self._take_png, request)

    def _take(self, requests: list[ImageRequest]) -> list[dict[str, Any]]:
        """All images of one instant; a camera asked for several kinds is drawn once."""
        kinds: dict[str, set[str]] = {}
        for request in requests:
            kinds.setdefault(self._airfield.mount(request.camera)[0], set()).add(KIND_OF[request.type])
        wanted = [(camera, sorted(names)) for camera, names in kinds.items()]
        shots: dict[str, Shot] = {shot.camera: shot for shot in self._airfield.capture_many(wanted)}
        answers = []
        for request in requests:
            name, _, optics = self._airfield.mount(request.camera)
            answers.append(response(request, shots[name], self._segments.ids, optics.hfov_deg))
        return answers

    def _take_png(self, request: ImageRequest) -> bytes:
        name, _, optics = self._airfield.mount(request.camera)
        (shot,) = self._airfield.capture_many([(name, [KIND_OF[request.type]])])
        return png(as_rgb(request.type, shot, self._segments.ids, optics.hfov_deg))


def _image_request(fields: dict[str, Any]) -> ImageRequest:
    try:
        kind = ImageType(fields["image_type"])
    except ValueError as error:
        drawn = ", ".join(f"{known.value} ({known.name.lower()})" for known in ImageType)
        raise CallFailed(f"image type {fields['image_type']} is not drawn here; known: {drawn}") from error
    return ImageRequest(fields["camera_name"], kind, fields["pixels_as_float"], fields["compress"])
