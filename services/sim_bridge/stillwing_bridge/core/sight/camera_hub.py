"""The newest frames of one camera, to any number of readers at their own rates.

Here alone in the bridge a newer frame takes an older one's place, because a camera has many readers: one picture is
under way at a time, and each reader has one slot. A slow reader loses frames, never time, and the sequence numbers it
sees show what it missed. Everything runs on one event loop.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from stillwing_bridge.core.judge.seen_frames import FrameRecord, FrameRegistry
from stillwing_bridge.core.sight.pace import Pace
from stillwing_bridge.core.sight.pixels import encode, view_for
from stillwing_bridge.core.types import FrameUpdate
from stillwing_bridge.core.vehicle import Vehicle, View
from stillwing_common.clock import Clock
from stillwing_common.errors import StillwingError, UnknownCamera
from stillwing_common.mailbox import Closed, Mailbox
from stillwing_common.types import Frame, ImageEncoding

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrameSettings:
    """`rate_hz` is captured for readers that name no rate, `max_rate_hz` is the most anybody gets."""

    rate_hz: float = 4.0
    max_rate_hz: float = 20.0
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        if not 0 < self.rate_hz <= self.max_rate_hz or not 1 <= self.jpeg_quality <= 95:
            raise ValueError("frames: 0 < rate_hz <= max_rate_hz, jpeg_quality between 1 and 95")


@dataclass(slots=True)
class _Reader:
    mailbox: Mailbox[FrameUpdate]
    encoding: ImageEncoding
    rate_hz: float
    pace: Pace


class CameraHub:
    """Captures one camera while somebody watches, at the highest rate anybody wants."""

    def __init__(
        self, vehicle: Vehicle, camera_id: str, frames: FrameRegistry, clock: Clock, settings: FrameSettings
    ) -> None:
        try:
            self._camera = next(camera for camera in vehicle.spec.cameras if camera.camera_id == camera_id)
        except StopIteration:
            raise UnknownCamera(camera_id=camera_id) from None
        self._vehicle = vehicle
        self._frames = frames
        self._clock = clock
        self._settings = settings
        self._readers: list[_Reader] = []
        self._task: asyncio.Task[None] | None = None

    async def capture(self, encodings: set[ImageEncoding]) -> dict[ImageEncoding, FrameUpdate]:
        """One picture of this instant, in all `encodings`, remembered under one frame id."""
        views: set[View] = {view_for(encoding) for encoding in encodings}
        request_time_ns = self._clock.wall_ns()
        capture = await self._vehicle.capture(self._camera.camera_id, views)
        receive_time_ns = self._clock.wall_ns()
        quality = self._settings.jpeg_quality
        images = await asyncio.to_thread(
            lambda: {encoding: encode(capture, encoding, jpeg_quality=quality) for encoding in encodings}
        )
        frame_id = self._frames.next_id(self._camera.camera_id)
        some = next(iter(images.values()))
        hfov_deg = self._camera.hfov_deg
        offer_time_ns = self._clock.wall_ns()
        self._frames.add(
            FrameRecord(
                frame_id,
                self._camera.camera_id,
                capture.stamp,
                capture.camera_pose,
                some.width_px,
                some.height_px,
                hfov_deg,
            )
        )
        return {
            encoding: FrameUpdate(
                0,
                Frame(frame_id, self._camera.camera_id, capture.stamp, capture.camera_pose, image, hfov_deg),
                receive_time_ns,
                request_time_ns,
                offer_time_ns,
            )
            for encoding, image in images.items()
        }

    async def watch(self, max_rate_hz: float, encoding: ImageEncoding) -> AsyncIterator[FrameUpdate]:
        """New frames from now on."""
        rate_hz = min(max_rate_hz or self._settings.rate_hz, self._settings.max_rate_hz)
        reader = _Reader(Mailbox(), encoding, rate_hz, Pace(rate_hz))
        self._readers.append(reader)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name=f"camera-{self._camera.camera_id}")
            self._task.add_done_callback(self._on_end)
        try:
            while True:
                item = await reader.mailbox.get()
                yield replace(item.value, sequence=item.sequence)
        except Closed:
            return
        finally:
            self._readers.remove(reader)

    async def close(self) -> None:
        """End every reader's stream and the capturing."""
        for reader in tuple(self._readers):
            reader.mailbox.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _on_end(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            _log.error("camera %s broke", self._camera.camera_id, exc_info=fault)
            for reader in self._readers:
                reader.mailbox.close()

    async def _run(self) -> None:
        failing = False
        due_s = self._clock.monotonic_s()
        while self._readers:
            now_s = self._clock.monotonic_s()
            due = [reader for reader in self._readers if reader.pace.due(now_s)]
            try:
                updates = await self.capture({reader.encoding for reader in due}) if due else {}
                failing = False
            except StillwingError as error:
                # The camera may come back; its readers keep the gap, and the log says so once.
                if not failing:
                    _log.warning("camera %s: %s", self._camera.camera_id, error)
                failing = True
                updates = {}
            for reader in due:
                reader.pace.advance(now_s)
                if reader.encoding in updates:
                    reader.mailbox.put(updates[reader.encoding])
            due_s = max(due_s + 1 / max((r.rate_hz for r in self._readers), default=1.0), now_s)
            await asyncio.sleep(max(0.0, due_s - self._clock.monotonic_s()))
