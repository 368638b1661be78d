"""Calls about cameras and their images, in the dialect's parameters and byte order."""

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stillwing_airfield import values, wire
from stillwing_airfield.calls.binding import CallFailed, Slot, bind, finite
from stillwing_airfield.calls.segments import Segments
from stillwing_airfield.dialects import TRAITS, Dialect
from stillwing_airfield.faults import Faults
from stillwing_airfield.images import KIND_OF, ImageRequest, ImageType, as_rgb, png, response
from stillwing_airfield.mounts import place_camera
from stillwing_airfield.rendering import Optics
from stillwing_airfield.sim import Airfield, Shot, Take


class CameraCalls:
    """Bound to one simulator. Images are drawn on its thread and encoded on `pool`."""

    def __init__(
        self, airfield: Airfield, segments: Segments, pool: ThreadPoolExecutor, dialect: Dialect, faults: Faults
    ) -> None:
        self._airfield = airfield
        self._segments = segments
        self._pool = pool
        self._traits = TRAITS[dialect]
        self._faults = faults

    @bind("simGetCameraInfo", wire.text, Slot.SIM_VEHICLE, Slot.EXTERNAL)
    def get_camera_info(self, camera: str, vehicle: str) -> dict[str, Any]:
        _, mount, optics = self._airfield.mount(camera, vehicle)
        state = self._airfield.do(lambda v: v.state(), vehicle)
        focal = 1 / math.tan(math.radians(optics.hfov_deg) / 2)
        aspect = optics.width_px / optics.height_px
        matrix = [[0.0] * 4 for _ in range(4)]
        matrix[0][0], matrix[1][1], matrix[2][3], matrix[3][2] = focal, focal * aspect, 10.0, 1.0
        return {
            "pose": values.pose(*place_camera(state, mount)),
            "fov": optics.hfov_deg,
            "proj_mat": {"matrix": matrix},
        }

    @bind("simSetCameraPose", wire.text, values.POSE, Slot.SIM_VEHICLE, Slot.EXTERNAL)
    def set_camera_pose(self, camera: str, pose: dict[str, Any], vehicle: str) -> None:
        self._airfield.set_mount(camera, values.mount(pose), vehicle)

    @bind("simSetCameraFov", wire.text, finite, Slot.SIM_VEHICLE, Slot.EXTERNAL)
    def set_camera_fov(self, camera: str, hfov_deg: float, vehicle: str) -> None:
        if not 1 <= hfov_deg <= 170:
            raise CallFailed(f"a field of view is 1 to 170 degrees, got {hfov_deg:f}")
        self._airfield.set_hfov(camera, hfov_deg, vehicle)

    @bind("simGetImages", wire.array_of(values.IMAGE_REQUEST), Slot.SIM_VEHICLE, Slot.EXTERNAL)
    def get_images(self, requests: list[dict[str, Any]], vehicle: str) -> Any:
        image_requests = [self._image_request(fields) for fields in requests]
        if not image_requests:
            return []
        for request in image_requests:
            self._airfield.mount(request.camera, vehicle)
        return self._faults.images(vehicle, requests, lambda: self._pool.submit(self._take, image_requests, vehicle))

    @bind("simGetImage", wire.text, wire.integer, Slot.SIM_VEHICLE, Slot.EXTERNAL, Slot.ANNOTATION)
    def get_image(self, camera: str, kind: int, vehicle: str) -> Any:
        request = self._image_request(
            {"camera_name": camera, "image_type": kind, "pixels_as_float": False, "compress": True}
        )
        self._airfield.mount(request.camera, vehicle)
        return self._faults.image(lambda: self._pool.submit(self._take_png, request, vehicle))

    def _take(self, requests: list[ImageRequest], vehicle: str) -> list[dict[str, Any]]:
        """All images of one instant; a camera asked for several kinds of one size is drawn once."""
        kinds: dict[tuple[str, Optics], set[str]] = {}
        types: dict[tuple[str, Optics], int] = {}
        keys = []
        for request in requests:
            name, _, optics = self._airfield.mount(request.camera, vehicle, int(request.type))
            keys.append((name, optics))
            kinds.setdefault((name, optics), set()).add(KIND_OF[request.type])
            types[name, optics] = int(request.type)
        takes = [Take(key[0], sorted(names), vehicle, types[key]) for key, names in kinds.items()]
        shots: dict[tuple[str, Optics], Shot] = dict(zip(kinds, self._airfield.shoot(takes), strict=True))
        return [
            response(request, shots[key], self._segments.ids, key[1].hfov_deg, self._traits)
            for request, key in zip(requests, keys, strict=True)
        ]

    def _take_png(self, request: ImageRequest, vehicle: str) -> bytes:
        name, _, optics = self._airfield.mount(request.camera, vehicle, int(request.type))
        (shot,) = self._airfield.shoot([Take(name, [KIND_OF[request.type]], vehicle, int(request.type))])
        return png(as_rgb(request.type, shot, self._segments.ids, optics.hfov_deg))

    def _image_request(self, fields: dict[str, Any]) -> ImageRequest:
        try:
            kind = ImageType(fields["image_type"])
        except ValueError as error:
            drawn = ", ".join(f"{known.value} ({known.name.lower()})" for known in ImageType)
            raise CallFailed(f"image type {fields['image_type']} is not drawn here; known: {drawn}") from error
        return ImageRequest(fields["camera_name"], kind, fields["pixels_as_float"], fields["compress"])
