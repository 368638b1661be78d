"""Reads our MCAP files, whole ones and those that were cut off. Knows nothing of how they were made."""

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard
from mcap.exceptions import EndOfFile, McapError
from mcap.records import Channel, Footer, Header, McapRecord, Message, Metadata
from mcap.stream_reader import StreamReader
from mcap.writer import MCAP0_MAGIC

from stillwing.agent.v1 import agent_pb2
from stillwing.recording.v1 import recording_pb2
from stillwing.vehicle.v1 import vehicle_pb2
from stillwing_agent.convert import events as agent_convert
from stillwing_bridge.convert.flight_log import entry_from_wire
from stillwing_bridge.convert.vehicles import frame_update_from_wire, telemetry_from_wire, vehicle_from_wire
from stillwing_bridge.core.types import FrameUpdate, VehicleInfo
from stillwing_common.errors import InvalidInput
from stillwing_recording import topics
from stillwing_recording.base import Content, Entry, Losses, Recording, RecordingInfo

_MOST_RECORD_BYTES = 1 << 28
_DAMAGE = (McapError, struct.error, ValueError, OverflowError, MemoryError, zstandard.ZstdError)


class McapRecording(Recording):
    """See `Recording`. `InvalidInput` for a file that is none of ours or holds not even its first chunk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._vehicle = self._read_vehicle()

    @property
    def vehicle(self) -> VehicleInfo:
        """See `Recording.vehicle`."""
        return self._vehicle

    def info(self) -> RecordingInfo:
        """See `Recording.info`; reads the whole file."""
        counts: Counter[str] = Counter()
        first_ns = last_ns = 0
        whole, metadata = False, {}
        losses = Losses()
        channels: dict[int, str] = {}
        for record in self._records():
            match record:
                case Channel():
                    channels[record.id] = record.topic
                case Metadata() if record.name == topics.PROFILE:
                    metadata = dict(record.metadata)
                case Message() if record.channel_id in channels:
                    topic = channels[record.channel_id]
                    counts[topic] += 1
                    first_ns = first_ns or record.log_time
                    last_ns = record.log_time
                    if topic == topics.RECORDER:
                        losses = _losses(recording_pb2.RecorderReport.FromString(record.data))
                case Footer():
                    whole = self._ends_whole()
                case _:
                    pass
        duration_s = (last_ns - first_ns) / 1e9
        return RecordingInfo(
            self._path, "mcap", self._vehicle, first_ns, duration_s, dict(counts), whole, losses, metadata
        )

    def entries(self) -> Iterator[Entry[Content]]:
        """See `Recording.entries`; ends where a cut file ends."""
        pixels: dict[str, tuple[int, bytes]] = {}
        for topic, message in self._messages():
            if topic.startswith("/camera/") and topic.endswith("/image"):
                pixels[topic] = (message.sequence, _compressed_data(message.data))
            elif topic.startswith("/camera/") and topic.endswith("/frame"):
                number, data = pixels.pop(topic.removesuffix("frame") + "image", (-1, b""))
                if number == message.sequence:
                    yield Entry(message.log_time, _frame(message.data, data))
            elif topic in _READ:
                yield Entry(message.log_time, _READ[topic](message.data))

    def _read_vehicle(self) -> VehicleInfo:
        for topic, message in self._messages():
            if topic == topics.VEHICLE:
                return vehicle_from_wire(vehicle_pb2.Vehicle.FromString(message.data))
        raise InvalidInput(
            f"{self._path} holds no flight: it is no recording of ours, or was cut off in its first second",
            path=self._path,
        )

    def _ends_whole(self) -> bool:
        with self._path.open("rb") as file:
            file.seek(-len(MCAP0_MAGIC), os.SEEK_END)
            return file.read() == MCAP0_MAGIC

    def _messages(self) -> Iterator[tuple[str, Message]]:
        channels: dict[int, str] = {}
        for record in self._records():
            if isinstance(record, Channel):
                channels[record.id] = record.topic
            elif isinstance(record, Message) and record.channel_id in channels:
                yield channels[record.channel_id], record

    def _records(self) -> Iterator[McapRecord]:
        """Records up to where the file ends or makes no sense any more."""
        with self._path.open("rb") as file:
            records = StreamReader(
                cast(Any, _Bounded(file)), validate_crcs=True, record_size_limit=_MOST_RECORD_BYTES
            ).records
            while True:
                try:
                    record = next(records)
                except StopIteration:
                    return
                except _DAMAGE:
                    return
                if isinstance(record, Header) and record.profile != topics.PROFILE:
                    return
                yield record


class _Bounded:
    """A file that refuses to be asked for more than it holds: a damaged length must not cost that much memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = os.fstat(file.fileno()).st_size

    def read(self, length: int) -> bytes:
        if not 0 <= length <= self._left:
            raise EndOfFile
        self._left -= length
        return self._file.read(length)


def _frame(data: bytes, pixels: bytes) -> FrameUpdate:
    message = vehicle_pb2.WatchFramesResponse.FromString(data)
    message.frame.image.data = pixels
    return frame_update_from_wire(message)


def _compressed_data(data: bytes) -> bytes:
    from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage

    return CompressedImage.FromString(data).data


def _losses(report: recording_pb2.RecorderReport) -> Losses:
    return Losses(
        {each.topic: each.dropped for each in report.streams if each.dropped},
        {each.topic: each.missed for each in report.streams if each.missed},
        {each.topic: each.interruptions for each in report.streams if each.interruptions},
    )


def _entry(data: bytes) -> Any:
    return entry_from_wire(vehicle_pb2.WatchFlightLogResponse.FromString(data))


_READ: dict[str, Callable[[bytes], Any]] = {
    topics.TELEMETRY: lambda data: telemetry_from_wire(vehicle_pb2.WatchTelemetryResponse.FromString(data)),
    topics.MISSION: lambda data: agent_convert.event_from_wire(agent_pb2.WatchMissionResponse.FromString(data)),
    **dict.fromkeys(topics.FLIGHT_LOG_TOPICS, _entry),
}
