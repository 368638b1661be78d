"""Frames and a small session for tests of the engine."""

import io

import numpy as np
from PIL import Image as PilImage

from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.core.requests import SessionConfig

SMALL = SessionConfig("You fly.", 160, label="contract")


def frame(index: int, width_px: int = 84, height_px: int = 56) -> Frame:
    """One frame of noise, its own for each index, stamped `index` seconds."""
    pixels = np.random.default_rng(index).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8)
    file = io.BytesIO()
    PilImage.fromarray(pixels).save(file, "PNG")
    image = Image(ImageEncoding.PNG, width_px, height_px, file.getvalue())
    return Frame(f"v/c/{index}", "c", Stamp(index * 1_000_000_000, "clock"), None, image)
