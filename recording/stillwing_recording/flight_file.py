"""The file of a flight being recorded: a bounded queue before it, and the thread that writes it.

Whoever hands a message over never waits: what does not fit is dropped, counted, and the count written into the file.
Log entries (commands, refusals, mission events) are let in beyond the bound of the frames, so that a slow disk costs
pictures first. A fault of the disk ends the recording and nothing else.
"""

import contextlib
import logging
import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from stillwing.recording.v1 import recording_pb2
from stillwing_agent.core.events import MissionEvent
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.types import FrameUpdate, Telemetry, VehicleInfo
from stillwing_common.extras import needs_extra
from stillwing_recording.base import Content
from stillwing_rpc.convert import timestamp_to_wire

_log = logging.getLogger(__name__)

_JOIN_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class FileSettings:
    """What may wait for the disk. A crash costs at most the last `chunk_s` seconds."""

    chunk_s: float = 1.0
    max_queue_bytes: int = 64 * 1024 * 1024
    max_queue_items: int = 5000

    def __post_init__(self) -> None:
        if self.chunk_s <= 0:
            raise ValueError("chunk_s is above 0")
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


class FlightFile:
    """One file from its first message to `close`; everything but `close` is called on the event loop.

    Makes the file and its thread at once; raises what `FlightWriter` raises, and `MissingExtra`.
    """

    def __init__(self, path: Path, vehicle: VehicleInfo, settings: FileSettings, metadata: dict[str, str]) -> None:
        with needs_extra("bridge", "recording"):
            from stillwing_recording.writer import FlightWriter
        self._settings = settings
        self._clock = _SteadyClock()
        self._writer = FlightWriter(path, vehicle, self._clock.time_ns(), metadata)
        self._queue: queue.SimpleQueue[tuple[str, Content, int] | None] = queue.SimpleQueue()
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

    def put(self, topic: str, message: Content) -> None:
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

    def _write(self, topic: str, message: Content, time_ns: int) -> None:
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


class _SteadyClock:
    """The wall clock as it was at the start, carried on by the monotonic one: a file's times never go back."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def time_ns(self) -> int:
        return time.monotonic_ns() + self._offset_ns


def _size(message: Content) -> int:
    return len(message.frame.image.data) + 500 if isinstance(message, FrameUpdate) else 500
