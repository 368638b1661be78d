"""The engine of this process behind the asynchronous protocols of `core.protocol`.

Each request is placed on the event loop, made ready on a worker thread (pictures, tokens, grammars), and carried out on
the device's own thread; results come back to the event loop. Nothing here blocks the loop. It knows no transport.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from stillwing_common.errors import InvalidInput, StillwingError, Unavailable, UnknownSession
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.memory.exports import ExportFolder
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.requests import SessionConfig
from stillwing_vlm.core.results import SNAPSHOT_ID_PREFIX, ExportInfo, ModelInfo, SessionInfo
from stillwing_vlm.core.serving.device import DeviceThread
from stillwing_vlm.core.serving.engine_exports import EngineExports
from stillwing_vlm.core.serving.hand_over import LoopCalls
from stillwing_vlm.core.serving.machinery import Machinery
from stillwing_vlm.core.serving.observer import EngineLoad, Observer, SilentObserver, UnfailingObserver
from stillwing_vlm.core.serving.quotas import Quotas, Resource
from stillwing_vlm.core.serving.scheduler import Lane, Request, Scheduler
from stillwing_vlm.core.serving.served_session import AsyncSession

_WORKERS = 2

_log = logging.getLogger("stillwing.vlm.engine")


class AsyncEngine:
    """An `Engine` in this process. Made and used on one event loop."""

    def __init__(
        self, loaded: LoadedEngine, observer: Observer | None = None, exports: ExportFolder | None = None
    ) -> None:
        """`exports`: where sessions are kept in files; None keeps none."""
        observer = SilentObserver() if observer is None else UnfailingObserver(observer)
        self.machinery = Machinery(
            loaded=loaded,
            scheduler=Scheduler(loaded.backend, loaded.clock, observer),
            workers=ThreadPoolExecutor(_WORKERS, thread_name_prefix="prepare"),
            calls=LoopCalls(asyncio.get_running_loop()),
            quotas=Quotas(loaded.limits),
            exports=EngineExports(loaded.backend, exports),
            observer=observer,
        )
        self._can_export = exports is not None
        self._device = DeviceThread(self.machinery.scheduler)
        self._sessions: dict[str, AsyncSession] = {}
        self._closed = False

    async def model_info(self) -> ModelInfo:
        """What is loaded."""
        return replace(self.machinery.loaded.info(), can_export=self._can_export)

    async def open_session(self, config: SessionConfig) -> AsyncSession:
        """Open a session, a new one or that of an export. Raises what `Engine` says, and Unavailable while closing."""
        if self._closed:
            raise Unavailable("the engine is closing")
        if config.periodic_export is not None:
            self.machinery.exports.check(config.periodic_export.name)
        try:
            held = [self.machinery.quotas.take(config.owner, Resource.SESSIONS)]
        except StillwingError as error:
            self.machinery.observer.refused(error.reason)
            raise
        lane = self.machinery.scheduler.add_lane(self.machinery.loaded.limits.max_waiting_requests)
        try:
            make, budget = await self._maker(config)
            held.append(self.machinery.quotas.take(config.owner, Resource.CONTEXT_TOKENS, budget))
            video = await asyncio.wrap_future(self._make(make, lane))
        except BaseException as error:
            if isinstance(error, StillwingError):
                self.machinery.observer.refused(error.reason)
            self.machinery.scheduler.close_lane(lane, UnknownSession("it was never opened"))
            for give in held:
                give()
            raise
        session = AsyncSession(self.machinery, video, lane, held, self._forget)
        self._sessions[session.session_id] = session
        return session

    async def _maker(self, config: SessionConfig) -> tuple[Callable[[], VideoSession], int]:
        """What makes the session, and its budget."""
        if config.from_export:
            saved = await self.machinery.exports.read(config.from_export)
            return lambda: self.machinery.loaded.restore_session(saved, config), saved.state.trunk.budget
        machinery = self.machinery
        opening_ids = await asyncio.wrap_future(
            machinery.workers.submit(machinery.loaded.preparer.opening, config.system_prompt, config.tools)
        )
        budget = machinery.loaded.budget(config, opening_ids)
        return lambda: self.machinery.loaded.open_session(config, opening_ids), budget

    def _make(self, make: Callable[[], VideoSession], lane: Lane) -> "Future[VideoSession]":
        # The opening text is a prefill like a chunk's, so it waits for its turn like one.
        opening: Future[VideoSession] = Future()

        def run() -> None:
            if opening.set_running_or_notify_cancel():
                opening.set_result(make())

        def fail(error: Exception) -> None:
            if not opening.done():
                opening.set_exception(error)

        deadline_s = self.machinery.loaded.clock.monotonic_s() + self.machinery.loaded.limits.frame_period_s
        if not self.machinery.scheduler.submit(lane, Request(run, fail, heavy=True, deadline_s=deadline_s)):
            fail(Unavailable("the engine is closing"))
        return opening

    async def load(self) -> EngineLoad:
        """How much is held now."""
        sessions = list(self._sessions.values())
        videos = [session.video for session in sessions]
        sizes = await self._read(lambda: [(video.trunk.tokens, video.slab.size_bytes) for video in videos])
        return EngineLoad(
            sessions=len(sessions),
            context_tokens=sum(tokens for tokens, _ in sizes),
            cache_bytes=sum(size for _, size in sizes),
            live_asks=self.machinery.quotas.held(Resource.ASKS),
            watches=self.machinery.quotas.held(Resource.WATCHES),
            waiting_requests=self.machinery.scheduler.waiting(),
            waiting_frames=self.machinery.quotas.held(Resource.FRAMES),
            waiting_frame_bytes=self.machinery.quotas.held(Resource.FRAME_BYTES),
            free_bytes=self.machinery.loaded.backend.free_bytes(),
        )

    async def list_sessions(self) -> list[SessionInfo]:
        """Open sessions, oldest first."""
        sessions = list(self._sessions.values())
        videos = [session.video for session in sessions]
        infos = await self._read(lambda: [video.info() for video in videos])
        return [session.described(info) for session, info in zip(sessions, infos, strict=True)]

    async def get_session(self, session_id: str) -> SessionInfo:
        """One open session. Raises UnknownSession."""
        session = self._sessions.get(session_id)
        if session is None:
            raise UnknownSession(f"no open session {session_id!r}", session_id=session_id)
        return session.described(await self._read(session.video.info))

    async def delete_snapshot(self, snapshot: str, session_id: str = "") -> None:
        """Free a snapshot, by its id, or by its name in a session; deleting what is gone succeeds."""
        if not session_id and not snapshot.startswith(SNAPSHOT_ID_PREFIX):
            raise InvalidInput("a snapshot's name is known in its session only: say which, or give its id")
        sessions = [session for session in self._sessions.values() if session_id in ("", session.session_id)]
        videos = [session.video for session in sessions]
        await self._read(lambda: any(video.delete_snapshot(snapshot) for video in videos))

    async def list_exports(self) -> list[ExportInfo]:
        """Sessions kept in files, oldest first."""
        return await self.machinery.exports.list()

    async def delete_export(self, name: str) -> None:
        """Remove an export; deleting what is gone succeeds."""
        await self.machinery.exports.delete(name)

    async def close(self) -> None:
        """Close every session and end the threads."""
        if self._closed:
            return
        self._closed = True
        for session in list(self._sessions.values()):
            try:
                await session.close()
            except Exception:  # the others are still to be closed
                _log.exception("a session could not be closed")
        await asyncio.to_thread(self._device.stop)
        self.machinery.workers.shutdown(wait=True, cancel_futures=True)
        await asyncio.to_thread(self.machinery.exports.close)

    def _forget(self, session_id: str) -> None:
        self._sessions.pop(session_id, None)

    async def _read(self, function: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self.machinery.scheduler.call(function, read=True))
