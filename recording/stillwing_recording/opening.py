"""Opens what holds a flight, whatever it is.

>>> recording = open_recording(Path("runs/2026-11-21_14-03-00/flight.mcap"))
>>> for entry in recording.frames():
...     print(entry.time_ns, entry.value.frame.frame_id)
"""

from pathlib import Path

from stillwing_common.errors import NotFound
from stillwing_common.extras import needs_extra
from stillwing_recording.base import Recording
from stillwing_recording.pictures import PictureFolder, PictureOptions, Video


def open_recording(path: Path, options: PictureOptions | None = None) -> Recording:
    """A recording by what it is: a `.mcap` file, a folder of JPEG or PNG files, or any other file as a video.

    `NotFound`, `InvalidInput` where it is none of these, `MissingExtra` where a package to read it is not installed.
    """
    options = options or PictureOptions()
    if not path.exists():
        raise NotFound(str(path), path=path)
    if path.is_dir():
        return PictureFolder(path, options)
    if path.suffix != ".mcap":
        return Video(path, options)
    with needs_extra("bridge", "recordings in MCAP"):
        from stillwing_recording.mcap_file import McapRecording
    return McapRecording(path)
