"""python -m pytest tests/unit/vlm/test_vlm_images.py -v

Pictures become exactly the patches the published image processor makes, and broken ones are refused before they cost.
"""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PilImage
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize as published_smart_resize

from stillwing_common.errors import ImageEmpty, ImageTooLarge, ImageUndecodable, InvalidInput, StillwingError
from stillwing_common.types import Image, ImageEncoding
from stillwing_vlm.core.inputs.images import Preprocessing, decode_image, smart_resize, to_patches
from stillwing_vlm.core.local import LocalEngine

HOW = Preprocessing(14, 2, 2, 28 * 28 * 4, 28 * 28 * 20, (0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
LIMITS = {"max_bytes": 1_000_000, "max_pixels": 4_000_000}


def pixels(rows_px: int, columns_px: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows_px, columns_px, 3), dtype=np.uint8)


def encoded(array: np.ndarray, kind: str, **options: int) -> Image:
    file = io.BytesIO()
    PilImage.fromarray(array).save(file, kind.upper(), **options)
    return Image(ImageEncoding(kind), array.shape[1], array.shape[0], file.getvalue())


@pytest.mark.parametrize("size", [(240, 320), (56, 56), (480, 640), (33, 61), (300, 100)])
def test_patches_equal_the_published_processor(engine: LocalEngine, tiny_dir: Path, size: tuple[int, int]) -> None:
    how = engine.loaded.backend.preprocessing
    published = Qwen2VLImageProcessorPil.from_pretrained(tiny_dir)
    picture = pixels(*size)
    theirs = published(images=[PilImage.fromarray(picture)], return_tensors="np")
    ours = to_patches([picture], how)
    assert tuple(ours.grid) == tuple(theirs["image_grid_thw"][0])
    np.testing.assert_allclose(ours.patches, theirs["pixel_values"], atol=1e-5)


@given(st.integers(1, 5000), st.integers(1, 5000))
@settings(deadline=None)
def test_sizes_equal_the_published_rule(rows_px: int, columns_px: int) -> None:
    if max(rows_px, columns_px) > 200 * min(rows_px, columns_px):
        with pytest.raises(InvalidInput):
            smart_resize(rows_px, columns_px, HOW)
        return
    found = smart_resize(rows_px, columns_px, HOW)
    assert found == published_smart_resize(rows_px, columns_px, 28, HOW.min_pixels, HOW.max_pixels)


def test_frames_of_a_chunk_are_pairs_in_time() -> None:
    a, b, c = (pixels(56, 84, seed) for seed in range(3))
    chunk = to_patches([a, b, c], HOW)
    assert chunk.grid == (2, 4, 6)
    planes = chunk.patches.reshape(2, 24, 3, 2, 14, 14)
    alone = [to_patches([picture], HOW).patches.reshape(24, 3, 2, 14, 14)[:, :, 0] for picture in (a, b, c)]
    for grid, place, picture in ((0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 2)):
        np.testing.assert_array_equal(planes[grid, :, :, place], alone[picture])


def test_pictures_are_read_whatever_their_mode() -> None:
    picture = pixels(40, 60)
    np.testing.assert_array_equal(decode_image(encoded(picture, "png"), **LIMITS), picture)
    assert decode_image(encoded(picture, "jpeg", quality=95), **LIMITS).shape == (40, 60, 3)
    raw = Image(ImageEncoding.RGB8, 60, 40, picture.tobytes())
    np.testing.assert_array_equal(decode_image(raw, **LIMITS), picture)
    grey = io.BytesIO()
    PilImage.fromarray(picture).convert("L").save(grey, "PNG")
    assert decode_image(Image(ImageEncoding.PNG, 0, 0, grey.getvalue()), **LIMITS).shape == (40, 60, 3)


def bomb(width_px: int, height_px: int) -> bytes:
    """A PNG file of a few hundred bytes that claims to be huge."""

    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(bytes(99))) + part(b"IEND", b"")


@pytest.mark.parametrize(
    ("image", "error"),
    [
        (Image(ImageEncoding.JPEG, 0, 0, b""), ImageEmpty),
        (Image(ImageEncoding.JPEG, 0, 0, bytes(1_000_001)), ImageTooLarge),
        (Image(ImageEncoding.PNG, 0, 0, bomb(50_000, 50_000)), ImageTooLarge),
        (Image(ImageEncoding.PNG, 0, 0, bomb(100, 100)), ImageUndecodable),
        (Image(ImageEncoding.PNG, 0, 0, bomb(0, 0)), ImageUndecodable),
        (Image(ImageEncoding.PNG, 0, 0, encoded(pixels(9, 9), "jpeg").data), ImageUndecodable),
        (Image(ImageEncoding.JPEG, 0, 0, encoded(pixels(99, 99), "jpeg").data[:400]), ImageUndecodable),
        (Image(ImageEncoding.PNG, 8, 9, encoded(pixels(9, 9), "png").data), ImageUndecodable),
        (Image(ImageEncoding.RGB8, 0, 0, b"abc"), ImageUndecodable),
        (Image(ImageEncoding.RGB8, 9, 9, b"abc"), ImageUndecodable),
        (Image(ImageEncoding.RGB8, 9999, 9999, b"abc"), ImageTooLarge),
        (Image(ImageEncoding.DEPTH_F32, 1, 1, bytes(4)), ImageUndecodable),
    ],
)
def test_bad_pictures_have_an_error_each(image: Image, error: type[StillwingError]) -> None:
    with pytest.raises(error):
        decode_image(image, **LIMITS)


@given(st.binary(min_size=1, max_size=300), st.sampled_from(list(ImageEncoding)), st.booleans())
@settings(deadline=None, max_examples=200)
def test_no_bytes_break_the_decoder(noise: bytes, encoding: ImageEncoding, headed: bool) -> None:
    head = {ImageEncoding.JPEG: b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", ImageEncoding.PNG: bomb(8, 8)[:41]}
    data = head.get(encoding, b"") + noise if headed else noise
    try:
        found = decode_image(Image(encoding, 0, 0, data), **LIMITS)
    except StillwingError:
        return
    assert found.dtype == np.uint8
