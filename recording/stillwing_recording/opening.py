"""Opens what holds a flight, whatever it is.

>>> recording = open_recording(Path("runs/2026-11-21_14-03-00/flight.mcap"))
>>> for entry in recording.frames():
...     print(entry.time_ns, entry.value.frame.frame_id)
"""

from pathlib import Path

from stillwing_common.errors import InvalidInput, NotFound
from stillwing_common.extras import needs_extra
from stillwing_recording.base import Recording
from stillwing_recording.files import why
from stillwing_recording.pictures import SUFFIXES, PictureFolder, PictureOptions
from stillwing_recording.videos import Video


def open_recording(path: Path, options: PictureOptions | None = None) -> Recording:
    """A recording by what it is: a `.mcap` file, a folder of JPEG or PNG files or one of them, any other as a video.

    `NotFound`, `InvalidInput` where it is none of these, `MissingExtra` where a package to read it is not installed.
    """
    options = options or PictureOptions()
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(str(path), path=path) from error
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {why(error)}", path=path) from error
    suffix = path.suffix.lower()
    if path.is_dir() or suffix in SUFFIXES:
        return PictureFolder(path, options)
    if suffix != ".mcap":
        return Video(path, options)
    with needs_extra("bridge", "recordings in MCAP"):
        from stillwing_recording.mcap_file import McapRecording
    return McapRecording(path)
