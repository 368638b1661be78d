"""Plays a recording to readers: in order, at a pace, on the recorded vehicle's clock. Knows no lease and no command.

At `speed` 0 each frame waits until every reader has taken the one before, and none is dropped; at any other the newest
wins, as live. All methods run on one event loop; files are read on a thread.
"""

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace

from PIL import Image as Pillow

from stillwing_bridge.core.types import FrameUpdate, Telemetry
from stillwing_common.clock import Clock
from stillwing_common.errors import InvalidInput, Unsupported
from stillwing_common.mailbox import Closed, Mailbox
from stillwing_common.pictures import decode_rgb
from stillwing_common.types import Image, ImageEncoding, Stamp
from stillwing_recording.base import Content, Entry, Recording
from stillwing_recording.pictures import MOST_PIXELS

_LEAST_RATE_HZ = 1e-6
"""Readers that ask for less get one value in eleven days; the reciprocal of less is beyond all numbers."""


@dataclass(eq=False, slots=True)
class _FrameReader:
    camera_id: str
    encoding: ImageEncoding
    period_ns: int
    mailbox: Mailbox[FrameUpdate]
    taken: asyncio.Event = field(default_factory=asyncio.Event)
    due_ns: int = 0


@dataclass(eq=False, slots=True)
class _TelemetryReader:
    period_ns: int
    mailbox: Mailbox[Telemetry]
    due_ns: int = 0


class Playback:
    """One pass over a recording; it begins with the first reader of frames. `on_frame` sees every frame shown."""

    def __init__(
        self, recording: Recording, speed: float, clock: Clock, on_frame: Callable[[FrameUpdate], None]
    ) -> None:
        if not 0 <= speed <= 1000:
            raise InvalidInput("speed is between 0 and 1000", field="speed")
        self._recording = recording
        self._speed = speed
        self._clock = clock
        self._on_frame = on_frame
        self._frame_readers: list[_FrameReader] = []
        self._telemetry_readers: list[_TelemetryReader] = []
        self._newest: dict[str, FrameUpdate] = {}
        self._newest_telemetry: Telemetry | None = None
        self._now = Stamp(0, "")
        self._now_s = 0.0
        self._first_ns = 0
        self._position_ns = 0
        self._begun = asyncio.Event()
        self._joined = asyncio.Event()
        self._player: asyncio.Task[None] | None = None
        self.ended = False

    async def start(self) -> None:
        """Show the first frame and state and wait for a reader; `InvalidInput` for a recording without frames."""
        first = await asyncio.to_thread(lambda: next(self._recording.frames(), None))
        if first is None:
            raise InvalidInput("the recording holds no frame")
        # Agents look at the state before they watch anything, and it must not be a later one than they will be shown.
        state = await asyncio.to_thread(lambda: next(self._recording.telemetry(), None))
        if state is not None:
            self._newest_telemetry = state.value
            self._set_now(state.value.stamp)
        self._show(first.value)
        self._player = asyncio.create_task(self._play(), name="replay")

    async def run(self) -> None:
        """Return when the recording is over; raises what broke it off."""
        assert self._player is not None
        await asyncio.shield(self._player)

    async def close(self) -> None:
        """End every stream."""
        if self._player is not None:
            self._player.cancel()
            await asyncio.wait({self._player})
        self._end()

    @property
    def began(self) -> bool:
        """Whether anybody has asked for frames yet."""
        return self._begun.is_set()

    @property
    def position_s(self) -> float:
        """How much of the recording has been shown, on its own clock."""
        return max(0, self._position_ns - self._first_ns) / 1e9

    def newest(self, camera_id: str) -> FrameUpdate | None:
        """The newest frame shown of a camera."""
        return self._newest.get(camera_id)

    def vehicle_now(self) -> Stamp:
        """The recorded vehicle's clock, carried on from the newest state at the replay's pace."""
        if not self._begun.is_set() or self.ended or self._speed == 0:
            return self._now
        since_s = (self._clock.monotonic_s() - self._now_s) * self._speed
        return replace(self._now, time_ns=self._now.time_ns + round(since_s * 1e9))

    def watch_telemetry(self, max_rate_hz: float) -> AsyncIterator[Telemetry]:
        """States from now on, at most so many a second of the recording."""
        return self._watch_telemetry(_TelemetryReader(_period_ns(max_rate_hz), Mailbox()))

    def watch_frames(self, camera_id: str, max_rate_hz: float, encoding: ImageEncoding) -> AsyncIterator[FrameUpdate]:
        """Frames from now on, at most so many a second of the recording."""
        if encoding is ImageEncoding.DEPTH_F32:
            raise Unsupported("recordings hold no depth")
        return self._watch_frames(_FrameReader(camera_id, encoding, _period_ns(max_rate_hz), Mailbox()))

    async def _watch_telemetry(self, reader: _TelemetryReader) -> AsyncIterator[Telemetry]:
        if self._newest_telemetry is not None:
            reader.mailbox.put(self._newest_telemetry)
        if self.ended:
            reader.mailbox.close()
        self._telemetry_readers.append(reader)
        try:
            while True:
                item = await reader.mailbox.get()
                yield replace(item.value, sequence=item.sequence)
        except Closed:
            return
        finally:
            self._telemetry_readers.remove(reader)

    async def _watch_frames(self, reader: _FrameReader) -> AsyncIterator[FrameUpdate]:
        if self.ended:
            return
        reader.taken.set()
        self._frame_readers.append(reader)
        self._begun.set()
        self._joined.set()
        try:
            while True:
                item = await reader.mailbox.get()
                update = replace(item.value, sequence=item.sequence)
                if update.frame.image.encoding is not reader.encoding:
                    update = await asyncio.to_thread(in_encoding, update, reader.encoding)
                yield update
                reader.taken.set()
        except Closed:
            return
        finally:
            reader.taken.set()
            self._frame_readers.remove(reader)

    async def _play(self) -> None:
        entries = self._recording.entries()
        try:
            entry = await asyncio.to_thread(next, entries, None)
            await self._begun.wait()
            began_s = self._clock.monotonic_s()
            self._set_now(self._now)
            self._first_ns = entry.time_ns if entry is not None else 0
            while entry is not None:
                if self._speed > 0:
                    due_s = began_s + (entry.time_ns - self._first_ns) / 1e9 / self._speed
                    await asyncio.sleep(max(0.0, due_s - self._clock.monotonic_s()))
                elif isinstance(entry.value, FrameUpdate):
                    await self._wait_taken()
                self._publish(entry)
                entry = await asyncio.to_thread(_next, entries)
            if self._speed == 0 and self._frame_readers:
                await self._wait_taken()
        finally:
            self._end()

    async def _wait_taken(self) -> None:
        """Until every reader of frames, and there is at least one, has taken its newest frame."""
        while not self._frame_readers:
            self._joined.clear()
            await self._joined.wait()
        for reader in tuple(self._frame_readers):
            await reader.taken.wait()

    def _publish(self, entry: Entry[Content]) -> None:
        self._position_ns = entry.time_ns
        match entry.value:
            case FrameUpdate() as update:
                self._show(update)
                for reader in self._frame_readers:
                    if reader.camera_id == update.frame.camera_id and entry.time_ns >= reader.due_ns:
                        reader.due_ns = entry.time_ns + reader.period_ns
                        reader.taken.clear()
                        reader.mailbox.put(self._newest[reader.camera_id])
            case Telemetry() as telemetry:
                if telemetry == self._newest_telemetry:
                    self._set_now(telemetry.stamp)  # it was shown before anything played
                    return
                self._newest_telemetry = telemetry
                self._set_now(telemetry.stamp)
                for each in self._telemetry_readers:
                    if entry.time_ns >= each.due_ns:
                        each.due_ns = entry.time_ns + each.period_ns
                        each.mailbox.put(telemetry)
            case _:
                pass

    def _show(self, update: FrameUpdate) -> None:
        """Make a frame the newest, with the bridge's times moved to the present."""
        frame = update.frame
        offset_ns = self._clock.wall_ns() - (update.offer_time_ns or update.receive_time_ns)
        self._newest[frame.camera_id] = replace(
            update,
            receive_time_ns=update.receive_time_ns + offset_ns,
            request_time_ns=update.request_time_ns + offset_ns,
            offer_time_ns=update.offer_time_ns + offset_ns,
        )
        if self._newest_telemetry is None:
            self._set_now(frame.capture)
        self._on_frame(update)

    def _set_now(self, stamp: Stamp) -> None:
        self._now = stamp
        self._now_s = self._clock.monotonic_s()

    def _end(self) -> None:
        self.ended = True
        for frame_reader in self._frame_readers:
            frame_reader.mailbox.close()
        for reader in self._telemetry_readers:
            reader.mailbox.close()


def _next(entries: Iterator[Entry[Content]]) -> Entry[Content] | None:
    return next(entries, None)


def _period_ns(max_rate_hz: float) -> int:
    if not 0 <= max_rate_hz < 1e4:
        raise InvalidInput("max_rate_hz is 0 or above", field="max_rate_hz")
    # A little less than the period, so that frames recorded at the same rate do not miss every other beat.
    return round(0.9e9 / max(max_rate_hz, _LEAST_RATE_HZ)) if max_rate_hz > 0 else 0


def in_encoding(update: FrameUpdate, encoding: ImageEncoding) -> FrameUpdate:
    """The frame in another encoding, upright; the recorded one is handed on as it is.

    `Unsupported` for depth, `ImageUndecodable` for pixels that are no picture.
    """
    image = update.frame.image
    if image.encoding is encoding:
        return update
    if encoding is ImageEncoding.DEPTH_F32:
        raise Unsupported("recordings hold no depth")
    pixels = decode_rgb(image.data, image.encoding, max_pixels=MOST_PIXELS)
    if encoding is ImageEncoding.RGB8:
        data = pixels.tobytes()
    else:
        file = io.BytesIO()
        Pillow.fromarray(pixels).save(file, encoding.name)
        data = file.getvalue()
    shown = Image(encoding, pixels.shape[1], pixels.shape[0], data)
    return replace(update, frame=replace(update.frame, image=shown))
