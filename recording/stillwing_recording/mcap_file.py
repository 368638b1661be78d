"""Reads our MCAP files, whole ones and those that were cut off. Knows nothing of how they were made."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as WireMessage
from mcap.records import Channel, Footer, Header, McapRecord, Message, Metadata
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
from stillwing_recording.files import open_file
from stillwing_recording.mcap_records import UnpackLimits, read_records
from stillwing_recording.steady_times import SteadyTimes

_ENCODING = "protobuf"
_K = TypeVar("_K", bound=WireMessage)


class McapRecording(Recording):
    """See `Recording`. `InvalidInput` for a file that is none of ours or holds not even its first chunk.

    Every reading of it raises `InvalidInput`, too, for a message that is not what its topic holds and for a file that
    unpacks beyond `limits`. Where the clock it was recorded by was set back, time stands still and goes on from there.
    """

    def __init__(self, path: Path, limits: UnpackLimits | None = None) -> None:
        self._path = path
        self._limits = limits
        self._vehicle = self._read_vehicle()

    @property
    def vehicle(self) -> VehicleInfo:
        """See `Recording.vehicle`."""
        return self._vehicle

    def info(self) -> RecordingInfo:
        """See `Recording.info`; reads the whole file."""
        counts: Counter[str] = Counter()
        times = SteadyTimes()
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
                    if topic == topics.RECORDER:
                        losses = _losses(self._parsed(recording_pb2.RecorderReport, topic, record))
                        last_ns = max(last_ns, times.shifted(record.log_time))
                    else:
                        last_ns = max(last_ns, times.at(record.log_time))
                    first_ns = first_ns or last_ns
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
        times = SteadyTimes()
        for topic, message in self._messages():
            if topic.startswith("/camera/") and topic.endswith("/image"):
                pixels[topic] = (message.sequence, self._pixels(topic, message))
            elif topic.startswith("/camera/") and topic.endswith("/frame"):
                number, data = pixels.pop(topic.removesuffix("frame") + "image", (-1, b""))
                if number == message.sequence:
                    yield Entry(times.at(message.log_time), self._frame(topic, message, data))
            elif topic in _READ:
                kind, read = _READ[topic]
                parsed = self._parsed(kind, topic, message)
                with self._blamed(topic):
                    value = read(parsed)
                yield Entry(times.at(message.log_time), value)

    def _read_vehicle(self) -> VehicleInfo:
        for topic, message in self._messages():
            if topic == topics.VEHICLE:
                vehicle = self._parsed(vehicle_pb2.Vehicle, topic, message)
                with self._blamed(topic):
                    return vehicle_from_wire(vehicle)
        raise InvalidInput(
            f"{self._path} holds no flight: it is no recording of ours, or was cut off in its first second",
            path=self._path,
        )

    def _ends_whole(self) -> bool:
        with open_file(self._path) as file:
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
        for record in read_records(self._path, self._limits):
            if isinstance(record, Header) and record.profile != topics.PROFILE:
                return
            if isinstance(record, Channel) and _is_ours(record.topic) and record.message_encoding != _ENCODING:
                raise InvalidInput(
                    f"{self._path}: {record.topic} is in the encoding {record.message_encoding!r}, not {_ENCODING}",
                    path=self._path,
                )
            yield record

    def _frame(self, topic: str, message: Message, pixels: bytes) -> FrameUpdate:
        parsed = self._parsed(vehicle_pb2.WatchFramesResponse, topic, message)
        parsed.frame.image.data = pixels
        with self._blamed(topic):
            return frame_update_from_wire(parsed)

    def _pixels(self, topic: str, message: Message) -> bytes:
        from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage

        return self._parsed(CompressedImage, topic, message).data

    def _parsed(self, kind: type[_K], topic: str, message: Message) -> _K:
        with self._blamed(topic):
            return kind.FromString(message.data)

    @contextmanager
    def _blamed(self, topic: str) -> Iterator[None]:
        """What is wrong with a message is told with the file and the topic it is from."""
        try:
            yield
        except (DecodeError, InvalidInput) as error:
            raise InvalidInput(
                f"{self._path}: a message of {topic} is not what this topic holds: {error}", path=self._path
            ) from error


def _is_ours(topic: str) -> bool:
    camera = topic.startswith("/camera/") and topic.endswith(("/frame", "/image"))
    return camera or topic in (topics.VEHICLE, topics.RECORDER, *_READ)


def _losses(report: recording_pb2.RecorderReport) -> Losses:
    return Losses(
        {each.topic: each.dropped for each in report.streams if each.dropped},
        {each.topic: each.missed for each in report.streams if each.missed},
        {each.topic: each.interruptions for each in report.streams if each.interruptions},
    )


_READ: dict[str, tuple[type[WireMessage], Callable[[Any], Content]]] = {
    topics.TELEMETRY: (vehicle_pb2.WatchTelemetryResponse, telemetry_from_wire),
    topics.MISSION: (agent_pb2.WatchMissionResponse, agent_convert.event_from_wire),
    **dict.fromkeys(topics.FLIGHT_LOG_TOPICS, (vehicle_pb2.WatchFlightLogResponse, entry_from_wire)),
}
