"""python -m pytest tests/unit/recording/test_pictures.py

A folder of pictures is a recording too, whatever lies in it beside them.
"""

import io
import os
import stat
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as Pillow
from recording_values import jpeg

from stillwing_common.errors import InvalidInput
from stillwing_common.pictures import decode_rgb
from stillwing_common.types import Image, ImageEncoding
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions
from stillwing_recording.playback import in_encoding


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "pictures"
    made.mkdir()
    for number in (1, 2, 9, 10):
        (made / f"frame_{number}.jpg").write_bytes(jpeg(number))
    return made


def test_pictures_come_bit_for_bit_in_the_order_of_their_numbers(folder: Path) -> None:
    recording = open_recording(folder, PictureOptions(fps=4, vehicle_id="hawk", camera_id="eye"))
    frames = list(recording.frames())
    assert [entry.value.frame.image.data for entry in frames] == [jpeg(number) for number in (1, 2, 9, 10)]
    assert [entry.time_ns for entry in frames] == [0, 250_000_000, 500_000_000, 750_000_000]
    assert frames[2].value.frame.frame_id == "hawk/eye/3"
    assert frames[0].value.frame.image.encoding is ImageEncoding.JPEG
    assert recording.info().duration_s == 0.75
    assert not list(recording.telemetry())


def test_a_table_of_times_is_believed(folder: Path) -> None:
    rows = ["# name, seconds", "frame_1.jpg,0.5", "frame_2.jpg,3", "frame_9.jpg,1.25", "frame_10.jpg,4"]
    (folder / "timestamps.csv").write_text("\n".join(rows))
    entries = list(open_recording(folder).frames())
    assert [entry.time_ns for entry in entries] == [500_000_000, 1_250_000_000, 3_000_000_000, 4_000_000_000]
    assert entries[1].value.frame.image.data == jpeg(9)


def test_what_is_no_picture_is_named(folder: Path) -> None:
    (folder / "frame_3.jpg").write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"frame_3\.jpg"):
        list(open_recording(folder).frames())
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(InvalidInput, match="no JPEG or PNG"):
        open_recording(empty)


def picture(kind: str, **options: object) -> bytes:
    """80 columns and 40 rows, the left half red."""
    pixels = np.full((40, 80, 3), 240, np.uint8)
    pixels[:, :40] = (250, 5, 5)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def turned(orientation: int) -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


def test_hidden_files_are_passed_over(folder: Path) -> None:
    """What macOS writes beside each file on a disk that is none of its own."""
    for number in (1, 2):
        (folder / f"._frame_{number}.jpg").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(60))
    (folder / ".hidden.png").write_bytes(b"nothing")
    (folder / ".DS_Store").write_bytes(b"nothing")
    assert open_recording(folder).info().frames == 4
    only = folder / "only"
    only.mkdir()
    (only / "._a.jpg").write_bytes(b"nothing")
    with pytest.raises(InvalidInput, match="no JPEG or PNG"):
        open_recording(only)


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes as POSIX has them")
@pytest.mark.parametrize("kind", ["dangling", "loop", "folder", "pipe", "socket"])
def test_what_is_called_like_a_picture_and_is_no_file(folder: Path, kind: str) -> None:
    path = folder / "frame_3.jpg"
    match kind:
        case "dangling":
            path.symlink_to(folder / "gone.jpg")
        case "loop":
            path.symlink_to(path)
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)
    with pytest.raises(InvalidInput, match=r"frame_3\.jpg"):
        open_recording(folder)


def test_a_picture_that_goes_away_meanwhile(folder: Path) -> None:
    recording = open_recording(folder)
    (folder / "frame_9.jpg").unlink()
    with pytest.raises(InvalidInput, match=r"frame_9\.jpg is no file"):
        list(recording.frames())


@pytest.mark.parametrize(("name", "kind"), [("a.jpg", "PNG"), ("a.png", "JPEG"), ("a.JPEG", "PNG")])
def test_a_picture_is_what_its_content_is(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(picture(kind))
    (frame,) = [entry.value.frame for entry in open_recording(tmp_path).frames()]
    assert frame.image == Image(ImageEncoding[kind], 80, 40, picture(kind))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize(("orientation", "size"), [(3, (80, 40)), (6, (40, 80)), (8, (40, 80))])
def test_a_photo_is_upright(tmp_path: Path, kind: str, orientation: int, size: tuple[int, int]) -> None:
    (tmp_path / "photo.jpg").write_bytes(picture(kind, exif=turned(orientation)))
    recording = open_recording(tmp_path)
    camera = recording.vehicle.cameras[0]
    assert (camera.width_px, camera.height_px) == size
    (update,) = [entry.value for entry in recording.frames()]
    assert (update.frame.image.width_px, update.frame.image.height_px) == size
    other = ImageEncoding.PNG if kind == "JPEG" else ImageEncoding.JPEG
    for encoding in (ImageEncoding.RGB8, other):
        shown = in_encoding(update, encoding).frame.image
        assert (shown.width_px, shown.height_px) == size
        if encoding is ImageEncoding.RGB8:
            rgb = np.frombuffer(shown.data, np.uint8).reshape(size[1], size[0], 3)
        else:
            rgb = decode_rgb(shown.data, encoding, max_pixels=10_000)
        red = rgb[{3: (20, 60), 6: (20, 20), 8: (60, 20)}[orientation]]
        assert np.abs(red.astype(int) - (250, 5, 5)).max() < 20, "where a viewer shows it"


def test_one_photo_alone_is_read_by_the_same_rules(tmp_path: Path) -> None:
    photo = tmp_path / "photo.JPG"
    photo.write_bytes(picture("JPEG", exif=turned(6)))
    (entry,) = open_recording(photo).frames()
    assert entry.value.frame.image == Image(ImageEncoding.JPEG, 40, 80, photo.read_bytes())


def test_16_bits_and_transparency_are_read_by_the_same_rules(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    Pillow.fromarray(ramp).save(tmp_path / "1.png")
    Pillow.new("RGBA", (256, 4), (0, 255, 0, 0)).save(tmp_path / "2.png")
    first, second = (in_encoding(entry.value, ImageEncoding.RGB8) for entry in open_recording(tmp_path).frames())
    assert list(first.frame.image.data[: 256 * 3 : 3]) == list(range(256))
    assert set(second.frame.image.data) == {255}


def test_a_picture_of_400_million_pixels_is_refused_by_name(tmp_path: Path) -> None:
    data = bytearray(picture("PNG"))
    data[16:24] = struct.pack(">II", 20_000, 20_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    (tmp_path / "big.png").write_bytes(data)
    with pytest.raises(InvalidInput, match=r"big\.png is no picture: .*20000x20000"):
        open_recording(tmp_path)
