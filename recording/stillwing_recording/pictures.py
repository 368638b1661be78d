"""A folder of pictures as a recording: frames alone, with the times that a table gives or the user says.

Pictures are handed on as they lie on the disk, bit for bit; what they are is read from their content, and their size is
that of the upright picture, as whoever decodes them by `stillwing_common.pictures` sees it.
"""

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stillwing_bridge.core.types import Camera, FrameUpdate, Limits, VehicleInfo
from stillwing_common.errors import InvalidInput
from stillwing_common.pictures import read_header
from stillwing_common.types import Frame, Image, Stamp
from stillwing_recording import topics
from stillwing_recording.base import Content, Entry, Losses, Recording, RecordingInfo
from stillwing_recording.files import open_file
from stillwing_recording.times_table import TIMES_FILE, read_times

SUFFIXES = (".jpg", ".jpeg", ".png")
MOST_PIXELS = 8192 * 8192
"""What a picture of a folder and a frame of a video may have."""
MOST_BYTES = 128 << 20
"""What the file of a picture may have."""
_DEFAULT_FPS = 2.0


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What pictures and videos do not say of themselves. `fps` None: a video's own times, 2 a second for pictures."""

    fps: float | None = None
    hfov_deg: float = 90.0
    vehicle_id: str = "drone"
    camera_id: str = "front_center"

    def __post_init__(self) -> None:
        if self.fps is not None and not 0.001 <= self.fps <= 1000:
            raise InvalidInput("fps is between 0.001 and 1000", field="fps")
        if not 0 < self.hfov_deg < 180:
            raise InvalidInput("hfov is between 0 and 180 degrees", field="hfov_deg")


class PictureFolder(Recording):
    """The JPEG and PNG files of a folder by name, numbers in names by value, hidden ones left out; or a single file.

    Times come from `timestamps.csv` (lines `name,seconds`) if it is there, else from `options.fps`. `InvalidInput` for
    a folder without pictures, for what is called like a picture and is none, and for what `read_times` refuses.
    """

    def __init__(self, folder: Path, options: PictureOptions) -> None:
        self._folder = folder
        self._options = options
        self._times = _times(folder, options.fps or _DEFAULT_FPS)
        first = read_picture(self._times[0][0])
        self._vehicle = vehicle_of((first.width_px, first.height_px), options)

    @property
    def vehicle(self) -> VehicleInfo:
        """See `Recording.vehicle`."""
        return self._vehicle

    def info(self) -> RecordingInfo:
        """See `Recording.info`."""
        duration_s = (self._times[-1][1] - self._times[0][1]) / 1e9
        return info_of(self._folder, "pictures", self._vehicle, duration_s, len(self._times))

    def entries(self) -> Iterator[Entry[Content]]:
        """See `Recording.entries`; `InvalidInput` for a file that is no picture."""
        for number, (file, time_ns) in enumerate(self._times, 1):
            yield Entry(time_ns, update_of(self._folder, self._options, number, time_ns, read_picture(file)))


def picture_files(folder: Path) -> list[Path]:
    """The pictures of a folder, frame_9 before frame_10.

    `InvalidInput` where there are none, and for a link to nothing, a folder or a pipe that is called like a picture.
    """
    try:
        # A name that begins with a dot is hidden: what macOS writes beside a picture, for one, ._photo.jpg.
        named = [each for each in folder.iterdir() if each.suffix.lower() in SUFFIXES and each.name[0] != "."]
        for file in named:
            if not stat.S_ISREG(file.stat().st_mode):
                raise InvalidInput(f"{file} is called like a picture and is no file", path=file)
    except OSError as error:
        raise InvalidInput(f"{error.filename or folder} cannot be read: {error.strerror}", path=folder) from error
    if not named:
        raise InvalidInput(f"{folder} holds no JPEG or PNG file", path=folder)
    return sorted(named, key=_natural)


def read_picture(file: Path) -> Image:
    """A picture as what its content is, whatever its name says; `InvalidInput`, naming the file, for what is none."""
    with open_file(file) as opened:
        data = opened.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"{file} is larger than {MOST_BYTES >> 20} MiB", path=file)
    try:
        header = read_header(data, max_pixels=MOST_PIXELS)
    except InvalidInput as error:
        raise InvalidInput(f"{file} is no picture: {error}", path=file) from error
    return Image(header.encoding, header.width_px, header.height_px, data)


def _natural(file: Path) -> list[tuple[int, str]]:
    """frame_9 before frame_10."""
    parts = re.split(r"(\d+)", file.name.lower())
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _times(folder: Path, fps: float) -> list[tuple[Path, int]]:
    """Pictures with their times in nanoseconds, in the order of their times."""
    if not folder.is_dir():
        return [(folder, 0)]
    files = picture_files(folder)
    table = folder / TIMES_FILE
    if not table.exists() and not table.is_symlink():
        return [(file, round(number / fps * 1e9)) for number, file in enumerate(files)]
    times_ns = read_times(table, [file.name for file in files])
    # Files the table does not give in the order of their names are in the order of their times.
    return sorted(((file, times_ns[file.name]) for file in files), key=lambda each: each[1])


def vehicle_of(size_px: tuple[int, int], options: PictureOptions) -> VehicleInfo:
    """Whose frames they are: a vehicle of one camera."""
    camera = Camera(options.camera_id, *size_px, options.hfov_deg, has_depth=False)
    return VehicleInfo(options.vehicle_id, (camera,), Limits(), simulated=False)


def update_of(source: Path, options: PictureOptions, number: int, time_ns: int, image: Image) -> FrameUpdate:
    """Frame `number` of pictures or a video."""
    frame = Frame(
        f"{options.vehicle_id}/{options.camera_id}/{number}",
        options.camera_id,
        Stamp(time_ns, f"clk_{source.stem}"),
        None,
        image,
        options.hfov_deg,
    )
    return FrameUpdate(number, frame, time_ns, time_ns, time_ns)


def info_of(path: Path, kind: str, vehicle: VehicleInfo, duration_s: float, count: int) -> RecordingInfo:
    """Pictures or a video at a glance."""
    topic = topics.frame_topic(vehicle.cameras[0].camera_id)
    return RecordingInfo(path, kind, vehicle, 0, duration_s, {topic: count}, True, Losses(), {})
