"""One flight as one MCAP file, written message by message. Knows no stream, no queue and no thread.

Chunks are closed by `flush`; whatever happens to the process afterwards, a closed chunk stays readable. What is in a
chunk that was not closed is lost with the process.
"""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from google.protobuf.message import Message
from mcap.writer import CompressionType, Writer
from mcap_protobuf.schema import register_schema

from stillwing.recording.v1 import recording_pb2
from stillwing_agent.convert import events as agent_convert
from stillwing_agent.core.events import MissionEvent
from stillwing_bridge.convert.flight_log import entry_to_wire
from stillwing_bridge.convert.vehicles import frame_update_to_wire, telemetry_to_wire, vehicle_to_wire
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.types import FrameUpdate, Telemetry, VehicleInfo
from stillwing_common.errors import AlreadyExists, InvalidInput, Unsupported
from stillwing_common.types import ImageEncoding
from stillwing_recording import foxglove, topics

_CHUNK_BYTES = 1 << 20
_RECORDABLE = (ImageEncoding.JPEG, ImageEncoding.PNG)


class FlightWriter:
    """Writes one file. Not thread-safe; `time_ns` of each message is the recorder's clock and should not go back."""

    def __init__(
        self, path: Path, vehicle: VehicleInfo, time_ns: int, metadata: Mapping[str, str] | None = None
    ) -> None:
        """Make the file; `AlreadyExists` rather than overwriting one, `InvalidInput` where it cannot be made."""
        self.path = path
        self.written: Counter[str] = Counter()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("xb")
        except FileExistsError as error:
            raise AlreadyExists(f"{path}; a recording is never overwritten", path=path) from error
        except OSError as error:
            raise InvalidInput(f"{path}: {error.strerror}", path=path) from error
        self._mcap = Writer(self._file, chunk_size=_CHUNK_BYTES, compression=CompressionType.ZSTD)
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._calibrated: set[str] = set()
        self._mcap.start(profile=topics.PROFILE, library="stillwing")
        self._mcap.add_metadata(topics.PROFILE, {"vehicle_id": vehicle.vehicle_id, **(metadata or {})})
        self._write(topics.VEHICLE, vehicle_to_wire(vehicle), time_ns)
        self._write(topics.SCENE, foxglove.vehicle_marker(time_ns), time_ns)

    def frame(self, update: FrameUpdate, time_ns: int) -> None:
        """One frame: its pixels, then the rest of it. `Unsupported` for encodings that are no image file."""
        frame = update.frame
        if frame.image.encoding not in _RECORDABLE:
            raise Unsupported(f"frames are recorded as JPEG or PNG, not {frame.image.encoding.value}")
        topic = topics.frame_topic(frame.camera_id)
        number = self.written[topic] + 1
        self._write(topics.image_topic(frame.camera_id), foxglove.image(frame, time_ns), time_ns, number)
        message = frame_update_to_wire(update)
        message.frame.image.data = b""
        self._write(topic, message, time_ns, number, publish_ns=update.offer_time_ns or update.receive_time_ns)
        transform = foxglove.camera_transform(frame, time_ns)
        if transform is not None:
            self._write(topics.TRANSFORMS, transform, time_ns)
        if frame.camera_id not in self._calibrated:
            self._calibrated.add(frame.camera_id)
            calibration = foxglove.calibration(frame, time_ns)
            if calibration is not None:
                self._write(topics.calibration_topic(frame.camera_id), calibration, time_ns)

    def telemetry(self, telemetry: Telemetry, time_ns: int) -> None:
        """One state of the vehicle."""
        self._write(topics.TELEMETRY, telemetry_to_wire(telemetry), time_ns, telemetry.sequence)
        self._write(topics.POSE, foxglove.vehicle_pose(telemetry, time_ns), time_ns)
        self._write(topics.TRANSFORMS, foxglove.vehicle_transform(telemetry, time_ns), time_ns)

    def flight_log(self, entry: FlightLogEntry, time_ns: int) -> None:
        """One entry of the bridge's flight log."""
        topic = topics.flight_log_topic(entry.event)
        self._write(topic, entry_to_wire(entry), time_ns, entry.log_seq, publish_ns=entry.log_time_ns)
        self._write(topics.WORDS, foxglove.flight_log_words(entry, time_ns), time_ns)

    def mission_event(self, event: MissionEvent, time_ns: int) -> None:
        """One event of a mission."""
        message = agent_convert.event_to_wire(event)
        self._write(topics.MISSION, message, time_ns, event.event_seq, publish_ns=event.wall_ns)
        self._write(topics.WORDS, foxglove.mission_words(event, time_ns), time_ns)

    def report(self, report: recording_pb2.RecorderReport, time_ns: int) -> None:
        """The recorder's own statement."""
        self._write(topics.RECORDER, report, time_ns)

    def flush(self) -> None:
        """Close the chunk: all that was written so far outlives this process, and the machine's power."""
        self._mcap.flush()  # type: ignore[no-untyped-call]
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write indexes and summary and close the file."""
        try:
            self._mcap.finish()  # type: ignore[no-untyped-call]
            os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def abandon(self) -> None:
        """Close the file as it is, after a fault of the disk; what was flushed stays readable."""
        self._file.close()

    def _write(
        self, topic: str, message: Message, time_ns: int, sequence: int = 0, *, publish_ns: int | None = None
    ) -> None:
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = self._register(topic, type(message))
        self.written[topic] += 1
        self._mcap.add_message(
            channel,
            log_time=time_ns,
            data=message.SerializeToString(),
            publish_time=time_ns if publish_ns is None else publish_ns,
            sequence=sequence & 0xFFFFFFFF,
        )

    def _register(self, topic: str, kind: type[Message]) -> int:
        name = kind.DESCRIPTOR.full_name
        if name not in self._schemas:
            self._schemas[name] = register_schema(self._mcap, kind)
        return self._mcap.register_channel(topic, "protobuf", self._schemas[name])
