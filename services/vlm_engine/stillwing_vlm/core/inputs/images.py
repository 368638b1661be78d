"""From encoded pictures to the patches a Qwen2.5-VL vision encoder reads. Refuses what is empty, broken or too large.

It knows nothing of tensors or models; arrays are numpy. Any thread may call it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PilImage

from stillwing_common.errors import ImageEmpty, ImageTooLarge, ImageUndecodable, InvalidInput
from stillwing_common.pictures import decode_rgb
from stillwing_common.types import Image, ImageEncoding
from stillwing_vlm.core.inputs.positions import Grid

Pixels = npt.NDArray[np.uint8]

_MAX_ASPECT = 200


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pictures become patches: the figures of a model's preprocessor_config.json."""

    patch_px: int
    merge: int
    temporal_patch: int
    min_pixels: int
    max_pixels: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    window_frames: int | None = None
    """Frames the model was trained to look back on beside the first; None where it does not say."""

    @property
    def factor_px(self) -> int:
        """Both sides of a resized picture are multiples of this."""
        return self.patch_px * self.merge

    def frame_tokens(self, height_px: int, width_px: int) -> int:
        """Tokens one single frame of that size takes, vision start and end included."""
        height, width = smart_resize(height_px, width_px, self)
        return height * width // self.factor_px**2 + 2


@dataclass(frozen=True, slots=True)
class PatchChunk:
    """One chunk for the vision encoder: `patches` float32[patches, channels * time * px * px] in merge-block order.

    `pixels` uint8[frames, rows, columns, 3]: the same before they were cut, frames that only fill a grid left out.
    """

    patches: npt.NDArray[np.float32]
    grid: Grid
    pixels: Pixels


def decode_image(image: Image, *, max_bytes: int, max_pixels: int) -> Pixels:
    """RGB `uint8[rows, columns, 3]` of an encoded picture, upright and without transparency (see `pictures`).

    Raises ImageEmpty, ImageTooLarge (before any pixel is decoded) or ImageUndecodable.
    """
    if not image.data:
        raise ImageEmpty("send the encoded bytes in image.data")
    if len(image.data) > max_bytes:
        raise ImageTooLarge(f"{len(image.data)} bytes, at most {max_bytes}", bytes=len(image.data), limit=max_bytes)
    if image.encoding is ImageEncoding.RGB8:
        return _raw_rgb(image, max_pixels)
    if image.encoding is ImageEncoding.DEPTH_F32:
        raise ImageUndecodable(f"{image.encoding.value} is no picture; send jpeg, png or rgb8")
    decoded = decode_rgb(image.data, image.encoding, max_pixels=max_pixels)
    rows, columns = decoded.shape[:2]
    if (image.width_px and image.width_px != columns) or (image.height_px and image.height_px != rows):
        raise ImageUndecodable(
            f"it is {columns}x{rows} once upright, not {image.width_px}x{image.height_px} as declared"
        )
    return decoded


def _raw_rgb(image: Image, max_pixels: int) -> Pixels:
    _check_size(image.width_px, image.height_px, max_pixels)
    expected = image.width_px * image.height_px * 3
    if len(image.data) != expected:
        raise ImageUndecodable(f"{image.width_px}x{image.height_px} rgb8 is {expected} bytes, not {len(image.data)}")
    return np.frombuffer(image.data, np.uint8).reshape(image.height_px, image.width_px, 3)


def _check_size(width_px: int, height_px: int, max_pixels: int) -> None:
    if width_px < 1 or height_px < 1:
        raise ImageUndecodable(f"{width_px}x{height_px} has no pixels")
    if width_px * height_px > max_pixels:
        raise ImageTooLarge(f"{width_px}x{height_px}, at most {max_pixels} pixels", limit=max_pixels)


def smart_resize(height_px: int, width_px: int, how: Preprocessing) -> tuple[int, int]:
    """Height and width, multiples of `how.factor_px`, within the pixel limits, aspect kept as nearly as possible.

    Qwen2-VL's rule. Raises InvalidInput for a picture more than 200 times longer than wide.
    """
    if max(height_px, width_px) > _MAX_ASPECT * min(height_px, width_px):
        raise InvalidInput(f"{width_px}x{height_px} is more than {_MAX_ASPECT} times longer than wide")
    factor = how.factor_px
    height, width = round(height_px / factor) * factor, round(width_px / factor) * factor
    if height * width > how.max_pixels:
        shrink = math.sqrt(height_px * width_px / how.max_pixels)
        height = max(factor, math.floor(height_px / shrink / factor) * factor)
        width = max(factor, math.floor(width_px / shrink / factor) * factor)
    elif height * width < how.min_pixels:
        grow = math.sqrt(how.min_pixels / (height_px * width_px))
        height = math.ceil(height_px * grow / factor) * factor
        width = math.ceil(width_px * grow / factor) * factor
    return height, width


def resize(pixels: Pixels, height_px: int, width_px: int) -> Pixels:
    """Bicubic with antialiasing, as the model's own image processor does."""
    if pixels.shape[:2] == (height_px, width_px):
        return pixels
    picture = PilImage.fromarray(pixels)
    return np.asarray(picture.resize((width_px, height_px), PilImage.Resampling.BICUBIC))


def to_patches(frames: Sequence[Pixels], how: Preprocessing) -> PatchChunk:
    """One chunk of patches from RGB frames `uint8[rows, columns, 3]`, oldest first, all of one size.

    A single frame (and the last of an odd number) is repeated to fill the temporal patch, as in training.
    Raises InvalidInput where there is no frame or sizes differ.
    """
    if not frames:
        raise InvalidInput("a chunk needs at least one frame")
    if len({frame.shape for frame in frames}) > 1:
        raise InvalidInput("the frames of one chunk are all of one size")
    height, width = smart_resize(frames[0].shape[0], frames[0].shape[1], how)
    pixels = np.stack([resize(frame, height, width) for frame in frames])
    missing = -len(pixels) % how.temporal_patch
    scaled = _normalised(np.concatenate([pixels, *[pixels[-1:]] * missing]), how)
    px, merge, time = how.patch_px, how.merge, len(scaled) // how.temporal_patch
    rows, columns = height // px, width // px
    blocks = scaled.reshape(
        time, how.temporal_patch, rows // merge, merge, px, columns // merge, merge, px, scaled.shape[-1]
    )
    ordered = blocks.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)  # grid, block row, block column, row, column, C, T, y, x
    patches = np.ascontiguousarray(ordered).reshape(time * rows * columns, -1)
    return PatchChunk(patches, Grid(time, rows, columns), pixels)


def _normalised(pixels: Pixels, how: Preprocessing) -> npt.NDArray[np.float32]:
    levels = np.arange(256, dtype=np.float64)[:, None] / 255.0
    table = ((levels - np.array(how.mean)) / np.array(how.std)).astype(np.float32)
    return np.stack([table[:, channel][pixels[..., channel]] for channel in range(3)], axis=-1)
