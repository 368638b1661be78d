"""An engine that happens to be behind the wire. Errors are the same classes as those of a local one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Self

import grpc

from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_common.errors import InvalidInput, StillwingError, Unavailable, UnknownSession
from stillwing_common.types import Frame
from stillwing_rpc.channel import connect
from stillwing_rpc.convert import duration_to_wire, frame_to_wire
from stillwing_rpc.errors import domain_errors, from_rpc_error, from_status
from stillwing_rpc.settings import ChannelSettings
from stillwing_vlm import convert
from stillwing_vlm.core.answers import AsyncAnswer, EvictionStream, new_future, settle
from stillwing_vlm.core.base import (
    AppendResult,
    AskRequest,
    ChoiceRequest,
    ChoiceResult,
    Evicted,
    ModelInfo,
    RecallResult,
    SessionConfig,
    SessionInfo,
    SnapshotInfo,
)
from stillwing_vlm.server import SERVICE

_OPEN_DEADLINE_S = 30.0
_CLOSE_GRACE_S = 2.0


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

    async def delete_snapshot(self, snapshot_id: str) -> None:
        """See `Engine`."""
        with domain_errors():
            await self._stub.DeleteSnapshot(vlm_pb2.DeleteSnapshotRequest(snapshot_id=snapshot_id))

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
        self._outgoing: asyncio.Queue[vlm_pb2.SessionRequest | None] = asyncio.Queue()
        self._seq = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answers: dict[int, AsyncAnswer] = {}
        self._streams: list[EvictionStream] = []
        self._opened: vlm_pb2.SessionOpened | None = None
        self._ended: StillwingError | None = None
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

    def append(self, *frames: Frame) -> Awaitable[AppendResult]:
        """See `Session`."""
        if len(frames) == 1:
            return self._ask_for(append_frame=vlm_pb2.AppendFrame(frame=frame_to_wire(frames[0])))
        if not frames:
            refused = new_future(self._loop)
            refused.set_exception(InvalidInput("a chunk needs at least one frame"))
            return refused
        return self._ask_for(append_chunk=vlm_pb2.AppendChunk(frames=[frame_to_wire(frame) for frame in frames]))

    def ask(self, request: AskRequest) -> AsyncAnswer:
        """See `Session`."""
        seq = self._seq + 1
        answer = AsyncAnswer(lambda: self._send_quietly(cancel_ask=vlm_pb2.CancelAsk(ask_seq=seq)))
        if self._ended is not None:
            answer.fail(self._ended)
            return answer
        self._answers[seq] = answer
        self._send(ask=convert.ask_to_wire(request))
        return answer

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """See `Session`."""
        return self._ask_for(ask_choice=convert.choice_to_wire(request))

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """See `Session`."""
        return self._ask_for(recall=vlm_pb2.Recall(frames=[frame_to_wire(frame) for frame in frames]))

    def take_snapshot(self, ttl_s: float | None = None) -> Awaitable[SnapshotInfo]:
        """See `Session`."""
        ttl = None if ttl_s is None else duration_to_wire(ttl_s)
        return self._ask_for(take_snapshot=vlm_pb2.TakeSnapshot(ttl=ttl))

    def restore_snapshot(self, snapshot_id: str) -> Awaitable[str]:
        """See `Session`."""
        return self._ask_for(restore_snapshot=vlm_pb2.RestoreSnapshot(snapshot_id=snapshot_id))

    def evictions(self) -> AsyncIterator[Evicted]:
        """See `Session`."""
        stream = EvictionStream()
        if self._ended is None:
            self._streams.append(stream)
        else:
            stream.put(None)
        return aiter(stream)

    async def close(self) -> None:
        """End the session and wait until the engine has let it go, or does not answer."""
        for answer in self._answers.values():
            answer.cancel()
        self._outgoing.put_nowait(None)
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
        self._outgoing.put_nowait(vlm_pb2.SessionRequest(request_seq=self._seq, **request))
        return self._seq

    def _send_quietly(self, **request: Any) -> None:
        self._send(**request)

    def _ask_for(self, **request: Any) -> "asyncio.Future[Any]":
        found: asyncio.Future[Any] = new_future(self._loop)
        if self._ended is not None:
            found.set_exception(self._ended)
        else:
            self._waiting[self._send(**request)] = found
        return found

    async def _requests(self) -> AsyncIterator[vlm_pb2.SessionRequest]:
        while (request := await self._outgoing.get()) is not None:
            yield request

    async def _read(self) -> None:
        ended: StillwingError = UnknownSession("the session is closed")
        try:
            async for response in self._call:
                self._take(response)
        except grpc.aio.AioRpcError as error:
            ended = from_rpc_error(error)
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
                taken = response.snapshot_taken
                self._settle(seq, SnapshotInfo(taken.snapshot_id, taken.size_bytes))
            case "snapshot_restored":
                self._settle(seq, response.snapshot_restored.last_frame_id)
            case "recalled":
                self._settle(seq, convert.recalled_from_wire(response.recalled))
            case "context_evicted":
                for stream in self._streams:
                    stream.put(convert.evicted_from_wire(response.context_evicted))
            case "failed":
                self._fail(seq, from_status(response.failed.status))

    def _settle(self, seq: int, result: Any) -> None:
        if seq in self._waiting:
            settle(self._waiting.pop(seq), result, None)

    def _fail(self, seq: int, error: StillwingError) -> None:
        if seq in self._answers:
            self._answers.pop(seq).fail(error)
        if seq in self._waiting:
            settle(self._waiting.pop(seq), None, error)

    def _end(self, error: StillwingError) -> None:
        self._ended = error
        for seq in [*self._answers, *self._waiting]:
            self._fail(seq, error)
        for stream in self._streams:
            stream.put(None)
