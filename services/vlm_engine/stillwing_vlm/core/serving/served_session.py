"""One session of the engine in this process: what callers place on the event loop, carried out on the device's thread.

It knows no transport and no tensors; the order of things is the scheduler's, the memory `core.memory`'s.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from stillwing_common.errors import (
    Exhausted,
    FrameSuperseded,
    InvalidInput,
    OutOfCredits,
    SessionIdle,
    StillwingError,
    TooManyBranches,
    UnknownSession,
)
from stillwing_common.types import Frame
from stillwing_vlm.core.base import (
    AppendResult,
    AskRequest,
    ChoiceRequest,
    ChoiceResult,
    Evicted,
    ExportInfo,
    FramePolicy,
    Pooled,
    RecallResult,
    SessionInfo,
    SnapshotInfo,
    WatchRequest,
    check_deadline,
)
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.serving.asking import AskUnderWay, ChoiceUnderWay, deadlines
from stillwing_vlm.core.serving.async_exports import PeriodicExports
from stillwing_vlm.core.serving.idle import IdleTimer
from stillwing_vlm.core.serving.machinery import Machinery
from stillwing_vlm.core.serving.newest_wins import NewestWins, Waiting
from stillwing_vlm.core.serving.quotas import Resource
from stillwing_vlm.core.serving.scheduler import Lane, Queued, Request, fault_of
from stillwing_vlm.core.serving.watches import Watches
from stillwing_vlm.core.serving.watching import Watching
from stillwing_vlm.core.streams import AsyncAnswer, EvictionStream, RunningWatch, new_future, settle


class AsyncSession:
    """A `Session` in this process."""

    def __init__(
        self,
        machinery: Machinery,
        video: VideoSession,
        lane: Lane,
        held: Sequence[Callable[[], None]],
        forget: Callable[[str], None],
    ) -> None:
        """`held`: what gives back the limits that the session counts against; `forget` is called with its id when it
        closes.
        """
        self.video = video
        self._held = held
        self._owner = video.config.owner
        self._machinery = machinery
        self._forget = forget
        self._scheduler = machinery.scheduler
        self._observer = machinery.observer
        self._loop = asyncio.get_running_loop()
        self._clock = machinery.loaded.clock
        self._limits = machinery.loaded.limits
        self._lane = lane
        self._frame_period_s = video.config.frame_period_s or self._limits.frame_period_s
        self._newest_wins = video.config.frame_policy is FramePolicy.NEWEST_WINS
        self._run: NewestWins | None = None
        self._frames_under_way = 0
        self._dropped_frames = 0
        self._asks_under_way = 0
        self._streams: list[EvictionStream] = []
        self._closing: asyncio.Task[None] | None = None
        self._exporting = False
        self._restored_frame_id = video.trunk.last_frame_id
        wanted = video.config.periodic_export
        self._periodic = None if wanted is None else PeriodicExports(machinery.exports, wanted, video.save)
        start = partial(self._scheduler.start_branch, lane)
        self._watches = Watches(video, self._clock, self._observer, start)
        self._watching = Watching(self._watches, machinery, self._submit, self._on_loop)
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._reason: StillwingError | None = None
        self._idle = IdleTimer(self._clock, self._limits.idle_timeout_s, self._is_busy, self._end_idle)

    @property
    def session_id(self) -> str:
        """Opaque id."""
        return self.video.session_id

    @property
    def frame_credits(self) -> int:
        """Most frames placed and not yet acknowledged."""
        return self._limits.frame_credits

    @property
    def max_context_tokens(self) -> int:
        """The budget in force."""
        return self.video.trunk.budget

    @property
    def restored_frame_id(self) -> str:
        """Newest frame of the export it goes on from, or ""."""
        return self._restored_frame_id

    @property
    def watches(self) -> int:
        """Watch conditions that are set."""
        return self._watching.count

    @property
    def waiting_frames(self) -> int:
        """Frames placed and not yet in the trunk."""
        return self._frames_under_way

    def described(self, info: SessionInfo) -> SessionInfo:
        """What the memory says of itself, with what only the session knows."""
        return replace(
            info, live_asks=self._asks_under_way, dropped_frames=self._dropped_frames, watches=self._watching.count
        )

    # Frames

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """Add one chunk."""
        if skipped_frames > 0:
            self._dropped_frames += skipped_frames
            self._observer.frames_dropped(skipped_frames)
        try:
            self._check_chunk(frames, deadline_s)
        except StillwingError as error:
            return self._refused(error)
        placed_s = self._clock.monotonic_s()
        due_s = placed_s + (self._frame_period_s if deadline_s is None else deadline_s)
        found: asyncio.Future[AppendResult] = new_future(self._loop)
        try:
            give = self._take_bytes(frames)
        except StillwingError as error:
            return self._refused(error)
        self._frames_under_way += len(frames)

        def end(result: AppendResult | None, error: Exception | None) -> None:
            self._frames_under_way -= len(frames)
            give()
            settle(found, result, error)

        def prepare() -> "Future[Any]":
            return self._machinery.workers.submit(self._machinery.loaded.preparer.chunk, frames)

        def append(ready: "Future[Any]") -> None:
            began_s = self._clock.monotonic_s()
            result, evicted = self.video.append(ready.result(), placed_s)
            self._watches.appended()
            device_s = self._clock.monotonic_s() - began_s
            self._observer.chunk_appended(len(frames), result.chunk_tokens, result.elapsed_s, device_s)
            self._report(evicted)
            self._on_loop(end, result, None)
            if self._periodic is not None:
                self._periodic.appended()

        def fail(error: Exception) -> None:
            self._observer.refused(fault_of(error).reason)
            self._on_loop(end, None, fault_of(error))

        def drop() -> None:
            self._on_loop(dropped)

        def dropped() -> None:
            self._dropped_frames += len(frames)
            self._observer.frames_dropped(len(frames))
            names = ", ".join(frame.frame_id for frame in frames)
            end(None, FrameSuperseded(names, frames=len(frames)))

        self._place_chunk(Waiting(due_s, prepare, append, drop, fail))
        return found

    def _check_chunk(self, frames: Sequence[Frame], deadline_s: float | None) -> None:
        check_deadline(deadline_s)
        credits = self._limits.frame_credits
        if not frames:
            raise InvalidInput("a chunk needs at least one frame")
        replaces = self._newest_wins and self._run is not None and self._run.takes_more()
        if len(frames) > credits or (not replaces and self._frames_under_way + len(frames) > credits):
            raise OutOfCredits(f"{self._frames_under_way} under way of {credits}", sent=len(frames))

    def _take_bytes(self, frames: Sequence[Frame]) -> Callable[[], None]:
        return self._machinery.quotas.take(
            self._owner, Resource.FRAME_BYTES, sum(len(frame.image.data) for frame in frames)
        )

    def _place_chunk(self, chunk: Waiting) -> None:
        if self._newest_wins:
            if self._run is not None and self._run.offer(chunk):
                return
            run = NewestWins(chunk, self._scheduler.wake)
            self._place_or_fail(run)
            self._run = run
            return
        ready = chunk.prepare()
        self._place_or_fail(
            Request(lambda: chunk.append(ready), chunk.fail, ready=ready, heavy=True, deadline_s=chunk.deadline_s)
        )

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """Replace the memory segment."""
        most = self._limits.max_recalled_frames
        if len(frames) > most:
            return self._refused(InvalidInput(f"at most {most} frames can be recalled", frames=len(frames)))
        try:
            give = self._take_bytes(frames)
        except StillwingError as error:
            return self._refused(error)
        preparer = self._machinery.loaded.preparer
        ready = self._machinery.workers.submit(lambda: [preparer.chunk([frame]) for frame in frames])

        def run() -> RecallResult:
            result, evicted = self.video.recall(ready.result())
            self._report(evicted)
            return result

        found = self._place(run, ready=ready, heavy=True)
        found.add_done_callback(lambda _: give())
        return found

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """Replace the memory segment by evicted frames as they were."""
        wanted = tuple(frame_ids)

        def run() -> RecallResult:
            result, evicted = self.video.recall_kept(wanted)
            self._report(evicted)
            return result

        return self._place(run, heavy=True)

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
            self._observer.frames_evicted(len(evicted.frame_ids))
            self._on_loop(self._spread, evicted)

    def _spread(self, evicted: Evicted | None) -> None:
        for stream in self._streams:
            stream.put(evicted)

    def export(self, name: str) -> Awaitable[ExportInfo]:
        """Keep the trunk in a file."""
        exports = self._machinery.exports
        try:
            exports.check(name)
        except StillwingError as error:
            return self._refused(error)
        if self._exporting:
            return self._refused(Exhausted("an export of this session is under way"))
        self._exporting = True
        found: asyncio.Future[ExportInfo] = new_future(self._loop)

        def run() -> None:
            exports.write(name, self.video.save()).add_done_callback(written)

        def written(writing: "Future[ExportInfo]") -> None:
            error = self.gone() if writing.cancelled() else writing.exception()
            if error is None:
                self._on_loop(end, writing.result(), None)
            else:
                fail(error)

        def fail(error: BaseException) -> None:
            self._on_loop(end, None, fault_of(error))

        def end(info: ExportInfo | None, error: Exception | None) -> None:
            self._exporting = False
            settle(found, info, error)

        deadline_s = self._clock.monotonic_s() + self._frame_period_s
        self._place_or_fail(Request(run, fail, heavy=True, deadline_s=deadline_s))
        return found

    # Questions

    def ask(self, request: AskRequest) -> AsyncAnswer:
        """Fork an answer."""
        placed_s = self._clock.monotonic_s()
        give: list[Callable[[], None]] = []
        under_way = AskUnderWay(
            placed_s,
            self._clock,
            self._observer,
            self._on_loop,
            self._scheduler.call,
            self.video.release,
            lambda: self._ask_ended(give),
        )
        try:
            give.append(self._take_ask())
        except StillwingError as error:
            self._observer.refused(error.reason)
            under_way.answer.fail(error)
            return under_way.answer
        ready = self._machinery.workers.submit(self._machinery.loaded.preparer.ask, request)
        due_s, expires_s = deadlines(placed_s, request.deadline_s)

        def run() -> None:
            live = under_way.fork(self.video.fork_ask(ready.result(), placed_s))
            live.deadline_s, live.expires_s = due_s, expires_s
            self._scheduler.start_branch(self._lane, live)

        not_taken = self._submit(Request(run, under_way.fail, ready, deadline_s=due_s))
        if not_taken is not None:
            self._ask_ended(give)
            under_way.answer.fail(not_taken)
        return under_way.answer

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """Score options."""
        try:
            give = [self._take_ask()]
        except StillwingError as error:
            return self._refused(error)
        found: asyncio.Future[ChoiceResult] = new_future(self._loop)
        placed_s = self._clock.monotonic_s()
        ready = self._machinery.workers.submit(self._machinery.loaded.preparer.choice, request)
        due_s, expires_s = deadlines(placed_s, request.deadline_s)

        under_way = ChoiceUnderWay(
            found, request.deadline_s, self._on_loop, self.video.release, lambda: self._ask_ended(give)
        )

        def run() -> None:
            live = under_way.fork(self.video.fork_choice(ready.result(), placed_s), self.gone())
            live.deadline_s, live.expires_s = due_s, expires_s
            self._scheduler.start_branch(self._lane, live)

        self._place_or_fail(Request(run, under_way.fail, ready, deadline_s=due_s))
        return found

    def _take_ask(self) -> Callable[[], None]:
        """Count one ask; what counts it off. Raises TooManyBranches."""
        most = self._limits.max_asks
        if self._asks_under_way >= most:
            raise TooManyBranches(f"{self._asks_under_way} under way in this session, at most {most}", limit=most)
        give = self._machinery.quotas.take(self._owner, Resource.ASKS)
        self._asks_under_way += 1
        return give

    def _ask_ended(self, give: list[Callable[[], None]]) -> None:
        self._asks_under_way -= 1
        for each in give:
            each()

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """Mean queries of texts and mean keys of frames of the trunk."""
        ready, wanted = self._machinery.workers.submit(self._machinery.loaded.preparer.texts, texts), tuple(frame_ids)
        return self._place(lambda: self.video.pool_vectors(ready.result(), wanted), ready=ready, heavy=True)

    # Watch conditions

    def set_watch(self, request: WatchRequest) -> RunningWatch:
        """Ask a yes/no question again and again."""
        return self._watching.set(request)

    # Snapshots

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> Awaitable[SnapshotInfo]:
        """Keep the trunk's present state."""
        return self._place(lambda: self.video.take_snapshot(ttl_s, name))

    def restore_snapshot(self, snapshot: str) -> Awaitable[str]:
        """Put the trunk back."""
        return self._place(lambda: self.video.restore_snapshot(snapshot))

    # Ending

    async def wait_closed(self) -> StillwingError | None:
        """Wait until the session is over; why, or None where its caller closed it."""
        await asyncio.shield(self._over)
        return self._reason

    async def close(self) -> None:
        """End the session."""
        await asyncio.shield(self._close_once(None))

    def _close_once(self, reason: StillwingError | None) -> "asyncio.Task[None]":
        if self._closing is None:
            self._reason = reason
            self._closing = self._loop.create_task(self._close())
        return self._closing

    async def _close(self) -> None:
        self._idle.cancel()
        self._forget(self.session_id)
        await asyncio.wrap_future(self._scheduler.close_lane(self._lane, self.gone()))
        await asyncio.wrap_future(self._scheduler.call(partial(self._watches.close, self._reason)))
        self._spread(None)
        for give in self._held:
            give()
        self._over.set_result(None)

    def _is_busy(self) -> bool:
        return bool(self._frames_under_way or self._asks_under_way or self._lane.requests)

    def _end_idle(self) -> None:
        idle_s = self._limits.idle_timeout_s
        self._close_once(SessionIdle(f"nothing for {idle_s:g} s", session_id=self.session_id, idle_s=idle_s))

    # Placing

    def _place(
        self, run: Callable[[], Any], *, ready: "Future[Any] | None" = None, heavy: bool = False
    ) -> "asyncio.Future[Any]":
        found: asyncio.Future[Any] = new_future(self._loop)
        self._place_or_fail(
            Request(
                run=lambda: self._on_loop(settle, found, run(), None),
                fail=lambda error: self._on_loop(settle, found, None, error),
                ready=ready,
                heavy=heavy,
                deadline_s=self._clock.monotonic_s() + self._frame_period_s,
            )
        )
        return found

    def _place_or_fail(self, request: Queued) -> None:
        refusal = self._submit(request)
        if refusal is not None:
            request.fail(refusal)

    def _submit(self, request: Queued) -> StillwingError | None:
        """Put it at the lane's end; why it was not taken, if it was not."""
        self._idle.touch()
        if self._run is not None:
            # What is placed now is to see the newest frame placed before it.
            self._run.seal()
            self._run = None
        try:
            return None if self._scheduler.submit(self._lane, request) else self.gone()
        except StillwingError as error:
            return error

    def _refused(self, error: Exception) -> "asyncio.Future[Any]":
        self._observer.refused(fault_of(error).reason)
        found: asyncio.Future[Any] = new_future(self._loop)
        found.set_exception(error)
        return found

    def gone(self) -> StillwingError:
        """The error of whatever comes after the end."""
        return self._reason or UnknownSession(f"session {self.session_id} is closed", session_id=self.session_id)

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        self._idle.touch()
        self._machinery.calls.call(function, *arguments)
