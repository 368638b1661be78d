"""A video file as a recording: frames alone, made JPEG one by one, upright, at their own times or thinned."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Pillow

from stillwing_bridge.core.types import VehicleInfo
from stillwing_common.errors import InvalidInput
from stillwing_common.extras import needs_extra
from stillwing_common.types import Image, ImageEncoding
from stillwing_recording.base import Content, Entry, Recording, RecordingInfo
from stillwing_recording.files import open_file, why
from stillwing_recording.pictures import MOST_PIXELS, PictureOptions, info_of, update_of, vehicle_of
from stillwing_recording.steady_times import SteadyTimes

_JPEG_QUALITY = 90
_FALLBACK_FPS = 25
"""Of a stream without times, such as bare H.264."""
_GRACE_NS = 500_000
"""By how much a frame may be early: times of videos are rounded, to milliseconds at the coarsest."""
_LATEST_S = 100 * 365 * 86400

Pixels = npt.NDArray[np.uint8]


class Video(Recording):
    """A video file of any kind FFmpeg reads, at its own times or at most `options.fps` of its frames a second.

    `InvalidInput` for what cannot be read as one, also when it breaks off within.
    """

    def __init__(self, path: Path, options: PictureOptions) -> None:
        self._path = path
        self._options = options
        first = next(video_frames(path, options.fps), None)
        if first is None:
            raise InvalidInput(f"{path} holds no frame", path=path)
        rows_px, columns_px = first[1].shape[:2]
        self._vehicle = vehicle_of((columns_px, rows_px), options)

    @property
    def vehicle(self) -> VehicleInfo:
        """See `Recording.vehicle`."""
        return self._vehicle

    def info(self) -> RecordingInfo:
        """See `Recording.info`; reads the whole video."""
        first_ns = last_ns = count = 0
        for count, (last_ns, _) in enumerate(video_frames(self._path, self._options.fps), 1):
            first_ns = last_ns if count == 1 else first_ns
        return info_of(self._path, "video", self._vehicle, (last_ns - first_ns) / 1e9, count)

    def entries(self) -> Iterator[Entry[Content]]:
        """See `Recording.entries`."""
        for number, (time_ns, pixels) in enumerate(video_frames(self._path, self._options.fps), 1):
            file = io.BytesIO()
            Pillow.fromarray(pixels).save(file, "JPEG", quality=_JPEG_QUALITY)
            image = Image(ImageEncoding.JPEG, pixels.shape[1], pixels.shape[0], file.getvalue())
            yield Entry(time_ns, update_of(self._path, self._options, number, time_ns, image))


def video_frames(path: Path, fps: float | None = None) -> Iterator[tuple[int, Pixels]]:
    """Upright frames, RGB `uint8[rows, columns, 3]`, and their times in nanoseconds, which never go back.

    With `fps`, two frames lie at least 1 / fps seconds apart, so that there are at most so many a second. Raises
    InvalidInput, MissingExtra.
    """
    with needs_extra("video", "videos"):
        import av
    times = SteadyTimes()
    gap_ns = 0 if fps is None else round(1e9 / fps - min(_GRACE_NS, 1e7 / fps))
    due_ns: int | None = None
    # A file that names other files or addresses, as playlists do, is not followed: no protocol is allowed. Broken texts
    # in a file's metadata are none of ours.
    options = {"protocol_whitelist": "none"}
    try:
        with open_file(path) as file, av.open(file, "r", options=options, metadata_errors="replace") as container:
            if not container.streams.video:
                raise InvalidInput(f"{path} has no video stream", path=path)
            codec = container.streams.video[0].codec_context
            if codec is None:
                raise InvalidInput(f"{path} is in a codec that nobody here decodes", path=path)
            _check_size(path, codec)
            for number, frame in enumerate(container.decode(video=0)):
                seconds = frame.time if frame.time is not None else number / _FALLBACK_FPS
                if not abs(seconds) < _LATEST_S:
                    raise InvalidInput(f"{path}: frame {number + 1} is at {seconds:g} s", path=path)
                time_ns = times.at(max(0, round(seconds * 1e9)))
                if due_ns is None or time_ns >= due_ns:
                    due_ns = time_ns + gap_ns
                    _check_size(path, frame)
                    yield time_ns, _upright(path, frame)
    except (av.error.FFmpegError, OSError, ValueError, OverflowError, MemoryError) as error:
        raise InvalidInput(f"{path} cannot be read as a video: {why(error)}", path=path) from error


def _check_size(path: Path, sized: Any) -> None:
    """Of a codec before a frame is decoded, and of a frame before it is made RGB."""
    if sized.width * sized.height > MOST_PIXELS:
        raise InvalidInput(
            f"{path} has frames of {sized.width}x{sized.height}, at most {MOST_PIXELS} pixels", path=path
        )


def _upright(path: Path, frame: Any) -> Pixels:
    """The frame as the file's display matrix wants it shown: turned by quarters and mirrored."""
    pixels: Pixels = frame.to_ndarray(format="rgb24")
    matrix = next((each for each in _side_data(frame) if each.type.name == "DISPLAYMATRIX"), None)
    if matrix is None:
        return pixels
    # Columns and rows are shown at x' = a x + c y and y' = b x + d y; libavutil/display.h.
    a, b, _, c, d = (int(each) for each in np.frombuffer(matrix, np.int32)[:5])
    if max(abs(b), abs(c)) * 100 < min(abs(a), abs(d)):
        right, down = a, d
    elif max(abs(a), abs(d)) * 100 < min(abs(b), abs(c)):
        pixels, right, down = pixels.transpose(1, 0, 2), c, b
    else:
        raise InvalidInput(f"{path} is to be shown turned, and not by quarters", path=path)
    return np.ascontiguousarray(pixels[:: 1 if down > 0 else -1, :: 1 if right > 0 else -1])


def _side_data(frame: Any) -> list[Any]:
    return [frame.side_data[place] for place in range(len(frame.side_data))]
