"""The engine of this process behind the asynchronous protocols of `core.base`.

Each request is placed on the event loop, made ready on a worker thread (pictures, tokens, grammars), and carried out on
the device's own thread; results come back to the event loop. Nothing here blocks the loop. It knows no transport.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from stillwing_common.errors import (
    InvalidInput,
    OutOfCredits,
    TooManyBranches,
    TooManySessions,
    UnknownSession,
)
from stillwing_common.types import Frame
from stillwing_vlm.core.answers import AsyncAnswer, EvictionStream, new_future, settle
from stillwing_vlm.core.base import (
    AnswerDone,
    AppendResult,
    AskRequest,
    ChoiceRequest,
    ChoiceResult,
    DoneReason,
    Evicted,
    ModelInfo,
    Provenance,
    RecallResult,
    SessionConfig,
    SessionInfo,
    SnapshotInfo,
)
from stillwing_vlm.core.branch import AskBranch
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.scheduler import DeviceLoop, Live, Request
from stillwing_vlm.core.session import VideoSession

_WORKERS = 2


class AsyncEngine:
    """An `Engine` in this process. Made and used on one event loop."""

    def __init__(self, loaded: LoadedEngine) -> None:
        self.loaded = loaded
        self.device = DeviceLoop(loaded.backend)
        self.workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="prepare")
        self._sessions: dict[str, AsyncSession] = {}
        self._opening = 0
        self._closed = False

    async def model_info(self) -> ModelInfo:
        """What is loaded."""
        return self.loaded.info()

    async def open_session(self, config: SessionConfig) -> "AsyncSession":
        """Open a session. Raises TooManySessions, BudgetTooSmall, TextTooLong, Exhausted."""
        most = self.loaded.limits.max_sessions
        if self._closed or len(self._sessions) + self._opening >= most:
            raise TooManySessions(f"at most {most} sessions at once", limit=most)
        opening_ids = self.loaded.preparer.opening(config.system_prompt)
        self._opening += 1
        try:
            made = self.device.call(lambda: self.loaded.open_session(config, opening_ids))
            video: VideoSession = await asyncio.wrap_future(made)
            session = AsyncSession(self, video)
            self._sessions[session.session_id] = session
        finally:
            self._opening -= 1
        return session

    async def list_sessions(self) -> list[SessionInfo]:
        """Open sessions, oldest first."""
        videos = [session.video for session in self._sessions.values()]
        return list(await self._on_device(lambda: [video.info() for video in videos]))

    async def get_session(self, session_id: str) -> SessionInfo:
        """One open session. Raises UnknownSession."""
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession(f"no open session {session_id!r}", session_id=session_id)
        info: SessionInfo = await self._on_device(session.video.info)
        return info

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """Free a snapshot; deleting what is gone succeeds."""
        videos = [session.video for session in self._sessions.values()]
        await self._on_device(lambda: any(video.delete_snapshot(snapshot_id) for video in videos))

    async def close(self) -> None:
        """Close every session and end the threads."""
        if self._closed:
            return
        self._closed = True
        for session in list(self._sessions.values()):
            await session.close()
        await asyncio.to_thread(self.device.stop)
        self.workers.shutdown(wait=True, cancel_futures=True)

    def forget(self, session_id: str) -> None:
        """Called by a session that has closed."""
        self._sessions.pop(session_id, None)

    async def _on_device(self, function: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self.device.call(function))


class AsyncSession:
    """A `Session` in this process."""

    def __init__(self, engine: AsyncEngine, video: VideoSession) -> None:
        self.video = video
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._clock = engine.loaded.clock
        self._limits = engine.loaded.limits
        self._lane = engine.device.add_lane()
        self._frames_under_way = 0
        self._asks_under_way = 0
        self._streams: list[EvictionStream] = []
        self._closing: asyncio.Task[None] | None = None

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

    # Frames

    def append(self, *frames: Frame) -> Awaitable[AppendResult]:
        """Add one chunk."""
        if not frames:
            return self._refused(InvalidInput("a chunk needs at least one frame"))
        if self._frames_under_way + len(frames) > self._limits.frame_credits:
            return self._refused(
                OutOfCredits(f"{self._frames_under_way} under way of {self._limits.frame_credits}", sent=len(frames))
            )
        self._frames_under_way += len(frames)
        placed_s = self._clock.monotonic_s()
        ready = self._engine.workers.submit(self._engine.loaded.preparer.chunk, frames)

        def run() -> AppendResult:
            result, evicted = self.video.append(ready.result(), placed_s)
            self._report(evicted)
            return result

        def returned() -> None:
            self._frames_under_way -= len(frames)

        return self._place(run, ready=ready, heavy=True, ended=returned)

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """Replace the memory segment."""
        most = self._limits.max_recalled_frames
        if len(frames) > most:
            return self._refused(InvalidInput(f"at most {most} frames can be recalled", frames=len(frames)))
        preparer = self._engine.loaded.preparer
        ready = self._engine.workers.submit(lambda: [preparer.chunk([frame]) for frame in frames])

        def run() -> RecallResult:
            result, evicted = self.video.recall(ready.result())
            self._report(evicted)
            return result

        return self._place(run, ready=ready, heavy=True)

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
            self._on_loop(self._spread, evicted)

    def _spread(self, evicted: Evicted | None) -> None:
        for stream in self._streams:
            stream.put(evicted)

    # Questions

    def ask(self, request: AskRequest) -> AsyncAnswer:
        """Fork an answer."""
        state: dict[str, AskBranch] = {}
        cancelled = False

        def cancel() -> None:
            nonlocal cancelled
            cancelled = True
            self._engine.device.call(stop)

        def stop() -> None:
            if "branch" in state and not state["branch"].finished:
                state["branch"].cancel()
                progressed()

        answer = AsyncAnswer(cancel)
        refusal = self._too_many_asks()
        if refusal is not None:
            answer.fail(refusal)
            return answer
        placed_s = self._clock.monotonic_s()
        ready = self._engine.workers.submit(self._engine.loaded.preparer.ask, request)

        def run() -> None:
            branch = state["branch"] = self.video.fork_ask(ready.result(), placed_s)
            if cancelled:
                branch.cancel()
                progressed()
            else:
                self._engine.device.start_branch(self._lane, Live(branch, progressed, fail))

        def progressed() -> None:
            branch = state["branch"]
            deltas = branch.take_deltas()
            if branch.finished:
                self.video.release(branch)
                self._on_loop(self._ask_ended)
            if deltas or branch.finished:
                self._on_loop(answer.progress, deltas, branch.done)

        def fail(error: Exception) -> None:
            if "branch" not in state:
                self._on_loop(self._ask_ended)
            if isinstance(error, UnknownSession):
                # The session was closed before the fork: under way, and it saw nothing.
                elapsed_s = self._clock.monotonic_s() - placed_s
                nothing = AnswerDone("", DoneReason.CANCELLED, Provenance("", "", 0, 0), elapsed_s, elapsed_s, 0)
                self._on_loop(answer.progress, (), nothing)
            else:
                self._on_loop(answer.fail, error)

        self._asks_under_way += 1
        if not self._engine.device.submit(self._lane, Request(run, fail, ready)):
            self._ask_ended()
            answer.fail(self._gone())
        return answer

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """Score options."""
        refusal = self._too_many_asks()
        if refusal is not None:
            return self._refused(refusal)
        found: asyncio.Future[ChoiceResult] = new_future(self._loop)
        placed_s = self._clock.monotonic_s()
        ready = self._engine.workers.submit(self._engine.loaded.preparer.choice, request)

        def run() -> None:
            branch = self.video.fork_choice(ready.result(), placed_s)

            def progressed() -> None:
                if branch.finished:
                    self.video.release(branch)
                    self._on_loop(self._ask_ended)
                    if branch.done is None:
                        self._on_loop(settle, found, None, self._gone())
                    else:
                        self._on_loop(settle, found, branch.done, None)

            def broke(error: Exception) -> None:
                self._on_loop(settle, found, None, error)

            self._engine.device.start_branch(self._lane, Live(branch, progressed, broke))

        def fail(error: Exception) -> None:
            self._on_loop(self._ask_ended)
            self._on_loop(settle, found, None, error)

        self._asks_under_way += 1
        if not self._engine.device.submit(self._lane, Request(run, fail, ready)):
            fail(self._gone())
        return found

    def _too_many_asks(self) -> TooManyBranches | None:
        most = self._limits.max_asks
        if self._asks_under_way < most:
            return None
        return TooManyBranches(f"{self._asks_under_way} under way, at most {most}", limit=most)

    def _ask_ended(self) -> None:
        self._asks_under_way -= 1

    # Snapshots

    def take_snapshot(self, ttl_s: float | None = None) -> Awaitable[SnapshotInfo]:
        """Name the trunk's present state."""
        return self._place(lambda: self.video.take_snapshot(ttl_s))

    def restore_snapshot(self, snapshot_id: str) -> Awaitable[str]:
        """Put the trunk back."""
        return self._place(lambda: self.video.restore_snapshot(snapshot_id))

    async def close(self) -> None:
        """End the session."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._engine.forget(self.session_id)
        await asyncio.wrap_future(self._engine.device.close_lane(self._lane, self._gone()))
        self._spread(None)

    # Placing

    def _place(
        self,
        run: Callable[[], Any],
        *,
        ready: "Future[Any] | None" = None,
        heavy: bool = False,
        ended: Callable[[], None] = lambda: None,
    ) -> "asyncio.Future[Any]":
        found: asyncio.Future[Any] = new_future(self._loop)

        def end(result: Any, error: Exception | None) -> None:
            ended()
            settle(found, result, error)

        request = Request(
            run=lambda: self._on_loop(end, run(), None),
            fail=lambda error: self._on_loop(end, None, error),
            ready=ready,
            heavy=heavy,
        )
        if not self._engine.device.submit(self._lane, request):
            end(None, self._gone())
        return found

    def _refused(self, error: Exception) -> "asyncio.Future[Any]":
        found: asyncio.Future[Any] = new_future(self._loop)
        found.set_exception(error)
        return found

    def _gone(self) -> UnknownSession:
        return UnknownSession(f"session {self.session_id} is closed", session_id=self.session_id)

    def _on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)
