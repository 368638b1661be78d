"""python -m pytest tests/unit/memory/test_memory_images.py

Images that are hostile rather than wrong.
"""

import io
import struct
import zlib

import pytest
from PIL import Image as PilImage

from stillwing_common.errors import ImageTooLarge, ImageUndecodable, InvalidInput
from stillwing_common.types import Image, ImageEncoding
from stillwing_memory.core.checks import check_image
from stillwing_memory.core.limits import Limits


def png_bomb(width_px: int, height_px: int) -> bytes:
    """A small file that says it is a large picture."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side_px", [5_000, 10_000, 20_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side_px: int) -> None:
    with pytest.raises(ImageTooLarge):
        check_image(Image(ImageEncoding.PNG, side_px, side_px, png_bomb(side_px, side_px)), Limits())


def test_a_picture_that_ends_early_is_refused() -> None:
    with pytest.raises(ImageUndecodable):
        check_image(Image(ImageEncoding.PNG, 100, 100, png_bomb(100, 100)), Limits())


@pytest.mark.parametrize(("encoding", "name"), [(ImageEncoding.PNG, "PNG"), (ImageEncoding.JPEG, "JPEG")])
def test_the_limit_is_the_last_size_that_is_taken(encoding: ImageEncoding, name: str) -> None:
    file = io.BytesIO()
    PilImage.effect_noise((90, 70), 80).save(file, name)
    image = Image(encoding, 90, 70, file.getvalue())
    check_image(image, Limits(max_image_bytes=len(image.data), max_image_pixels=90 * 70))
    with pytest.raises(ImageTooLarge):
        check_image(image, Limits(max_image_bytes=len(image.data) - 1))
    with pytest.raises(ImageTooLarge):
        check_image(image, Limits(max_image_pixels=90 * 70 - 1))


def test_a_format_that_was_not_named_is_not_tried() -> None:
    file = io.BytesIO()
    PilImage.new("RGB", (8, 8)).save(file, "BMP")
    for encoding in (ImageEncoding.JPEG, ImageEncoding.PNG):
        with pytest.raises(ImageUndecodable):
            check_image(Image(encoding, 8, 8, file.getvalue()), Limits())
    with pytest.raises(InvalidInput):
        check_image(Image(ImageEncoding.DEPTH_F32, 8, 8, bytes(256)), Limits())
