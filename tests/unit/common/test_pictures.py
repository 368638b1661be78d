"""python -m pytest tests/unit/common/test_pictures.py

Pictures as people mean them: upright, 8 bits, nothing hidden under transparency; broken ones are refused by name.
"""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image as PilImage

from stillwing_common.errors import ImageEmpty, ImageTooLarge, ImageUndecodable
from stillwing_common.pictures import PictureHeader, decode_rgb, read_header
from stillwing_common.types import ImageEncoding

JPEG, PNG = ImageEncoding.JPEG, ImageEncoding.PNG
MOST = 1_000_000
# How a viewer turns the stored pixels for each EXIF orientation.
UPRIGHT = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: np.transpose(stored, (1, 0, 2)),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(np.transpose(stored, (1, 0, 2)), 2),
    8: np.rot90,
}


def corner_picture() -> np.ndarray:
    """Four plain quarters of 20 rows and 40 columns each, so that no turn looks like another."""
    quarters = np.array([[[250, 5, 5], [5, 250, 5]], [[5, 5, 250], [240, 240, 5]]], np.uint8)
    return quarters.repeat(20, 0).repeat(40, 1)


def saved(picture: PilImage.Image, kind: ImageEncoding, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind.name, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", [JPEG, PNG])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied(kind: ImageEncoding, orientation: int) -> None:
    stored = corner_picture()
    exif = PilImage.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    finest = {"quality": 95, "subsampling": 0} if kind is JPEG else {}
    data = saved(PilImage.fromarray(stored), kind, exif=exif, **finest)
    shown = UPRIGHT[orientation](stored)
    decoded = decode_rgb(data, kind, max_pixels=MOST)
    assert decoded.shape == shown.shape
    rows, columns = (side // 4 for side in shown.shape[:2])
    np.testing.assert_allclose(
        decoded[rows :: 2 * rows, columns :: 2 * columns].astype(int),
        shown[rows :: 2 * rows, columns :: 2 * columns],
        atol=6,
    )
    assert read_header(data, max_pixels=MOST) == PictureHeader(kind, shown.shape[1], shown.shape[0])


def test_an_orientation_that_is_none_changes_nothing() -> None:
    exif = PilImage.Exif()
    exif[ExifTags.Base.Orientation] = 77
    data = saved(PilImage.fromarray(corner_picture()), PNG, exif=exif)
    np.testing.assert_array_equal(decode_rgb(data, PNG, max_pixels=MOST), corner_picture())


def test_grey_of_16_bits_is_scaled() -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(3, 0)
    decoded = decode_rgb(saved(PilImage.fromarray(ramp), PNG), PNG, max_pixels=MOST)
    np.testing.assert_array_equal(decoded[0, :, 0], np.arange(256))


def test_what_lies_under_transparency_never_comes_out() -> None:
    noise = np.random.default_rng(1).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    noise[..., 3] = 0
    noise[:16, :, 3] = 255
    decoded = decode_rgb(saved(PilImage.fromarray(noise), PNG), PNG, max_pixels=MOST)
    np.testing.assert_array_equal(decoded[:16], noise[:16, :, :3])
    assert (decoded[16:] == 255).all()


def test_half_transparent_is_half_background() -> None:
    picture = PilImage.new("RGBA", (8, 8), (0, 0, 0, 128))
    assert (decode_rgb(saved(picture, PNG), PNG, max_pixels=MOST) == 127).all()


def test_grey_with_alpha_is_laid_on_the_background() -> None:
    assert (decode_rgb(saved(PilImage.new("LA", (8, 8), (9, 0)), PNG), PNG, max_pixels=MOST) == 255).all()


def test_transparent_colours_of_a_palette_show_the_background_without_a_warning() -> None:
    picture = PilImage.new("P", (8, 8), 0)
    picture.putpalette([0, 255, 0, 9, 9, 9])
    data = saved(picture, PNG, transparency=bytes([0, 255]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (decode_rgb(data, PNG, max_pixels=MOST) == 255).all()


def test_content_decides_what_a_picture_is() -> None:
    data = saved(PilImage.fromarray(corner_picture()), PNG)
    with pytest.raises(ImageUndecodable, match="content is png, not jpeg"):
        decode_rgb(data, JPEG, max_pixels=MOST)
    assert read_header(data, max_pixels=MOST).encoding is PNG


def test_nothing_and_nonsense_are_refused() -> None:
    with pytest.raises(ImageEmpty):
        read_header(b"", max_pixels=MOST)
    with pytest.raises(ImageUndecodable, match="neither JPEG nor PNG"):
        read_header(b"GIF89a nothing", max_pixels=MOST)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_a_bomb_is_refused_by_its_header() -> None:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(bytes(100)))
    with pytest.raises(ImageTooLarge, match="20000x20000"):
        read_header(data, max_pixels=MOST)
    with pytest.raises(ImageTooLarge, match="20000x20000"):
        decode_rgb(data, PNG, max_pixels=MOST)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_broken_file_is_an_error_of_ours_or_a_picture(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([JPEG, PNG]))
    exif = PilImage.Exif()
    exif[ExifTags.Base.Orientation] = 6
    whole = bytearray(saved(PilImage.fromarray(corner_picture()), kind, exif=exif))
    for _ in range(data.draw(st.integers(1, 8))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(1, len(whole)))])
    for ask in (lambda: read_header(cut, max_pixels=MOST), lambda: decode_rgb(cut, kind, max_pixels=MOST)):
        try:
            ask()
        except (ImageUndecodable, ImageTooLarge):
            continue
