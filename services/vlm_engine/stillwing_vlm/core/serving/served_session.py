"""One session of the engine in this process: what callers place on the event loop, carried out on the device's thread.

It knows no transport and no tensors; the order of things is the scheduler's, the memory `core.memory`'s, and what
becomes of each request that of `appending`, `recalling`, `asking`, `watching` and `session_exports`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from stillwing_common.errors import SessionIdle, StillwingError
from stillwing_common.types import Frame
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, WatchRequest
from stillwing_vlm.core.results import (
    AppendResult,
    ChoiceResult,
    Evicted,
    ExportInfo,
    Pooled,
    RecallResult,
    SessionInfo,
    SnapshotInfo,
)
from stillwing_vlm.core.serving.appending import AppendUnderWay
from stillwing_vlm.core.serving.asking import AskUnderWay, ChoiceUnderWay
from stillwing_vlm.core.serving.idle import IdleTimer
from stillwing_vlm.core.serving.machinery import Machinery
from stillwing_vlm.core.serving.quotas import Give, Resource
from stillwing_vlm.core.serving.recalling import RecallUnderWay
from stillwing_vlm.core.serving.scheduler import Lane
from stillwing_vlm.core.serving.session_exports import ExportUnderWay, PeriodicExports
from stillwing_vlm.core.serving.session_lane import SessionLane
from stillwing_vlm.core.serving.under_way import DeviceCall, FutureUnderWay
from stillwing_vlm.core.serving.watches import Watches
from stillwing_vlm.core.serving.watching import WatchUnderWay
from stillwing_vlm.core.streams import AsyncAnswer, EvictionStream, RunningWatch

_T = TypeVar("_T")


class AsyncSession:
    """A `Session` in this process."""

    def __init__(
        self,
        machinery: Machinery,
        video: VideoSession,
        lane: Lane,
        held: Sequence[Give],
        forget: Callable[[str], None],
    ) -> None:
        """`held`: what gives back the limits that the session counts against; `forget` is called with its id when it
        closes.
        """
        self.video = video
        self._held = held
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        loaded, config = machinery.loaded, video.config
        self._idle = IdleTimer(loaded.clock, loaded.limits.idle_timeout_s, self._is_busy, self._end_idle)
        self._lane = SessionLane(machinery, lane, video.session_id, config, self._idle.touch)
        self._watches = Watches(video, loaded.clock, machinery.observer, self._lane.start)
        periodic = config.periodic_export
        self._periodic = None if periodic is None else PeriodicExports(machinery.exports, periodic, video.save)
        self._dropped_frames = 0
        self._streams: list[EvictionStream] = []
        self._closing: asyncio.Task[None] | None = None
        self._over: asyncio.Future[StillwingError | None] = self._loop.create_future()
        self._restored_frame_id = video.trunk.last_frame_id

    @property
    def session_id(self) -> str:
        """Opaque id."""
        return self.video.session_id

    @property
    def frame_credits(self) -> int:
        """Most frames placed and not yet acknowledged."""
        return self._lane.limits.frame_credits

    @property
    def max_context_tokens(self) -> int:
        """The budget in force."""
        return self.video.trunk.budget

    @property
    def restored_frame_id(self) -> str:
        """Newest frame of the export it goes on from, or ""."""
        return self._restored_frame_id

    def described(self, info: SessionInfo) -> SessionInfo:
        """What the memory says of itself, with what only the session knows."""
        held = self._lane.quotas.held
        return replace(
            info,
            live_asks=held(Resource.ASKS),
            dropped_frames=self._dropped_frames,
            watches=held(Resource.WATCHES),
        )

    # The stream

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """Add one chunk."""
        if skipped_frames > 0:
            self._count_dropped(skipped_frames)
        return self._place(
            AppendUnderWay(
                self._lane, self.video, frames, deadline_s, self._on_append, self._on_acknowledge, self._count_dropped
            )
        )

    def _on_append(self, evicted: Evicted | None) -> None:
        self._watches.appended()
        self._report(evicted)

    def _on_acknowledge(self) -> None:
        if self._periodic is not None:
            self._periodic.appended()

    def _count_dropped(self, frames: int) -> None:
        self._dropped_frames += frames
        self._lane.observer.frames_dropped(frames)

    def evictions(self) -> AsyncIterator[Evicted]:
        """Every eviction after this call."""
        stream = EvictionStream()
        if self._closing is None:
            self._streams.append(stream)
        else:
            stream.put(None)
        return aiter(stream)

    def _report(self, evicted: Evicted | None) -> None:
        if evicted is not None:
            self._lane.observer.frames_evicted(len(evicted.frame_ids))
            self._lane.on_loop(self._spread, evicted)

    def _spread(self, evicted: Evicted | None) -> None:
        for stream in self._streams:
            stream.put(evicted)

    # Recall

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """Replace the memory segment."""
        return self._place(RecallUnderWay(self._lane, self.video, frames, self._report))

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """Replace the memory segment by evicted frames as they were."""
        ids = tuple(frame_ids)

        def call() -> RecallResult:
            result, evicted = self.video.recall_kept(ids)
            self._report(evicted)
            return result

        return self._place(DeviceCall(self._lane, call, heavy=True))

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """Mean queries of texts and mean keys of frames of the trunk."""
        ids = tuple(frame_ids)
        return self._place(
            DeviceCall(
                self._lane,
                lambda prepared: self.video.pool_vectors(prepared, ids),
                lambda: self._lane.preparer.texts(texts),
                heavy=True,
            )
        )

    # Questions

    def ask(self, request: AskRequest) -> AsyncAnswer:
        """Fork an answer."""
        under_way = AskUnderWay(self._lane, self.video, request)
        under_way.place()
        return under_way.answer

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """Score options."""
        return self._place(ChoiceUnderWay(self._lane, self.video, request))

    def set_watch(self, request: WatchRequest) -> RunningWatch:
        """Ask a yes/no question again and again."""
        under_way = WatchUnderWay(self._lane, self._watches, request)
        under_way.place()
        return under_way.watch

    # Snapshots and exports

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> Awaitable[SnapshotInfo]:
        """Keep the trunk's present state."""
        return self._place(DeviceCall(self._lane, lambda: self.video.take_snapshot(ttl_s, name)))

    def restore_snapshot(self, snapshot: str) -> Awaitable[str]:
        """Put the trunk back."""
        return self._place(DeviceCall(self._lane, lambda: self.video.restore_snapshot(snapshot)))

    def export(self, name: str) -> Awaitable[ExportInfo]:
        """Keep the trunk in a file."""
        return self._place(ExportUnderWay(self._lane, name, self.video.save))

    def _place(self, request: FutureUnderWay[_T]) -> "asyncio.Future[_T]":
        request.place()
        return request.result

    # Ending

    async def wait_closed(self) -> StillwingError | None:
        """Wait until the session is over; why, or None where its caller closed it."""
        return await asyncio.shield(self._over)

    async def close(self) -> None:
        """End the session."""
        await asyncio.shield(self._close_once(None))

    def _close_once(self, reason: StillwingError | None) -> "asyncio.Task[None]":
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(reason))
        return self._closing

    async def _close(self, reason: StillwingError | None) -> None:
        self._idle.cancel()
        self._forget(self.session_id)
        try:
            await self._lane.close(reason)
            await asyncio.wrap_future(self._lane.on_device(partial(self._watches.close, reason)))
        finally:
            self._spread(None)
            for give in self._held:
                give()
            self._over.set_result(reason)

    def _is_busy(self) -> bool:
        held = self._lane.quotas.held
        return bool(held(Resource.FRAMES) or held(Resource.ASKS) or self._lane.is_waited_on)

    def _end_idle(self) -> None:
        idle_s = self._lane.limits.idle_timeout_s
        self._close_once(SessionIdle(f"nothing for {idle_s:g} s", session_id=self.session_id, idle_s=idle_s))
