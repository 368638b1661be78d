"""Drawn images as AirSim sends them: PNG files, raw B,G,R rows, float pixels, segmentation in palette colours.

It knows the layout of an ImageResponse and nothing of cameras or sockets.
"""

import io
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from stillwing_airfield.camera import ray_lengths
from stillwing_airfield.dialects import Traits
from stillwing_airfield.palette import PALETTE
from stillwing_airfield.sim import Shot
from stillwing_airfield.values import quaternionr, vector3r
from stillwing_airfield.wire import Float32Array

Pixels = npt.NDArray[np.uint8]

_DEEPEST_M = 65504.0
_PNG_LEVEL = 1


class ImageType(IntEnum):
    """AirSim's image types that airfield draws."""

    SCENE = 0
    DEPTH_PLANAR = 1
    DEPTH_PERSPECTIVE = 2
    DEPTH_VIS = 3
    SEGMENTATION = 5


KIND_OF = {
    ImageType.SCENE: "scene",
    ImageType.DEPTH_PLANAR: "depth",
    ImageType.DEPTH_PERSPECTIVE: "depth",
    ImageType.DEPTH_VIS: "depth",
    ImageType.SEGMENTATION: "segmentation",
}
"""What has to be drawn for each type."""


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """One image that was asked for."""

    camera: str
    type: ImageType
    pixels_as_float: bool = False
    compress: bool = True


def response(
    request: ImageRequest, shot: Shot, segment_ids: npt.NDArray[np.int32], hfov_deg: float, traits: Traits
) -> dict[str, Any]:
    """ImageResponse of a shot; `segment_ids` (n + 1,) has the id of each object and, last, of what is none."""
    height_px, width_px = next(iter(shot.images.values())).shape[:2]
    data, numbers = b"", Float32Array(np.empty(0, np.float32))
    if request.pixels_as_float:
        numbers = Float32Array(_as_float(request.type, shot, segment_ids, hfov_deg))
    else:
        rgb = as_rgb(request.type, shot, segment_ids, hfov_deg)
        rows = rgb[..., ::-1] if traits.blue_first else rgb
        data = png(rgb) if request.compress else np.ascontiguousarray(rows).tobytes()
    objects = {
        "image_data_uint8": data,
        "image_data_float": numbers,
        "camera_position": vector3r(shot.camera_pose.position_ned_m),
        "camera_name": request.camera,
        "camera_orientation": quaternionr(shot.camera_pose.orientation_wxyz_ned),
        "time_stamp": shot.time_ns,
        "message": "",
        "pixels_as_float": request.pixels_as_float,
        "compress": request.compress,
        "width": width_px,
        "height": height_px,
        "image_type": int(request.type),
    }
    return objects | {"annotation_name": ""} if traits.has_annotations else objects


def png(rgb: Pixels) -> bytes:
    """A PNG file, packed quickly rather than tightly."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, "PNG", compress_level=_PNG_LEVEL)
    return buffer.getvalue()


def as_rgb(kind: ImageType, shot: Shot, segment_ids: npt.NDArray[np.int32], hfov_deg: float) -> Pixels:
    """Eight-bit R,G,B (H, W, 3): colours as seen, palette colours, or depth as grey (metres, or 100 m to white)."""
    if kind is ImageType.SCENE:
        scene: Pixels = shot.images["scene"]
        return scene
    if kind is ImageType.SEGMENTATION:
        coloured: Pixels = PALETTE[segment_ids[shot.images["segmentation"]]]
        return coloured
    depth = _depth(kind, shot, hfov_deg)
    scale = 255.0 / 100.0 if kind is ImageType.DEPTH_VIS else 1.0
    grey = np.clip(depth * scale, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _as_float(
    kind: ImageType, shot: Shot, segment_ids: npt.NDArray[np.int32], hfov_deg: float
) -> npt.NDArray[np.float32]:
    """Float pixels: one per pixel for depth, and R,G,B in 0 to 1 for the rest."""
    if KIND_OF[kind] == "depth":
        depth = _depth(kind, shot, hfov_deg)
        return np.clip(depth / 100.0, 0, 1) if kind is ImageType.DEPTH_VIS else depth
    return as_rgb(kind, shot, segment_ids, hfov_deg).astype(np.float32) / 255.0


def _depth(kind: ImageType, shot: Shot, hfov_deg: float) -> npt.NDArray[np.float32]:
    """Metres (H, W) through a half-precision target, as Unreal's: 1.6 cm steps at 16 to 32 m."""
    planar = shot.images["depth"]
    if kind is ImageType.DEPTH_PERSPECTIVE:
        planar = planar * ray_lengths(planar.shape[0], planar.shape[1], hfov_deg)
    half: npt.NDArray[np.float32] = np.minimum(planar, _DEEPEST_M).astype(np.float16).astype(np.float32)
    return half
