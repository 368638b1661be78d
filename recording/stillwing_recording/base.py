"""What was recorded, in order: an MCAP file of ours, a folder of pictures or a video, through one interface.

>>> recording = open_recording(Path("runs/2026-11-21_14-03-00/flight.mcap"))
>>> for entry in recording.frames():
...     print(entry.time_ns, entry.value.frame.frame_id)

It knows nothing of services and serves nothing. Every iterator reads the file anew and holds one entry at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from stillwing_agent.core.base import MissionEvent
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.types import FrameUpdate, Telemetry, VehicleInfo
from stillwing_common.errors import InvalidInput, NotFound

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Losses:
    """What a recorder said it lacks, by topic: dropped by itself, missed before it, streams that broke."""

    dropped: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    interruptions: dict[str, int] = field(default_factory=dict)

    @property
    def none(self) -> bool:
        """Whether nothing is lacking."""
        return not (any(self.dropped.values()) or any(self.missed.values()) or any(self.interruptions.values()))


@dataclass(frozen=True, slots=True)
class RecordingInfo:
    """A recording at a glance; `whole` is False for a file that was cut off, `counts` are messages by topic."""

    path: Path
    kind: str
    vehicle: VehicleInfo
    began_ns: int
    duration_s: float
    counts: dict[str, int]
    whole: bool
    losses: Losses
    metadata: dict[str, str]

    @property
    def frames(self) -> int:
        """Frames of all cameras."""
        return sum(count for topic, count in self.counts.items() if topic.endswith("/frame"))


@dataclass(frozen=True, slots=True)
class Entry(Generic[T_co]):
    """One recorded value and when it was recorded; nanoseconds since 1970 UTC, or since the start of a video."""

    time_ns: int
    value: T_co


Recorded = FrameUpdate | Telemetry | FlightLogEntry | MissionEvent


class Recording(ABC):
    """One flight, seen by one vehicle. Entries come in the order in which they were recorded."""

    @property
    @abstractmethod
    def vehicle(self) -> VehicleInfo:
        """Whose flight it is."""

    @abstractmethod
    def info(self) -> RecordingInfo:
        """The recording at a glance."""

    @abstractmethod
    def entries(self) -> Iterator[Entry[Recorded]]:
        """Everything."""

    def frames(self, camera_id: str = "") -> Iterator[Entry[FrameUpdate]]:
        """Frames of one camera, "" of the vehicle's first one."""
        wanted = camera_id or self.vehicle.cameras[0].camera_id
        return (entry for entry in _of(self.entries(), FrameUpdate) if entry.value.frame.camera_id == wanted)

    def telemetry(self) -> Iterator[Entry[Telemetry]]:
        """States of the vehicle; none for pictures and videos."""
        return _of(self.entries(), Telemetry)

    def flight_log(self) -> Iterator[Entry[FlightLogEntry]]:
        """Commands, refusals, holds and thinking intervals; none for pictures and videos."""
        return _of(self.entries(), FlightLogEntry)

    def mission_events(self) -> Iterator[Entry[MissionEvent]]:
        """What the agent did; none where no mission was recorded."""
        return _of(self.entries(), MissionEvent)


_K = TypeVar("_K", FrameUpdate, Telemetry, FlightLogEntry, MissionEvent)


def _of(entries: Iterator[Entry[Recorded]], kind: type[_K]) -> Iterator[Entry[_K]]:
    return (Entry(entry.time_ns, entry.value) for entry in entries if isinstance(entry.value, kind))


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


def open_recording(path: Path, options: PictureOptions | None = None) -> Recording:
    """A recording by what it is: a `.mcap` file, a folder of JPEG or PNG files, or any other file as a video.

    `NotFound`, `InvalidInput` where it is none of these, `MissingExtra` where a package to read it is not installed.
    """
    from stillwing_recording.mcap_file import McapRecording
    from stillwing_recording.pictures import PictureFolder, Video

    options = options or PictureOptions()
    if not path.exists():
        raise NotFound(str(path), path=path)
    if path.is_dir():
        return PictureFolder(path, options)
    return McapRecording(path) if path.suffix == ".mcap" else Video(path, options)
