"""The engine over gRPC: convert in, place in the core, convert out.

A session is one call. Requests take effect in the order in which they arrive; their events come back as each is
ready. A bad request is answered in band and the session goes on. When the call ends, however it ends, its session is
closed.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Coroutine, Sequence
from typing import Any

import structlog

from stillwing.common.v1 import common_pb2
from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_common.errors import (
    FrameSuperseded,
    InvalidInput,
    SlowReader,
    StillwingError,
    UnknownAsk,
    UnknownWatch,
    UnsetOneof,
    WrongFirstMessage,
)
from stillwing_common.mailbox import BoundedLog, Closed, Full
from stillwing_rpc.convert import duration_from_wire, frame_from_wire
from stillwing_rpc.server import Registration
from stillwing_vlm import convert
from stillwing_vlm.core.base import Answer, Engine, Session, Watch

SERVICE = "stillwing.vlm.v1.VlmService"

_MANY_UNSENT = 512
"""Events waiting for a slow reader before no more of its requests are taken."""

_MOST_UNSENT = 4096
"""Events waiting for a slow reader before its session is ended: what was placed before still brings some."""

_log = structlog.get_logger("stillwing.vlm")


def registration(engine: Engine) -> Registration:
    """What serves `engine`."""
    servicer = VlmServicer(engine)
    return Registration(SERVICE, lambda server: vlm_pb2_grpc.add_VlmServiceServicer_to_server(servicer, server))


class VlmServicer(vlm_pb2_grpc.VlmServiceServicer):
    """VlmService over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def GetModel(self, request: vlm_pb2.GetModelRequest, context: Any) -> vlm_pb2.GetModelResponse:
        """See the proto."""
        return convert.model_to_wire(await self._engine.model_info())

    async def ListSessions(self, request: vlm_pb2.ListSessionsRequest, context: Any) -> vlm_pb2.ListSessionsResponse:
        """See the proto."""
        infos = await self._engine.list_sessions()
        return vlm_pb2.ListSessionsResponse(sessions=[convert.session_to_wire(info) for info in infos])

    async def GetSession(self, request: vlm_pb2.GetSessionRequest, context: Any) -> vlm_pb2.GetSessionResponse:
        """See the proto."""
        info = await self._engine.get_session(request.session_id)
        return vlm_pb2.GetSessionResponse(session=convert.session_to_wire(info))

    async def DeleteSnapshot(
        self, request: vlm_pb2.DeleteSnapshotRequest, context: Any
    ) -> vlm_pb2.DeleteSnapshotResponse:
        """See the proto."""
        await self._engine.delete_snapshot(request.snapshot_id, request.session_id)
        return vlm_pb2.DeleteSnapshotResponse()

    async def ListExports(self, request: vlm_pb2.ListExportsRequest, context: Any) -> vlm_pb2.ListExportsResponse:
        """See the proto."""
        infos = await self._engine.list_exports()
        return vlm_pb2.ListExportsResponse(exports=[convert.export_to_wire(info) for info in infos])

    async def DeleteExport(self, request: vlm_pb2.DeleteExportRequest, context: Any) -> vlm_pb2.DeleteExportResponse:
        """See the proto."""
        await self._engine.delete_export(request.name)
        return vlm_pb2.DeleteExportResponse()

    async def Session(
        self, request_iterator: AsyncIterator[vlm_pb2.SessionRequest], context: Any
    ) -> AsyncGenerator[vlm_pb2.SessionResponse, None]:
        """See the proto."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("request") != "open":
            found = "nothing" if first is None else first.WhichOneof("request") or "an unset or unknown request"
            raise WrongFirstMessage(f"it was {found}")
        session = await self._engine.open_session(convert.config_from_wire(first.open, context.peer()))
        log = _log.bind(session_id=session.session_id)
        log.info("session.opened", label=first.open.label, max_context_tokens=session.max_context_tokens)
        call = _SessionCall(session, first.request_seq)
        try:
            async for response in call.responses(request_iterator):
                yield response
        finally:
            call.abandon()
            await session.close()
            log.info("session.closed")


class _SessionCall:
    """One session's requests and events."""

    def __init__(self, session: Session, first_seq: int) -> None:
        self._session = session
        self._last_seq = first_seq
        self._event_seq = 0
        self._events: BoundedLog[vlm_pb2.SessionResponse] = BoundedLog(_MOST_UNSENT, _merge_deltas)
        self._answers: dict[int, Answer] = {}
        self._watches: dict[int, Watch] = {}
        self._under_way: set[asyncio.Future[Any]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._broken: BaseException | None = None
        self._closing: asyncio.Task[None] | None = None
        self._evictions = session.evictions()
        opened = vlm_pb2.SessionOpened(
            session_id=session.session_id,
            frame_credits=session.frame_credits,
            max_context_tokens=session.max_context_tokens,
            restored_frame_id=session.restored_frame_id,
        )
        self._emit(first_seq, opened=opened)

    async def responses(
        self, requests: AsyncIterator[vlm_pb2.SessionRequest]
    ) -> AsyncIterator[vlm_pb2.SessionResponse]:
        """Every event in order; ends when the client has said all and everything is answered."""
        for watching in (self._watch_evictions(), self._watch_end()):
            watcher = asyncio.create_task(watching)
            watcher.add_done_callback(self._ended)
            self._watchers.append(watcher)
        self._reader = asyncio.create_task(self._read(requests))
        while True:
            try:
                event = await self._events.get()
            except Closed:
                break
            self._event_seq += 1
            event.event_seq = self._event_seq
            yield event
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.wait({self._reader})
        if self._broken is not None:
            raise self._broken
        if not self._reader.cancelled():
            self._reader.result()

    def abandon(self) -> None:
        """Stop everything of this call that is still under way."""
        for work in (self._reader, *self._watchers, *self._under_way):
            if work is not None:
                work.cancel()

    async def _read(self, requests: AsyncIterator[vlm_pb2.SessionRequest]) -> None:
        try:
            async for request in requests:
                self._take(request)
                await self._events.wait_below(_MANY_UNSENT)
            # Without requests no more chunks come, so nothing more will be seen.
            for watch in self._watches.values():
                watch.unset()
            while self._under_way:
                await asyncio.wait(self._under_way)
        finally:
            self._events.close()

    def _take(self, request: vlm_pb2.SessionRequest) -> None:
        kind = request.WhichOneof("request")
        frames = len(_sent(request, kind))
        try:
            if request.request_seq <= self._last_seq:
                raise InvalidInput(
                    f"request_seq rises strictly; {request.request_seq} came after {self._last_seq}",
                    field="request_seq",
                )
            self._last_seq = request.request_seq
            self._place(request, kind)
        except StillwingError as error:
            self._fail(request.request_seq, error, frames)

    def _place(self, request: vlm_pb2.SessionRequest, kind: str | None) -> None:
        seq, session = request.request_seq, self._session
        placed: Awaitable[Any]
        match kind:
            case "append_frame" | "append_chunk":
                sent = _sent(request, kind)
                wanted = request.append_frame if kind == "append_frame" else request.append_chunk
                placed = session.append(
                    *[frame_from_wire(frame) for frame in sent],
                    deadline_s=convert.deadline_from_wire(wanted),
                    skipped_frames=wanted.skipped_frames,
                )
                frame_ids = [frame.frame_id for frame in sent]
                self._later(seq, placed, lambda result: {"chunk_appended": convert.appended_to_wire(result)}, frame_ids)
            case "ask":
                self._answers[seq] = answer = session.ask(convert.ask_from_wire(request.ask))
                self._spawn(self._stream(seq, answer))
            case "ask_choice":
                placed = session.ask_choice(convert.choice_from_wire(request.ask_choice))
                self._later(seq, placed, lambda result: {"choice_done": convert.choice_done_to_wire(result)})
            case "cancel_ask":
                wanted_answer = self._answers.get(request.cancel_ask.ask_seq)
                if wanted_answer is None:
                    raise UnknownAsk(f"no ask {request.cancel_ask.ask_seq} is under way")
                wanted_answer.cancel()
            case "set_watch":
                self._watches[seq] = watch = session.set_watch(convert.watch_from_wire(request.set_watch))
                self._spawn(self._follow(seq, watch))
            case "unset_watch":
                wanted_watch = self._watches.get(request.unset_watch.watch_seq)
                if wanted_watch is None:
                    raise UnknownWatch(f"no watch {request.unset_watch.watch_seq} is set")
                wanted_watch.unset()
            case "recall":
                placed = session.recall([frame_from_wire(frame) for frame in request.recall.frames])
                self._later(seq, placed, lambda result: {"recalled": convert.recalled_to_wire(result)})
            case "recall_kept":
                placed = session.recall_kept(tuple(request.recall_kept.frame_ids))
                self._later(seq, placed, lambda result: {"recalled": convert.recalled_to_wire(result)})
            case "pool_vectors":
                placed = session.pool_vectors(tuple(request.pool_vectors.texts), tuple(request.pool_vectors.frame_ids))
                self._later(seq, placed, lambda pooled: {"vectors_pooled": convert.pooled_to_wire(pooled)})
            case "take_snapshot":
                take = request.take_snapshot
                ttl_s = duration_from_wire(take.ttl) if take.HasField("ttl") else None
                placed = session.take_snapshot(ttl_s, take.name)
                self._later(seq, placed, lambda info: {"snapshot_taken": convert.taken_to_wire(info)})
            case "restore_snapshot":
                snapshot_id = request.restore_snapshot.snapshot_id
                placed = session.restore_snapshot(snapshot_id)
                self._later(
                    seq,
                    placed,
                    lambda last: {
                        "snapshot_restored": vlm_pb2.SnapshotRestored(snapshot_id=snapshot_id, last_frame_id=last)
                    },
                )
            case "export_session":
                placed = session.export(request.export_session.name)
                self._later(seq, placed, lambda info: {"session_exported": convert.exported_to_wire(info)})
            case "open":
                raise WrongFirstMessage("the session is open already")
            case _:
                raise UnsetOneof("request", field="request")

    def _later(self, seq: int, awaited: Awaitable[Any], event: Any, frame_ids: Sequence[str] = ()) -> None:
        # A callback and not a task: a task would cost each frame two more turns of the loop before its credit leaves.
        def report(done: "asyncio.Future[Any]") -> None:
            self._under_way.discard(done)
            if done.cancelled():
                return
            try:
                self._emit(seq, **event(done.result()))
            except FrameSuperseded:
                dropped = vlm_pb2.FramesDropped(frame_ids=frame_ids, credits=len(frame_ids))
                self._emit(seq, frames_dropped=dropped)
            except StillwingError as error:
                self._fail(seq, error, len(frame_ids))
            except Exception as error:
                self._break(error)

        placed = asyncio.ensure_future(awaited)
        self._under_way.add(placed)
        placed.add_done_callback(report)

    async def _stream(self, seq: int, answer: Answer) -> None:
        try:
            async for delta in answer:
                self._emit(seq, answer_delta=vlm_pb2.AnswerDelta(text=delta.text))
            self._emit(seq, answer_done=convert.done_to_wire(await answer.done()))
        except StillwingError as error:
            self._fail(seq, error, 0)
        finally:
            self._answers.pop(seq, None)

    async def _follow(self, seq: int, watch: Watch) -> None:
        try:
            async for event in watch:
                self._emit(seq, watch_changed=convert.watch_changed_to_wire(event))
            self._emit(seq, watch_ended=vlm_pb2.WatchEnded())
        except StillwingError as error:
            self._fail(seq, error, 0)
        finally:
            self._watches.pop(seq, None)

    async def _watch_evictions(self) -> None:
        async for evicted in self._evictions:
            self._emit(0, context_evicted=convert.evicted_to_wire(evicted))

    async def _watch_end(self) -> None:
        reason = await self._session.wait_closed()
        if reason is not None:
            self._break(reason)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Future[Any]") -> None:
        self._under_way.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._break(error)

    def _break(self, error: BaseException) -> None:
        # A part of the session broke, so the session is broken: the call ends with it.
        if self._reader is not None and self._broken is None:
            self._broken = error
            self._reader.cancel()
            # A client that does not read keeps the call from ending; what the session holds is freed without it.
            self._closing = asyncio.create_task(self._session.close())

    def _emit(self, seq: int, **event: Any) -> None:
        try:
            self._events.put(vlm_pb2.SessionResponse(request_seq=seq, **event))
        except Full:
            self._break(SlowReader(f"{_MOST_UNSENT} events are unread", limit=_MOST_UNSENT))

    def _fail(self, seq: int, error: StillwingError, frames: int) -> None:
        self._emit(seq, failed=convert.failed_to_wire(error, credits=frames, service=SERVICE))


def _sent(request: vlm_pb2.SessionRequest, kind: str | None) -> Sequence[common_pb2.Frame]:
    if kind == "append_frame":
        return [request.append_frame.frame]
    return request.append_chunk.frames if kind == "append_chunk" else ()


def _merge_deltas(unsent: vlm_pb2.SessionResponse, event: vlm_pb2.SessionResponse) -> bool:
    # A slow reader gets longer pieces, not more of them.
    if not unsent.HasField("answer_delta") or not event.HasField("answer_delta"):
        return False
    if unsent.request_seq != event.request_seq:
        return False
    unsent.answer_delta.text += event.answer_delta.text
    return True
