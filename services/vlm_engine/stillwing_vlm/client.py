"""An engine that happens to be behind the wire. Errors are the same classes as those of a local one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Self

import grpc

from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_common.errors import (
    FrameSuperseded,
    InvalidInput,
    OutOfCredits,
    QueueFull,
    StillwingError,
    Unavailable,
    UnknownSession,
)
from stillwing_common.mailbox import BoundedLog, Closed, Full
from stillwing_common.types import Frame
from stillwing_rpc.channel import connect
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.convert import duration_to_wire, frame_to_wire
from stillwing_rpc.errors import domain_errors, from_rpc_error, from_status
from stillwing_vlm import convert
from stillwing_vlm.core.base import (
    AppendResult,
    AskRequest,
    ChoiceRequest,
    ChoiceResult,
    Evicted,
    ExportInfo,
    FramePolicy,
    ModelInfo,
    Pooled,
    RecallResult,
    SessionConfig,
    SessionInfo,
    SnapshotInfo,
    WatchRequest,
)
from stillwing_vlm.core.streams import AsyncAnswer, EvictionStream, RunningWatch, new_future, settle
from stillwing_vlm.server import SERVICE

_OPEN_DEADLINE_S = 30.0
_CLOSE_GRACE_S = 2.0
_MOST_UNSENT = 256
"""Requests waiting for a slow connection before further ones are refused."""


class RemoteEngine:
    """An `Engine` over a channel, which it closes with itself."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._stub: vlm_pb2_grpc.VlmServiceAsyncStub = vlm_pb2_grpc.VlmServiceStub(channel)
        self._sessions: set[RemoteSession] = set()

    @classmethod
    async def connect(cls, target: str, settings: ChannelSettings | None = None, *, wait_s: float = 10.0) -> Self:
        """Reach the engine at "host:port". Raises Unavailable, WrongService."""
        return cls(await connect(target, SERVICE, settings, wait_s=wait_s))

    async def model_info(self) -> ModelInfo:
        """See `Engine`."""
        with domain_errors():
            return convert.model_from_wire(await self._stub.GetModel(vlm_pb2.GetModelRequest()))

    async def open_session(self, config: SessionConfig) -> "RemoteSession":
        """See `Engine`. Raises Unavailable where the engine does not answer in time."""
        session = RemoteSession(self._stub, config, self._sessions.discard)
        try:
            await asyncio.wait_for(session.opened(), _OPEN_DEADLINE_S)
        except TimeoutError as error:
            session.abandon()
            raise Unavailable(f"no session was opened within {_OPEN_DEADLINE_S:g} s") from error
        except BaseException:
            session.abandon()
            raise
        self._sessions.add(session)
        return session

    async def list_sessions(self) -> list[SessionInfo]:
        """See `Engine`."""
        with domain_errors():
            answer = await self._stub.ListSessions(vlm_pb2.ListSessionsRequest())
        return [convert.session_from_wire(info) for info in answer.sessions]

    async def get_session(self, session_id: str) -> SessionInfo:
        """See `Engine`."""
        with domain_errors():
            answer = await self._stub.GetSession(vlm_pb2.GetSessionRequest(session_id=session_id))
        return convert.session_from_wire(answer.session)

    async def delete_snapshot(self, snapshot: str, session_id: str = "") -> None:
        """See `Engine`."""
        with domain_errors():
            await self._stub.DeleteSnapshot(vlm_pb2.DeleteSnapshotRequest(snapshot_id=snapshot, session_id=session_id))

    async def list_exports(self) -> list[ExportInfo]:
        """See `Engine`."""
        with domain_errors():
            answer = await self._stub.ListExports(vlm_pb2.ListExportsRequest())
        return [convert.export_from_wire(info) for info in answer.exports]

    async def delete_export(self, name: str) -> None:
        """See `Engine`."""
        with domain_errors():
            await self._stub.DeleteExport(vlm_pb2.DeleteExportRequest(name=name))

    async def close(self) -> None:
        """Close the sessions opened here, then the channel; the engine itself goes on."""
        for session in list(self._sessions):
            await session.close()
        await self._channel.close()


class RemoteSession:
    """A `Session` over one bidirectional call."""

    def __init__(
        self, stub: Any, config: SessionConfig, on_closed: "Callable[[RemoteSession], None]" = lambda session: None
    ) -> None:
        """Start the call; `opened` tells when the session is there."""
        self._loop = asyncio.get_running_loop()
        self._on_closed = on_closed
        self._outgoing: BoundedLog[vlm_pb2.SessionRequest] = BoundedLog(_MOST_UNSENT)
        self._newest_wins = config.frame_policy is FramePolicy.NEWEST_WINS
        self._unacknowledged: dict[int, tuple[str, ...]] = {}
        self._seq = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answers: dict[int, AsyncAnswer] = {}
        self._watches: dict[int, RunningWatch] = {}
        self._streams: list[EvictionStream] = []
        self._opened: vlm_pb2.SessionOpened | None = None
        self._ended: StillwingError | None = None
        self._why: StillwingError | None = None
        self._closing = False
        self._first = self._ask_for(open=convert.config_to_wire(config))
        self._call = stub.Session(self._requests())
        self._reader = asyncio.create_task(self._read())

    async def opened(self) -> None:
        """Wait for the session. Raises what the engine refused it with."""
        self._opened = await self._first

    @property
    def session_id(self) -> str:
        """Opaque id."""
        return self._told.session_id

    @property
    def frame_credits(self) -> int:
        """Most frames placed and not yet acknowledged."""
        return self._told.frame_credits

    @property
    def max_context_tokens(self) -> int:
        """The budget in force."""
        return self._told.max_context_tokens

    @property
    def _told(self) -> vlm_pb2.SessionOpened:
        if self._opened is None:
            raise UnknownSession("the session has not been opened")
        return self._opened

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """See `Session`."""
        if not frames:
            return self._refused(InvalidInput("a chunk needs at least one frame"))
        under_way, credits = sum(map(len, self._unacknowledged.values())), self.frame_credits
        # Under newest-wins the engine lets go what is too much, and here at most one chunk waits behind each request.
        if len(frames) > credits or (not self._newest_wins and under_way + len(frames) > credits):
            return self._refused(OutOfCredits(f"{under_way} under way of {credits}", sent=len(frames)))
        deadline, sent = convert.deadline_to_wire(deadline_s), [frame_to_wire(frame) for frame in frames]
        if self._newest_wins:
            skipped_frames += self._take_back_unsent()
        if len(sent) == 1:
            found = self._ask_for(
                append_frame=vlm_pb2.AppendFrame(frame=sent[0], deadline=deadline, skipped_frames=skipped_frames)
            )
        else:
            found = self._ask_for(
                append_chunk=vlm_pb2.AppendChunk(frames=sent, deadline=deadline, skipped_frames=skipped_frames)
            )
        if not found.done():
            self._unacknowledged[self._seq] = tuple(frame.frame_id for frame in frames)
        return found

    def _take_back_unsent(self) -> int:
        """Let go a chunk that has not left yet, for a newer one; how many frames were let go for it altogether."""
        unsent = self._outgoing.take_back(lambda request: request.request_seq in self._unacknowledged)
        if unsent is None:
            return 0
        frame_ids = self._unacknowledged[unsent.request_seq]
        self._fail(unsent.request_seq, FrameSuperseded(", ".join(frame_ids), frames=len(frame_ids)))
        kind = unsent.append_frame if unsent.HasField("append_frame") else unsent.append_chunk
        return len(frame_ids) + kind.skipped_frames

    def ask(self, request: AskRequest) -> AsyncAnswer:
        """See `Session`."""
        seq = self._seq + 1
        answer = AsyncAnswer(lambda: self._cancel(seq))
        if self._ended is not None:
            answer.fail(self._ended)
            return answer
        self._answers[seq] = answer
        try:
            self._send(ask=convert.ask_to_wire(request))
        except QueueFull as error:
            self._fail(seq, error)
        return answer

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """See `Session`."""
        return self._ask_for(ask_choice=convert.choice_to_wire(request))

    def set_watch(self, request: WatchRequest) -> RunningWatch:
        """See `Session`."""
        seq = self._seq + 1
        watch = RunningWatch(lambda: self._unset(seq))
        if self._ended is not None:
            watch.end(self._ended)
            return watch
        self._watches[seq] = watch
        try:
            self._send(set_watch=convert.watch_to_wire(request))
        except QueueFull as error:
            self._fail(seq, error)
        return watch

    def _unset(self, seq: int) -> None:
        if seq in self._watches:
            with suppress(QueueFull):
                self._send(unset_watch=vlm_pb2.UnsetWatch(watch_seq=seq))

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """See `Session`."""
        return self._ask_for(recall=vlm_pb2.Recall(frames=[frame_to_wire(frame) for frame in frames]))

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """See `Session`."""
        return self._ask_for(recall_kept=vlm_pb2.RecallKept(frame_ids=frame_ids))

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """See `Session`."""
        return self._ask_for(pool_vectors=vlm_pb2.PoolVectors(texts=texts, frame_ids=frame_ids))

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> Awaitable[SnapshotInfo]:
        """See `Session`."""
        ttl = None if ttl_s is None else duration_to_wire(ttl_s)
        return self._ask_for(take_snapshot=vlm_pb2.TakeSnapshot(ttl=ttl, name=name))

    def restore_snapshot(self, snapshot: str) -> Awaitable[str]:
        """See `Session`."""
        return self._ask_for(restore_snapshot=vlm_pb2.RestoreSnapshot(snapshot_id=snapshot))

    @property
    def restored_frame_id(self) -> str:
        """See `Session`."""
        return self._told.restored_frame_id

    def export(self, name: str) -> Awaitable[ExportInfo]:
        """See `Session`."""
        return self._ask_for(export_session=vlm_pb2.ExportSession(name=name))

    def evictions(self) -> AsyncIterator[Evicted]:
        """See `Session`."""
        stream = EvictionStream()
        if self._ended is None:
            self._streams.append(stream)
        else:
            stream.put(None)
        return aiter(stream)

    async def wait_closed(self) -> StillwingError | None:
        """See `Session`."""
        await asyncio.wait({self._reader})
        return self._why

    async def close(self) -> None:
        """End the session and wait until the engine has let it go, or does not answer."""
        self._closing = True
        for answer in self._answers.values():
            answer.cancel()
        self._outgoing.close()
        await asyncio.wait({self._reader}, timeout=_CLOSE_GRACE_S)
        self.abandon()
        await asyncio.wait({self._reader})
        self._on_closed(self)

    def abandon(self) -> None:
        """End the call at once."""
        self._call.cancel()

    # The call

    def _send(self, **request: Any) -> int:
        self._seq += 1
        try:
            self._outgoing.put(vlm_pb2.SessionRequest(request_seq=self._seq, **request))
        except Full:
            raise QueueFull(f"{_MOST_UNSENT} have not left yet", limit=_MOST_UNSENT) from None
        return self._seq

    def _cancel(self, seq: int) -> None:
        try:
            self._send(cancel_ask=vlm_pb2.CancelAsk(ask_seq=seq))
        except QueueFull:
            # Nothing leaves: the ask will end with the session.
            self.abandon()

    def _ask_for(self, **request: Any) -> "asyncio.Future[Any]":
        if self._ended is not None:
            return self._refused(self._ended)
        try:
            seq = self._send(**request)
        except QueueFull as error:
            return self._refused(error)
        found: asyncio.Future[Any] = new_future(self._loop)
        self._waiting[seq] = found
        return found

    def _refused(self, error: StillwingError) -> "asyncio.Future[Any]":
        found: asyncio.Future[Any] = new_future(self._loop)
        found.set_exception(error)
        return found

    async def _requests(self) -> AsyncIterator[vlm_pb2.SessionRequest]:
        try:
            while True:
                yield await self._outgoing.get()
        except Closed:
            return

    async def _read(self) -> None:
        ended: StillwingError = UnknownSession("the session is closed")
        try:
            async for response in self._call:
                self._take(response)
        except grpc.aio.AioRpcError as error:
            ended = from_rpc_error(error)
            self._why = None if self._closing else ended
        except asyncio.CancelledError:
            if not self._call.cancelled():
                raise
        finally:
            self._end(ended)

    def _take(self, response: vlm_pb2.SessionResponse) -> None:
        seq, kind = response.request_seq, response.WhichOneof("event")
        match kind:
            case "opened":
                self._settle(seq, response.opened)
            case "chunk_appended":
                self._settle(seq, convert.appended_from_wire(response.chunk_appended))
            case "answer_delta":
                if seq in self._answers:
                    self._answers[seq].progress([response.answer_delta.text], None)
            case "answer_done":
                if seq in self._answers:
                    self._answers.pop(seq).progress((), convert.done_from_wire(response.answer_done))
            case "choice_done":
                self._settle(seq, convert.choice_done_from_wire(response.choice_done))
            case "snapshot_taken":
                self._settle(seq, convert.taken_from_wire(response.snapshot_taken))
            case "snapshot_restored":
                self._settle(seq, response.snapshot_restored.last_frame_id)
            case "session_exported":
                self._settle(seq, convert.exported_from_wire(response.session_exported))
            case "recalled":
                self._settle(seq, convert.recalled_from_wire(response.recalled))
            case "vectors_pooled":
                self._settle(seq, convert.pooled_from_wire(response.vectors_pooled))
            case "context_evicted":
                for stream in self._streams:
                    stream.put(convert.evicted_from_wire(response.context_evicted))
            case "watch_changed":
                if seq in self._watches:
                    self._watches[seq].put(convert.watch_changed_from_wire(response.watch_changed))
            case "watch_ended":
                if seq in self._watches:
                    self._watches.pop(seq).end()
            case "frames_dropped":
                dropped = response.frames_dropped.frame_ids
                self._fail(seq, FrameSuperseded(", ".join(dropped), frames=len(dropped)))
            case "failed":
                self._fail(seq, from_status(response.failed.status))

    def _settle(self, seq: int, result: Any) -> None:
        self._unacknowledged.pop(seq, None)
        if seq in self._waiting:
            settle(self._waiting.pop(seq), result, None)

    def _fail(self, seq: int, error: StillwingError) -> None:
        self._unacknowledged.pop(seq, None)
        if seq in self._answers:
            self._answers.pop(seq).fail(error)
        if seq in self._watches:
            self._watches.pop(seq).end(error)
        if seq in self._waiting:
            settle(self._waiting.pop(seq), None, error)

    def _end(self, error: StillwingError) -> None:
        self._ended = error
        for seq in [*self._answers, *self._waiting]:
            self._fail(seq, error)
        for watch in self._watches.values():
            watch.end(self._why)
        for stream in self._streams:
            stream.put(None)
