"""What a recording is to its readers: one flight, entry by entry, in the order in which it was recorded.

It knows no file format and serves nothing. Every iterator reads the file anew and holds one entry at a time.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from stillwing_agent.core.events import MissionEvent
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.types import FrameUpdate, Telemetry, VehicleInfo

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Losses:
    """What a recorder said it lacks, by topic: dropped by itself, missed before it, streams that broke."""

    dropped: dict[str, int] = field(default_factory=dict)
    missed: dict[str, int] = field(default_factory=dict)
    interruptions: dict[str, int] = field(default_factory=dict)


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


Content = FrameUpdate | Telemetry | FlightLogEntry | MissionEvent


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
    def entries(self) -> Iterator[Entry[Content]]:
        """Everything."""

    def frames(self, camera_id: str = "") -> Iterator[Entry[FrameUpdate]]:
        """Frames of one camera, "" of the vehicle's first one."""
        source_id = camera_id or self.vehicle.cameras[0].camera_id
        return (entry for entry in _of(self.entries(), FrameUpdate) if entry.value.frame.camera_id == source_id)

    def telemetry(self) -> Iterator[Entry[Telemetry]]:
        """States of the vehicle; none for pictures and videos."""
        return _of(self.entries(), Telemetry)

    def flight_log(self) -> Iterator[Entry[FlightLogEntry]]:
        """Commands, refusals, holds and thinking intervals; none for pictures and videos."""
        return _of(self.entries(), FlightLogEntry)


_K = TypeVar("_K", FrameUpdate, Telemetry, FlightLogEntry)


def _of(entries: Iterator[Entry[Content]], kind: type[_K]) -> Iterator[Entry[_K]]:
    return (Entry(entry.time_ns, entry.value) for entry in entries if isinstance(entry.value, kind))
