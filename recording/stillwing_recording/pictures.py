"""Pictures and videos as recordings: frames alone, with the times that files give or the user says.

Pictures are handed on as they lie on the disk, bit for bit; a video's frames are made JPEG one by one.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image as Pillow
from PIL import UnidentifiedImageError

from stillwing_bridge.core.types import Camera, FrameUpdate, Limits, VehicleInfo
from stillwing_common.errors import InvalidInput
from stillwing_common.extras import needs_extra
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_recording import topics
from stillwing_recording.base import Content, Entry, Losses, Recording, RecordingInfo

TIMES_FILE = "timestamps.csv"
_ENCODINGS = {".jpg": ImageEncoding.JPEG, ".jpeg": ImageEncoding.JPEG, ".png": ImageEncoding.PNG}
_DEFAULT_FPS = 2.0
_JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What pictures and videos do not say of themselves. `fps` None: a video's own times, 2 a second for pictures."""

    fps: float | None = None
    hfov_deg: float = 90.0
    vehicle_id: str = "drone"
    camera_id: str = "front_center"

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps <= 1000:
            raise InvalidInput("fps is above 0 and at most 1000", field="fps")
        if not 0 < self.hfov_deg < 180:
            raise InvalidInput("hfov is between 0 and 180 degrees", field="hfov_deg")


class PictureFolder(Recording):
    """The JPEG and PNG files of a folder by name, numbers in names by value.

    Times come from `timestamps.csv` (lines `name,seconds`) if it is there, else from `options.fps`.
    """

    def __init__(self, folder: Path, options: PictureOptions) -> None:
        self._folder = folder
        self._options = options
        files = sorted((each for each in folder.iterdir() if each.suffix.lower() in _ENCODINGS), key=_natural)
        if not files:
            raise InvalidInput(f"{folder} holds no JPEG or PNG file", path=folder)
        self._times = _times(folder, files, options.fps or _DEFAULT_FPS)
        self._vehicle = _vehicle(_size(files[0], files[0].read_bytes()), options)

    @property
    def vehicle(self) -> VehicleInfo:
        """See `Recording.vehicle`."""
        return self._vehicle

    def info(self) -> RecordingInfo:
        """See `Recording.info`."""
        duration_s = (self._times[-1][1] - self._times[0][1]) / 1e9
        return _info(self._folder, "pictures", self._vehicle, duration_s, len(self._times))

    def entries(self) -> Iterator[Entry[Content]]:
        """See `Recording.entries`; `InvalidInput` for a file that is no picture."""
        for number, (file, time_ns) in enumerate(self._times, 1):
            data = file.read_bytes()
            image = Image(_ENCODINGS[file.suffix.lower()], *_size(file, data), data)
            yield Entry(time_ns, _update(self._folder, self._options, number, time_ns, image))


class Video(Recording):
    """A video file of any kind FFmpeg reads, at its own times or at `options.fps`."""

    def __init__(self, path: Path, options: PictureOptions) -> None:
        self._path = path
        self._options = options
        first = next(self._pictures(), None)
        if first is None:
            raise InvalidInput(f"{path} holds no frame", path=path)
        self._vehicle = _vehicle((first[1].width_px, first[1].height_px), options)

    @property
    def vehicle(self) -> VehicleInfo:
        """See `Recording.vehicle`."""
        return self._vehicle

    def info(self) -> RecordingInfo:
        """See `Recording.info`; reads the whole video."""
        times = [time_ns for time_ns, _ in self._decoded()]
        return _info(self._path, "video", self._vehicle, (times[-1] - times[0]) / 1e9, len(times))

    def entries(self) -> Iterator[Entry[Content]]:
        """See `Recording.entries`."""
        for number, (time_ns, image) in enumerate(self._pictures(), 1):
            yield Entry(time_ns, _update(self._path, self._options, number, time_ns, image))

    def _pictures(self) -> Iterator[tuple[int, Image]]:
        for time_ns, frame in self._decoded():
            file = io.BytesIO()
            frame.to_image().save(file, "JPEG", quality=_JPEG_QUALITY)
            yield time_ns, Image(ImageEncoding.JPEG, frame.width, frame.height, file.getvalue())

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        """Decoded frames and their times, at most `options.fps` of them a second."""
        with needs_extra("video", "videos"):
            import av
        period_ns = 0 if self._options.fps is None else round(1e9 / self._options.fps)
        due_ns: int | None = None
        try:
            with av.open(str(self._path)) as container:
                if not container.streams.video:
                    raise InvalidInput(f"{self._path} has no video stream", path=self._path)
                for number, frame in enumerate(container.decode(video=0)):
                    seconds = frame.time if frame.time is not None else number / 25
                    time_ns = round(seconds * 1e9)
                    # Half a millisecond of grace: times of videos are rounded.
                    if due_ns is None or time_ns >= due_ns - 500_000:
                        due_ns = (time_ns if due_ns is None else due_ns) + period_ns
                        yield time_ns, frame
        except av.error.FFmpegError as error:
            raise InvalidInput(f"{self._path} cannot be read as a video: {error}", path=self._path) from error


def _natural(file: Path) -> list[tuple[int, str]]:
    """frame_9 before frame_10."""
    parts = re.split(r"(\d+)", file.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _times(folder: Path, files: list[Path], fps: float) -> list[tuple[Path, int]]:
    table = folder / TIMES_FILE
    if not table.exists():
        return [(file, round(number / fps * 1e9)) for number, file in enumerate(files)]
    seconds: dict[str, float] = {}
    with table.open(newline="", encoding="utf-8") as lines:
        for line, row in enumerate(csv.reader(lines), 1):
            if not row or row[0].lstrip().startswith("#"):
                continue
            try:
                name, time = row
                seconds[name.strip()] = float(time)
            except ValueError:
                raise InvalidInput(f"{table}, line {line}: want `name,seconds`, not {','.join(row)!r}") from None
    absent = [file.name for file in files if file.name not in seconds]
    if absent:
        raise InvalidInput(f"{table} gives no time for {', '.join(absent[:3])}", path=table)
    # Files the table does not give in the order of their names are in the order of their times.
    timed = sorted(((file, round(seconds[file.name] * 1e9)) for file in files), key=lambda each: each[1])
    if timed[0][1] < 0:
        raise InvalidInput(f"{table}: times are 0 or above", path=table)
    return timed


def _size(file: Path, data: bytes) -> tuple[int, int]:
    try:
        with Pillow.open(io.BytesIO(data)) as picture:
            return picture.size
    except (UnidentifiedImageError, OSError, Pillow.DecompressionBombError) as error:
        raise InvalidInput(f"{file} is no picture: {error}", path=file) from error


def _vehicle(size_px: tuple[int, int], options: PictureOptions) -> VehicleInfo:
    camera = Camera(options.camera_id, *size_px, options.hfov_deg, has_depth=False)
    return VehicleInfo(options.vehicle_id, (camera,), Limits(), simulated=False)


def _update(source: Path, options: PictureOptions, number: int, time_ns: int, image: Image) -> FrameUpdate:
    frame = Frame(
        f"{options.vehicle_id}/{options.camera_id}/{number}",
        options.camera_id,
        Stamp(time_ns, f"clk_{source.stem}"),
        None,
        image,
        options.hfov_deg,
    )
    return FrameUpdate(number, frame, time_ns, time_ns, time_ns)


def _info(path: Path, kind: str, vehicle: VehicleInfo, duration_s: float, count: int) -> RecordingInfo:
    topic = topics.frame_topic(vehicle.cameras[0].camera_id)
    return RecordingInfo(path, kind, vehicle, 0, duration_s, {topic: count}, True, Losses(), {})
