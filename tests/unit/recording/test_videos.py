"""python -m pytest tests/unit/recording/test_videos.py

A video is a recording too: upright, at its own times or at most so many frames a second.
"""

import io
import itertools
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from stillwing_common.errors import InvalidInput
from stillwing_recording.opening import open_recording
from stillwing_recording.pictures import PictureOptions
from stillwing_recording.videos import video_frames

RED, GREEN = (250, 5, 5), (5, 250, 5)
ONE, LAST = 1 << 16, 1 << 30
# Display matrices by how the stored picture is to be turned, and the same with numpy.
MATRICES = {
    "upright": ((ONE, 0, 0, 0, ONE, 0, 0, 0, LAST), lambda shown: shown),
    "clockwise": ((0, ONE, 0, -ONE, 0, 0, 0, 0, LAST), lambda shown: np.rot90(shown, -1)),
    "half": ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, LAST), lambda shown: np.rot90(shown, 2)),
    "counterclockwise": ((0, -ONE, 0, ONE, 0, 0, 0, 0, LAST), np.rot90),
    "mirrored": ((-ONE, 0, 0, 0, ONE, 0, 0, 0, LAST), np.fliplr),
    "transposed": ((0, ONE, 0, ONE, 0, 0, 0, 0, LAST), lambda shown: shown.transpose(1, 0, 2)),
}


def quarters() -> np.ndarray:
    """40 rows and 80 columns; above red and green, below blue and white, so that no turn looks like another."""
    return np.array([[RED, GREEN], [(5, 5, 250), (240, 240, 240)]], np.uint8).repeat(20, 0).repeat(40, 1)


def make(path: Path, times_ms: Sequence[int], pixels: np.ndarray | None = None) -> Path:
    """A video whose frames are shown at these times."""
    pixels = quarters() if pixels is None else pixels
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1000)
        stream.height, stream.width, stream.pix_fmt = *pixels.shape[:2], "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for time_ms in times_ms:
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def with_matrix(path: Path, matrix: Sequence[int]) -> Path:
    """The same video, to be shown by another matrix: the last part but two sizes of the track's header."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 44
    assert struct.unpack(">9i", data[place : place + 36]) == MATRICES["upright"][0]
    data[place : place + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


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


def times_ms(path: Path, fps: float | None = None) -> list[int]:
    return [round(entry.time_ns / 1e6) for entry in open_recording(path, PictureOptions(fps=fps)).frames()]


def test_a_video_at_its_own_times(video: Path) -> None:
    recording = open_recording(video)
    frames = list(recording.frames())
    assert len(frames) == recording.info().frames == 20
    assert [round(entry.time_ns / 1e8) for entry in frames] == list(range(20))
    brightness = [np.asarray(Pillow.open(io.BytesIO(entry.value.frame.image.data))).mean() for entry in frames]
    assert all(b == pytest.approx(number * 12, abs=12) for number, b in enumerate(brightness))


def test_a_video_thinned(video: Path) -> None:
    assert times_ms(video, 2) == [0, 500, 1000, 1500]
    recording = open_recording(video, PictureOptions(fps=2))
    assert (recording.info().frames, recording.info().duration_s) == (4, 1.5)


def test_frames_that_come_as_they_like_are_at_most_so_many_a_second(tmp_path: Path) -> None:
    path = make(tmp_path / "phone.mp4", [0, 2000, 2010, 5000])
    assert times_ms(path) == [0, 2000, 2010, 5000]
    assert times_ms(path, 1) == [0, 2000, 5000]
    assert times_ms(path, 100) == [0, 2000, 2010, 5000]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=20), st.sampled_from([0.5, 1.0, 2.0, 3.0, 10.0]), st.booleans()
)
def test_no_second_has_more_frames_than_wanted(
    tmp_path_factory: pytest.TempPathFactory, gaps_ms: list[int], fps: float, coarse: bool
) -> None:
    at_ms = np.cumsum([0, *gaps_ms]).tolist()
    path = make(tmp_path_factory.mktemp("video") / ("v.mkv" if coarse else "v.mp4"), at_ms)
    shown_ms = times_ms(path, fps)
    assert shown_ms[0] == 0
    assert all(after - before >= 1000 / fps - 1 for before, after in itertools.pairwise(shown_ms))
    for time_ms in at_ms:  # and none is left out without one shortly before it
        assert any(time_ms - 1000 / fps < shown <= time_ms for shown in shown_ms)


@pytest.mark.parametrize("way", MATRICES)
def test_a_video_is_shown_as_its_matrix_says(tmp_path: Path, way: str) -> None:
    matrix, turn = MATRICES[way]
    path = with_matrix(make(tmp_path / "phone.mp4", [0, 40]), matrix)
    expected = turn(quarters())
    camera = open_recording(path).vehicle.cameras[0]
    assert (camera.height_px, camera.width_px) == expected.shape[:2]
    for _, pixels in video_frames(path):
        assert pixels.shape == expected.shape
        middles = pixels[10::20, 10::20].astype(int) - expected[10::20, 10::20]
        assert np.abs(middles).max() < 40, "the colours of all four quarters"
    for entry in open_recording(path).frames():
        with Pillow.open(io.BytesIO(entry.value.frame.image.data)) as picture:
            assert picture.size == (expected.shape[1], expected.shape[0])


@pytest.mark.parametrize("matrix", [(56756, 32768, 0, -32768, 56756, 0, 0, 0, LAST), (0,) * 9])
def test_a_matrix_that_turns_by_no_quarter_is_refused(tmp_path: Path, matrix: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="not by quarters"):
        open_recording(with_matrix(make(tmp_path / "phone.mp4", [0]), matrix))


@pytest.mark.parametrize("content", [b"", b"nothing" * 100, b"\0" * 5000, b"\x1aE\xdf\xa3" * 100, b"GIF89a"])
def test_what_is_no_video_says_so(tmp_path: Path, content: bytes) -> None:
    strange = tmp_path / "strange.mp4"
    strange.write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot be read as a video"):
        open_recording(strange)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(InvalidInput, match="no video stream"):
        open_recording(path)


def test_a_video_without_a_frame(tmp_path: Path) -> None:
    path = make(tmp_path / "empty.mkv", [0])
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75")])  # all that stands before the first cluster
    with pytest.raises(InvalidInput, match="cannot be read as a video: End of file"):
        open_recording(path)


def test_a_list_of_other_files_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "secret.mp4", [0])
    monkeypatch.chdir(tmp_path)
    for text in ("ffconcat version 1.0\nfile secret.mp4\n", "#EXTM3U\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"):
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(InvalidInput, match="cannot be read as a video"):
            open_recording(Path("list.mp4"))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_broken_video_is_frames_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("video")
    whole = bytearray(make(folder / data.draw(st.sampled_from(["a.mp4", "a.mkv", "a.avi"])), [0, 40, 80]).read_bytes())
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path = folder / "broken.mp4"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    try:
        recording = open_recording(path)
        times_ns = [entry.time_ns for entry in recording.frames()]
    except InvalidInput:
        return
    assert times_ns == sorted(times_ns)
    assert recording.info().duration_s >= 0
