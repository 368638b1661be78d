"""The frame pump: from the bridge's newest frame into the engine's context, all the time, whatever the mission does.

Which of two frames gives way where they come too fast is decided by the bridge's camera and by the engine's
newest-wins, and not here: each frame is placed as it comes. The pump keeps the frames that the engine took in lately
and knows nothing of goals, tools or leases. All methods run on one event loop.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from stillwing_bridge.core.protocol import Bridge
from stillwing_common.errors import (
    EngineAway,
    FramesStopped,
    FrameSuperseded,
    ImageEmpty,
    ImageTooLarge,
    ImageUndecodable,
    OutOfCredits,
    StillwingError,
    Unavailable,
)
from stillwing_common.types import Frame, Stamp
from stillwing_vlm.core.protocol import VideoStream
from stillwing_vlm.core.results import AppendResult

_BAD_PICTURES = (ImageEmpty, ImageUndecodable, ImageTooLarge)

_NO_ROOM = (FrameSuperseded, OutOfCredits, EngineAway)
"""The engine let the frame go for a newer one, takes none before it has caught up, or is gone: another one comes."""


class FramePump:
    """Pumps one camera of one vehicle into one session, opened with newest-wins.

    `on_taken(frames)` is called after each append. The newest `kept_frames` that were appended are kept with their
    pixels.
    """

    def __init__(
        self,
        bridge: Bridge,
        vehicle_id: str,
        session: VideoStream,
        *,
        camera_id: str,
        max_rate_hz: float,
        kept_frames: int,
        on_taken: Callable[[int], None],
    ) -> None:
        self._bridge = bridge
        self._vehicle_id = vehicle_id
        self._session = session
        self._camera_id = camera_id
        self._max_rate_hz = max_rate_hz
        self._kept_frames = kept_frames
        self._on_taken = on_taken
        self._kept: OrderedDict[str, Frame] = OrderedDict()
        self._last_taken: Frame | None = None
        self._oldest_in_sight = ""
        self._shown_px = (0, 0)
        self._taken = asyncio.Event()
        self._last_bad: StillwingError | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._appends: set[asyncio.Task[None]] = set()

    @property
    def newest_frame_id(self) -> str:
        """The newest frame the engine has taken in; "" if none."""
        return self._last_taken.frame_id if self._last_taken is not None else ""

    @property
    def picture_px(self) -> tuple[int, int] | None:
        """Width and height of the newest frame as the model is shown it; None before there is one."""
        rows, columns = self._shown_px
        return (columns, rows) if rows else None

    @property
    def sight_s(self) -> float | None:
        """How far the frames in the window reach back from the newest, seconds; None where that is not known."""
        newest, oldest = self._last_taken, self._kept.get(self._oldest_in_sight)
        if oldest is None:
            oldest = next(iter(self._kept.values()), None) if not self._oldest_in_sight else None
        if newest is None or oldest is None or newest.capture.clock_id != oldest.capture.clock_id:
            return None
        return (newest.capture.time_ns - oldest.capture.time_ns) / 1e9

    def evicted(self, oldest_frame_id: str) -> None:
        """Frames left the model's sight; this is now the oldest in its window."""
        self._oldest_in_sight = oldest_frame_id

    def frame(self, frame_id: str) -> Frame | None:
        """A frame the engine took in lately, with its pixels; None if it is too old or unknown."""
        return self._kept.get(frame_id)

    def kept_since(self, frame_id: str) -> tuple[str, ...]:
        """Ids of the frames it still has that came after this one, oldest first; all of them for an unknown id."""
        ids = list(self._kept)
        return tuple(ids[ids.index(frame_id) + 1 :] if frame_id in self._kept else ids)

    def frames_since(self, frame_id: str) -> tuple[Frame, ...]:
        """The frames it still has that came after this one, oldest first; after "", those in the model's sight."""
        ids = list(self._kept)
        if frame_id in self._kept:
            first = ids.index(frame_id) + 1
        else:
            first = ids.index(self._oldest_in_sight) if not frame_id and self._oldest_in_sight in self._kept else 0
        return tuple(self._kept[one] for one in ids[first:])

    def kept_before(self, frame_id: str) -> tuple[str, ...]:
        """Ids of the frames it still has that came before this one, oldest first; none for an unknown id."""
        ids = list(self._kept)
        return tuple(ids[: ids.index(frame_id)] if frame_id in self._kept else ())

    async def run(self) -> None:
        """Pump until cancelled. Raises what the bridge or the engine fails with; a bad picture alone is passed over."""
        reader = asyncio.create_task(self._read(), name="frame-reader")
        try:
            done, _ = await asyncio.wait({reader, self._failed}, return_when=asyncio.FIRST_COMPLETED)
            for ended in done:
                ended.result()
        finally:
            tasks = {reader, *self._appends}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_captured_since(self, since: Stamp, timeout_s: float) -> Frame:
        """Wait until the engine has taken in a frame captured at `since` or later on the same clock.

        Raises FramesStopped when there is none within `timeout_s`.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    frame = self._last_taken
                    if (
                        frame is not None
                        and frame.capture.clock_id == since.clock_id
                        and frame.capture.time_ns >= since.time_ns
                    ):
                        return frame
                    await self._taken.wait()
        except TimeoutError:
            raise FramesStopped(
                f"none captured since the last motion within {timeout_s:g} s",
                last_frame_id=self.newest_frame_id,
                last_bad_picture=self._last_bad.reason if self._last_bad else "",
            ) from self._last_bad

    async def _read(self) -> None:
        async for update in self._bridge.watch_frames(self._vehicle_id, self._camera_id, max_rate_hz=self._max_rate_hz):
            # Placed here and not in the task: what is asked after this sees it.
            try:
                placed = self._session.append(update.frame)
            except EngineAway:
                continue
            task = asyncio.create_task(self._settle(update.frame, placed), name="frame-append")
            self._appends.add(task)
            task.add_done_callback(self._appends.discard)
        raise Unavailable("the bridge ended the frame stream", vehicle_id=self._vehicle_id)

    async def _settle(self, frame: Frame, placed: Awaitable[AppendResult]) -> None:
        try:
            shown_px = (await placed).shown_px
        except _NO_ROOM:
            return
        except _BAD_PICTURES as error:
            self._last_bad = error
            return
        except StillwingError as error:
            if not self._failed.done():
                self._failed.set_exception(error)
            return
        self._last_taken, self._shown_px = frame, shown_px
        self._kept[frame.frame_id] = frame
        while len(self._kept) > self._kept_frames:
            self._kept.popitem(last=False)
        taken, self._taken = self._taken, asyncio.Event()
        taken.set()
        self._on_taken(1)
