"""Encoded pictures as people mean them: upright, in 8-bit RGB, nothing hidden under transparency.

Wherever a picture enters (engine, memory bank, replay, imports) it is read here, by these rules:

- The orientation that EXIF names is applied; sizes are those of the upright picture.
- Grey of 16 bits is scaled to 8, black to black and white to white.
- What is transparent shows a plain white background; colours hidden under it never come out.
- JPEG and PNG are told apart by their content, and one that says it is the other is refused.

It knows nothing of frames, models or stores. Any thread may call it.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, ImageOps, JpegImagePlugin, PngImagePlugin
from PIL import Image as PilImage

from stillwing_common.errors import ImageEmpty, ImageTooLarge, ImageUndecodable
from stillwing_common.types import ImageEncoding

# The plugin classes are opened directly: `PIL.Image.open` warns about large pictures before their size can be refused.
_READERS = {ImageEncoding.JPEG: JpegImagePlugin.JpegImageFile, ImageEncoding.PNG: PngImagePlugin.PngImageFile}
_BEGINNINGS = {b"\xff\xd8\xff": ImageEncoding.JPEG, b"\x89PNG\r\n\x1a\n": ImageEncoding.PNG}
# What Pillow thinks of broken EXIF data is not for the users of a service; the picture is shown as it is stored then.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
_TURNED = (5, 6, 7, 8)
"""EXIF orientations that exchange rows and columns."""
_BACKGROUND = (255, 255, 255)


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What a picture is, without its pixels decoded. Sizes are those of the upright picture."""

    encoding: ImageEncoding
    width_px: int
    height_px: int


def read_header(data: bytes, *, max_pixels: int) -> PictureHeader:
    """Raises ImageEmpty, ImageTooLarge, ImageUndecodable."""
    encoding = encoding_of(data)
    with _opened(data, encoding, max_pixels) as picture:
        width_px, height_px = picture.size
        if picture.getexif().get(ExifTags.Base.Orientation) in _TURNED:
            width_px, height_px = height_px, width_px
        return PictureHeader(encoding, width_px, height_px)


def decode_rgb(data: bytes, encoding: ImageEncoding, *, max_pixels: int) -> npt.NDArray[np.uint8]:
    """RGB `uint8[rows, columns, 3]` of a JPEG or PNG, by the rules of this module.

    Raises ImageEmpty, ImageTooLarge (before any pixel is decoded) or ImageUndecodable.
    """
    if encoding_of(data) is not encoding:
        raise ImageUndecodable(f"its content is {encoding_of(data).value}, not {encoding.value} as declared")
    with _opened(data, encoding, max_pixels) as picture:
        picture.load()
        return np.asarray(_rgb(ImageOps.exif_transpose(picture)))


def encoding_of(data: bytes) -> ImageEncoding:
    """JPEG or PNG, by content. Raises ImageEmpty, ImageUndecodable."""
    if not data:
        raise ImageEmpty("send the encoded bytes in image.data")
    for beginning, encoding in _BEGINNINGS.items():
        if data.startswith(beginning):
            return encoding
    raise ImageUndecodable("its content is neither JPEG nor PNG")


@contextmanager
def _opened(data: bytes, encoding: ImageEncoding, max_pixels: int) -> Iterator[PilImage.Image]:
    try:
        with _READERS[encoding](io.BytesIO(data)) as picture:
            if picture.width * picture.height > max_pixels:
                raise ImageTooLarge(
                    f"{picture.width}x{picture.height} pixels, at most {max_pixels}",
                    pixels=picture.width * picture.height,
                    limit=max_pixels,
                )
            yield picture
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        KeyError,
        TypeError,
        struct.error,
        zlib.error,
        PilImage.DecompressionBombError,
    ) as error:
        raise ImageUndecodable(f"not a readable {encoding.value} ({type(error).__name__})") from error


def _rgb(picture: PilImage.Image) -> PilImage.Image:
    if picture.mode in ("I;16", "I;16B", "I;16L", "I"):
        levels = np.asarray(picture).astype(np.float64)
        return PilImage.fromarray(np.rint(levels.clip(0, 65535) / 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        rgba = picture.convert("RGBA")
        plain = PilImage.new("RGBA", rgba.size, (*_BACKGROUND, 255))
        return PilImage.alpha_composite(plain, rgba).convert("RGB")
    return picture.convert("RGB")
