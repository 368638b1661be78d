"""The flight recorder: one more client of bridge and agent that writes what their public streams show to one MCAP file.

It never slows the flight: streams of state drop what a reader is too slow for, and what waits for the disk has a bound
(`flight_file`). A fault of the disk ends the recording and not the flight. All methods run on one event loop.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from stillwing_agent.core.events import MissionEvent
from stillwing_agent.core.protocol import Agent
from stillwing_bridge.core.events import FlightLogEntry
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import FrameUpdate, Telemetry, VehicleInfo
from stillwing_common.errors import StillwingError, UnknownVehicle
from stillwing_recording import topics
from stillwing_recording.base import Content
from stillwing_recording.flight_file import FileSettings, FlightFile, RecordingSummary

_log = logging.getLogger(__name__)

_RETRY_S = 0.5
_REST_LIMIT_S = 3.0


@dataclass(frozen=True, slots=True)
class RecorderSettings:
    """How much is recorded; `telemetry_hz` 0 takes every state."""

    fps: float = 2.0
    telemetry_hz: float = 10.0
    file: FileSettings = field(default_factory=FileSettings)

    def __post_init__(self) -> None:
        if self.fps <= 0 or self.telemetry_hz < 0:
            raise ValueError("fps is above 0, telemetry_hz is 0 or above")


class FlightRecorder:
    """Records one vehicle's flight, as its first camera sees it: `start`, optionally `follow_mission`, `close`."""

    def __init__(
        self,
        path: Path,
        bridge: Bridge,
        vehicle_id: str,
        settings: RecorderSettings | None = None,
        *,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self._path = path
        self._bridge = bridge
        self._vehicle_id = vehicle_id
        self._settings = settings or RecorderSettings()
        self._metadata = metadata or {}
        self._tasks: list[asyncio.Task[None]] = []
        self._log_seq = 0
        self._missions: dict[str, tuple[Agent, int]] = {}
        self._file: FlightFile | None = None
        self._began_s = 0.0
        self._summary: RecordingSummary | None = None

    async def start(self) -> None:
        """Make the file and begin; raises what the bridge raises, `AlreadyExists`, `UnknownVehicle`."""
        vehicle = await self._find_vehicle()
        # What other flights left in the log is not this flight.
        async for entry in self._bridge.watch_flight_log(self._vehicle_id, until_now=True):
            self._log_seq = entry.log_seq
        self._began_s = time.monotonic()
        self._file = await asyncio.to_thread(FlightFile, self._path, vehicle, self._settings.file, self._metadata)
        hz = self._settings.telemetry_hz
        if vehicle.cameras:
            camera_id = vehicle.cameras[0].camera_id
            self._follow(topics.frame_topic(camera_id), lambda: self._frames(camera_id))
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

    def _follow(self, topic: str, stream: Callable[[], AsyncIterator[Content]], *, ends: bool = False) -> None:
        self._tasks.append(asyncio.create_task(self._run(topic, stream, ends), name=f"recorder{topic}"))

    async def _run(self, topic: str, stream: Callable[[], AsyncIterator[Content]], ends: bool) -> None:
        """Follow one stream until cancelled; a broken one is opened again, and that is counted."""
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

    async def _drain(self, stream: AsyncIterator[Content], topic: str) -> None:
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
