"""The flight recorder: one more client of bridge and agent that writes what their public streams show to one MCAP file.

It never slows the flight. Streams of state drop what a reader is too slow for, and before the disk is a queue with a
bound: what does not fit is dropped, counted, and the count written into the file. Log entries (commands, refusals,
mission events) are let in beyond the bound of the frames, so that a slow disk costs pictures first. A fault of the disk
ends the recording and not the flight. All methods run on one event loop; a thread writes the file.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from stillwing.recording.v1 import recording_pb2
from stillwing_agent.core.base import Agent, MissionEvent
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import FrameUpdate, Telemetry, VehicleInfo
from stillwing_common.errors import MissingExtra, StillwingError, UnknownVehicle
from stillwing_recording import topics
from stillwing_rpc.convert import timestamp_to_wire

if TYPE_CHECKING:
    from stillwing_recording.writer import FlightWriter

_log = logging.getLogger(__name__)

_RETRY_S = 0.5
_REST_LIMIT_S = 3.0
_JOIN_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """How much is recorded; `telemetry_hz` 0 takes every state. A crash costs at most the last `chunk_s` seconds."""

    fps: float = 2.0
    telemetry_hz: float = 10.0
    chunk_s: float = 1.0
    max_queue_bytes: int = 64 * 1024 * 1024
    max_queue_items: int = 5000

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.telemetry_hz < 0 or self.chunk_s <= 0:
            raise ValueError("fps and chunk_s are above 0, telemetry_hz is 0 or above")
        if self.max_queue_bytes < 1 or self.max_queue_items < 1:
            raise ValueError("the queue has room for something")


@dataclass(frozen=True, slots=True)
class RecordingSummary:
    """What came of a recording: messages in the file, dropped and missed by topic; `fault` if it ended early."""

    path: Path
    duration_s: float
    size_bytes: int
    written: dict[str, int]
    dropped: dict[str, int]
    missed: dict[str, int]
    fault: str = ""

    @property
    def frames(self) -> int:
        """Frames of all cameras."""
        return sum(count for topic, count in self.written.items() if topic.endswith("/frame"))


_Message = FrameUpdate | Telemetry | FlightLogEntry | MissionEvent


class FlightRecorder:
    """Records one vehicle's flight: `start`, optionally `follow_mission`, `close`.

    `camera_ids` empty records the vehicle's first camera; a further one costs the simulator a further picture.
    """

    def __init__(
        self,
        path: Path,
        bridge: Bridge,
        vehicle_id: str,
        settings: RecorderSettings | None = None,
        *,
        camera_ids: tuple[str, ...] = (),
        metadata: dict[str, str] | None = None,
    ) -> None:
        self._path = path
        self._bridge = bridge
        self._vehicle_id = vehicle_id
        self._settings = settings or RecorderSettings()
        self._camera_ids = camera_ids
        self._metadata = metadata or {}
        self._tasks: list[asyncio.Task[None]] = []
        self._log_seq = 0
        self._missions: dict[str, tuple[Agent, int]] = {}
        self._file: _FileThread | None = None
        self._began_s = 0.0
        self._summary: RecordingSummary | None = None

    async def start(self) -> None:
        """Make the file and begin; raises what the bridge raises, `AlreadyExists`, `UnknownVehicle`."""
        vehicle = await self._find_vehicle()
        # What other flights left in the log is not this flight.
        async for entry in self._bridge.watch_flight_log(self._vehicle_id, until_now=True):
            self._log_seq = entry.log_seq
        self._began_s = time.monotonic()
        self._file = await asyncio.to_thread(_FileThread, self._path, vehicle, self._settings, self._metadata)
        hz = self._settings.telemetry_hz
        for camera_id in self._camera_ids or tuple(camera.camera_id for camera in vehicle.cameras[:1]):
            self._follow(topics.frame_topic(camera_id), lambda camera_id=camera_id: self._frames(camera_id))  # type: ignore[misc]
        self._follow(topics.TELEMETRY, lambda: self._bridge.watch_telemetry(self._vehicle_id, max_rate_hz=hz))
        self._follow(topics.FLIGHT_LOG, self._flight_log)

    def follow_mission(self, agent: Agent, mission_id: str) -> None:
        """Record a mission's events too, from its first one on."""
        self._missions[mission_id] = (agent, 0)
        self._follow(topics.MISSION, lambda: self._mission(mission_id), ends=True)

    @property
    def fault(self) -> str:
        """Why the recording has ended early; "" as long as it goes on."""
        return self._file.fault if self._file is not None else ""

    async def close(self) -> RecordingSummary:
        """Take in what the logs still hold, write the final statement and close the file. Again: the same summary."""
        if self._summary is not None:
            return self._summary
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._file is None:
            return RecordingSummary(self._path, 0.0, 0, {}, {}, {}, "it never began")
        with contextlib.suppress(TimeoutError, StillwingError):
            async with asyncio.timeout(_REST_LIMIT_S):
                await self._take_rest()
        duration_s = time.monotonic() - self._began_s
        self._summary = await asyncio.to_thread(self._file.close, duration_s)
        return self._summary

    async def _find_vehicle(self) -> VehicleInfo:
        vehicles = await self._bridge.list_vehicles()
        for vehicle in vehicles:
            if vehicle.vehicle_id == self._vehicle_id:
                return vehicle
        known = ", ".join(vehicle.vehicle_id for vehicle in vehicles)
        raise UnknownVehicle(vehicle_id=self._vehicle_id, known=known)

    async def _take_rest(self) -> None:
        await self._drain(self._flight_log(until_now=True), topics.FLIGHT_LOG)
        for mission_id, (agent, _) in tuple(self._missions.items()):
            if (await agent.get_mission(mission_id)).state.ended:
                await self._drain(self._mission(mission_id), topics.MISSION)

    # Streams

    def _follow(self, topic: str, stream: Callable[[], AsyncIterator[_Message]], *, ends: bool = False) -> None:
        self._tasks.append(asyncio.create_task(self._run(topic, stream, ends), name=f"recorder{topic}"))

    async def _run(self, topic: str, stream: Callable[[], AsyncIterator[_Message]], ends: bool) -> None:
        """Follow one stream until cancelled; a broken one is taken up again, and that is counted."""
        assert self._file is not None
        while not self._file.fault:
            try:
                await self._drain(stream(), topic)
            except StillwingError as error:
                _log.warning("recording %s: %s", topic, error)
            else:
                if ends:
                    return
            self._file.interrupted(topic)
            await asyncio.sleep(_RETRY_S)

    async def _drain(self, stream: AsyncIterator[_Message], topic: str) -> None:
        assert self._file is not None
        sequence = 0
        async with aclosing(cast(Any, stream)) as messages:
            async for message in messages:
                if isinstance(message, FrameUpdate | Telemetry):
                    if 0 < sequence < message.sequence - 1:
                        self._file.missed(topic, message.sequence - 1 - sequence)
                    sequence = message.sequence
                self._file.put(topic, message)

    def _frames(self, camera_id: str) -> AsyncIterator[FrameUpdate]:
        return self._bridge.watch_frames(self._vehicle_id, camera_id, max_rate_hz=self._settings.fps)

    async def _flight_log(self, until_now: bool = False) -> AsyncIterator[FlightLogEntry]:
        assert self._file is not None
        watch = self._bridge.watch_flight_log(self._vehicle_id, after_log_seq=self._log_seq, until_now=until_now)
        async with aclosing(cast(Any, watch)) as entries:
            async for entry in entries:
                if entry.log_seq > self._log_seq + 1:
                    self._file.missed(topics.FLIGHT_LOG, entry.log_seq - self._log_seq - 1)
                # A bridge that was started anew counts from one again.
                self._log_seq = entry.log_seq
                yield entry

    async def _mission(self, mission_id: str) -> AsyncIterator[MissionEvent]:
        agent, seen = self._missions[mission_id]
        async with aclosing(cast(Any, agent.watch_mission(mission_id, seen))) as events:
            async for event in events:
                self._missions[mission_id] = (agent, event.event_seq)
                yield event


class _FileThread:
    """The thread that owns the file, and the bounded queue before it. `put`, `missed`, `interrupted`: event loop."""

    def __init__(self, path: Path, vehicle: VehicleInfo, settings: RecorderSettings, metadata: dict[str, str]) -> None:
        self._settings = settings
        self._clock = _SteadyClock()
        self._writer = _open_writer(path, vehicle, self._clock.time_ns(), metadata)
        self._queue: queue.SimpleQueue[tuple[str, _Message, int] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._waiting_items = 0
        self._written: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._interruptions: Counter[str] = Counter()
        self._lost = False
        self.fault = ""
        self._write_report(final=False)
        self._writer.flush()
        self._thread = threading.Thread(target=self._run, name="flight-recorder", daemon=True)
        self._thread.start()

    def put(self, topic: str, message: _Message) -> None:
        """Hand a message over, or drop and count it; never blocks."""
        size = _size(message)
        state = isinstance(message, FrameUpdate | Telemetry)
        most_items = self._settings.max_queue_items * (1 if state else 2)
        with self._lock:
            full = self._waiting_items >= most_items or (
                state and self._waiting_bytes + size > self._settings.max_queue_bytes
            )
            if full or self.fault:
                self._dropped[topic] += 1
                self._lost = True
                return
            self._waiting_items += 1
            self._waiting_bytes += size
        self._queue.put((topic, message, self._clock.time_ns()))

    def missed(self, topic: str, count: int) -> None:
        """Count what never came."""
        with self._lock:
            self._missed[topic] += count
            self._lost = True

    def interrupted(self, topic: str) -> None:
        """Count a stream that broke."""
        with self._lock:
            self._interruptions[topic] += 1
            self._lost = True

    def close(self, duration_s: float) -> RecordingSummary:
        """Write what waits and the final statement, close the file. Blocks."""
        self._queue.put(None)
        self._thread.join(_JOIN_LIMIT_S)
        if self._thread.is_alive():
            self.fault = f"the disk did not take the rest within {_JOIN_LIMIT_S:g} s"
        path = self._writer.path
        size = path.stat().st_size if path.exists() else 0
        return RecordingSummary(
            path, duration_s, size, dict(self._written), dict(self._dropped), dict(self._missed), self.fault
        )

    def _run(self) -> None:
        try:
            self._write_all()
            self._write_report(final=True)
            self._writer.close()
        except Exception as error:  # whatever it is, the flight goes on and the user is told
            self.fault = str(error) or type(error).__name__
            _log.exception("recording to %s ended early", self._writer.path)
            with contextlib.suppress(OSError):
                self._writer.abandon()

    def _write_all(self) -> None:
        flush_s = time.monotonic() + self._settings.chunk_s
        while True:
            try:
                item = self._queue.get(timeout=max(0.01, flush_s - time.monotonic()))
            except queue.Empty:
                item = ()  # type: ignore[assignment]
            if item is None:
                return
            if item:
                self._write(*item)
            if time.monotonic() >= flush_s:
                with self._lock:
                    lost, self._lost = self._lost, False
                if lost:
                    self._write_report(final=False)
                self._writer.flush()
                flush_s = time.monotonic() + self._settings.chunk_s

    def _write(self, topic: str, message: _Message, time_ns: int) -> None:
        match message:
            case FrameUpdate():
                self._writer.frame(message, time_ns)
            case Telemetry():
                self._writer.telemetry(message, time_ns)
            case FlightLogEntry():
                self._writer.flight_log(message, time_ns)
            case MissionEvent():
                self._writer.mission_event(message, time_ns)
        with self._lock:
            self._written[topic] += 1
            self._waiting_items -= 1
            self._waiting_bytes -= _size(message)

    def _write_report(self, *, final: bool) -> None:
        time_ns = self._clock.time_ns()
        with self._lock:
            streams = sorted({*self._written, *self._dropped, *self._missed, *self._interruptions})
            report = recording_pb2.RecorderReport(
                report_time=timestamp_to_wire(time_ns),
                streams=[
                    recording_pb2.StreamReport(
                        topic=topic,
                        written=self._written[topic],
                        dropped=self._dropped[topic],
                        missed=self._missed[topic],
                        interruptions=self._interruptions[topic],
                    )
                    for topic in streams
                ],
                final=final,
            )
        self._writer.report(report, time_ns)


def _open_writer(path: Path, vehicle: VehicleInfo, time_ns: int, metadata: dict[str, str]) -> "FlightWriter":
    try:
        from stillwing_recording.writer import FlightWriter
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"recording needs {error.name}; run: pip install 'stillwing[bridge]'",
            package=error.name or "",
            extra="bridge",
        ) from error
    return FlightWriter(path, vehicle, time_ns, metadata)


class _SteadyClock:
    """The wall clock as it was at the start, carried on by the monotonic one: a file's times never go back."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def time_ns(self) -> int:
        return time.monotonic_ns() + self._offset_ns


def _size(message: _Message) -> int:
    return len(message.frame.image.data) + 500 if isinstance(message, FrameUpdate) else 500
