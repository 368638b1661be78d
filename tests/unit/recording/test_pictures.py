"""python -m pytest tests/unit/recording/test_pictures.py

A folder of pictures and a video are recordings too.
"""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Pillow
from recording_values import jpeg

from stillwing_common.errors import InvalidInput
from stillwing_common.types import ImageEncoding
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions


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


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("frame_1.jpg,0.5\n", "no time for frame_2.jpg"),
        ("frame_1.jpg;0.5\n", "line 1"),
        ("frame_1.jpg,soon\n", "line 1"),
    ],
)
def test_a_bad_table_is_refused(folder: Path, table: str, said: str) -> None:
    (folder / "timestamps.csv").write_text(table)
    with pytest.raises(InvalidInput, match=said):
        open_recording(folder)


def test_what_is_no_picture_is_named(folder: Path) -> None:
    (folder / "frame_3.jpg").write_bytes(b"no picture")
    with pytest.raises(InvalidInput, match=r"frame_3\.jpg"):
        list(open_recording(folder).frames())
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(InvalidInput, match="no JPEG or PNG"):
        open_recording(empty)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "flight.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(20):
            pixels = np.full((48, 64, 3), number * 12, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_video_at_its_own_times(video: Path) -> None:
    recording = open_recording(video)
    frames = list(recording.frames())
    assert len(frames) == recording.info().frames == 20
    assert [round(entry.time_ns / 1e8) for entry in frames] == list(range(20))
    brightness = [np.asarray(Pillow.open(io.BytesIO(entry.value.frame.image.data))).mean() for entry in frames]
    assert all(b == pytest.approx(number * 12, abs=12) for number, b in enumerate(brightness))


def test_a_video_thinned(video: Path) -> None:
    frames = list(open_recording(video, PictureOptions(fps=2)).frames())
    assert [round(entry.time_ns / 1e8) for entry in frames] == [0, 5, 10, 15]


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    strange = tmp_path / "strange.mp4"
    strange.write_bytes(b"nothing" * 100)
    with pytest.raises(InvalidInput, match="cannot be read as a video"):
        open_recording(strange)
