"""Captured pictures to encoded images. Knows nothing of cameras, vehicles or time."""

import io

import numpy as np
from PIL import Image as PilImage

from stillwing_bridge.core.vehicle import Capture, View
from stillwing_common.errors import InternalFault
from stillwing_common.types import Image, ImageEncoding


def view_for(encoding: ImageEncoding) -> View:
    """Which view an encoding is made of."""
    return View.DEPTH if encoding is ImageEncoding.DEPTH_F32 else View.COLOUR


def encode(capture: Capture, encoding: ImageEncoding, *, jpeg_quality: int) -> Image:
    """The picture in `encoding`; `capture` has the view that needs. Takes milliseconds: not for an event loop."""
    if encoding is ImageEncoding.DEPTH_F32:
        if capture.depth_m is None:
            raise InternalFault("captured without depth")
        height_px, width_px = capture.depth_m.shape
        return Image(encoding, width_px, height_px, np.ascontiguousarray(capture.depth_m, "<f4").tobytes())
    if capture.rgb is None:
        raise InternalFault("captured without colour")
    height_px, width_px, _ = capture.rgb.shape
    if encoding is ImageEncoding.RGB8:
        return Image(encoding, width_px, height_px, capture.rgb.tobytes())
    buffer = io.BytesIO()
    picture = PilImage.fromarray(capture.rgb)
    if encoding is ImageEncoding.JPEG:
        picture.save(buffer, "JPEG", quality=jpeg_quality)
    else:
        picture.save(buffer, "PNG", compress_level=1)
    return Image(encoding, width_px, height_px, buffer.getvalue())
