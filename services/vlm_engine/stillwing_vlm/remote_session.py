"""A session that happens to be behind the wire: one bidirectional call.

The engine counts credits and says what became of each frame; here requests only wait until the connection takes them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import grpc

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import FrameSuperseded, InvalidInput, QueueFull, StillwingError, UnknownSession
from stillwing_common.types import Frame
from stillwing_rpc.convert import duration_to_wire, frame_to_wire
from stillwing_rpc.errors import from_rpc_error, from_status, sendable_values
from stillwing_rpc.sendable import check_request
from stillwing_vlm.convert.asks import (
    ask_to_wire,
    choice_done_from_wire,
    choice_to_wire,
    deadline_to_wire,
    done_from_wire,
    watch_changed_from_wire,
    watch_to_wire,
)
from stillwing_vlm.convert.session import (
    appended_from_wire,
    config_to_wire,
    evicted_from_wire,
    exported_from_wire,
    pooled_from_wire,
    recalled_from_wire,
    taken_from_wire,
)
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, FramePolicy, SessionConfig, WatchRequest
from stillwing_vlm.core.results import (
    AppendResult,
    ChoiceResult,
    Evicted,
    ExportInfo,
    Pooled,
    RecallResult,
    SnapshotInfo,
)
from stillwing_vlm.core.streams import AsyncAnswer, EvictionStream, RunningWatch, new_future, settle
from stillwing_vlm.outbox import Outbox

_CLOSE_GRACE_S = 2.0

_RESULTS: Mapping[str, Callable[[Any], Any]] = {
    "opened": lambda message: message,
    "chunk_appended": appended_from_wire,
    "choice_done": choice_done_from_wire,
    "snapshot_taken": taken_from_wire,
    "snapshot_restored": lambda message: message.last_frame_id,
    "session_exported": exported_from_wire,
    "recalled": recalled_from_wire,
    "vectors_pooled": pooled_from_wire,
}
"""Events that are the whole answer to a request, and what its caller gets."""


class RemoteSession:
    """A `Session` over one call."""

    def __init__(
        self, stub: Any, config: SessionConfig, on_closed: "Callable[[RemoteSession], None]" = lambda session: None
    ) -> None:
        """Start the call; `opened` tells when the session is there. Raises InvalidInput; then nothing is sent."""
        self._loop = asyncio.get_running_loop()
        self._on_closed = on_closed
        self._outbox = Outbox(newest_wins=config.frame_policy is FramePolicy.NEWEST_WINS)
        self._seq = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answers: dict[int, AsyncAnswer] = {}
        self._watches: dict[int, RunningWatch] = {}
        self._streams: list[EvictionStream] = []
        self._opened: vlm_pb2.SessionOpened | None = None
        self._ended: StillwingError | None = None
        self._why: StillwingError | None = None
        self._closing = False
        with sendable_values():
            self._seq += 1
            opening = vlm_pb2.SessionRequest(request_seq=self._seq, open=config_to_wire(config))
        check_request(opening)
        self._first = self._waiting[self._seq] = new_future(self._loop)
        self._outbox.put(opening)
        self._call = stub.Session(self._outbox.requests())
        self._reader = asyncio.create_task(self._read())

    async def opened(self) -> None:
        """Wait for the session. Raises what the engine refused it with."""
        self._opened = await self._first

    @property
    def session_id(self) -> str:
        """Opaque id."""
        return self._session.session_id

    @property
    def frame_credits(self) -> int:
        """Most frames placed and not yet acknowledged."""
        return self._session.frame_credits

    @property
    def max_context_tokens(self) -> int:
        """The budget in force."""
        return self._session.max_context_tokens

    @property
    def restored_frame_id(self) -> str:
        """See `Session`."""
        return self._session.restored_frame_id

    @property
    def _session(self) -> vlm_pb2.SessionOpened:
        if self._opened is None:
            raise UnknownSession("the session has not been opened")
        return self._opened

    # The stream

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """See `Session`."""

        def make() -> dict[str, Any]:
            deadline, sent = deadline_to_wire(deadline_s), [frame_to_wire(frame) for frame in frames]
            if len(sent) == 1:
                message = vlm_pb2.AppendFrame(frame=sent[0], deadline=deadline, skipped_frames=skipped_frames)
                return {"append_frame": message}
            return {"append_chunk": vlm_pb2.AppendChunk(frames=sent, deadline=deadline, skipped_frames=skipped_frames)}

        return self._ask_for(make, replaces=True)

    def evictions(self) -> AsyncIterator[Evicted]:
        """See `Session`."""
        stream = EvictionStream()
        if self._ended is None:
            self._streams.append(stream)
        else:
            stream.put(None)
        return aiter(stream)

    # Questions

    def ask(self, request: AskRequest) -> AsyncAnswer:
        """See `Session`."""
        seq = self._seq + 1
        answer = AsyncAnswer(lambda: self._cancel(seq))
        if self._ended is not None:
            answer.fail(self._ended)
            return answer
        self._answers[seq] = answer
        try:
            self._send(lambda: {"ask": ask_to_wire(request)})
        except (QueueFull, InvalidInput) as error:
            self._fail(seq, error)
        return answer

    def _cancel(self, seq: int) -> None:
        try:
            self._send(lambda: {"cancel_ask": vlm_pb2.CancelAsk(ask_seq=seq)})
        except QueueFull:
            # Nothing leaves: the ask will end with the session.
            self.abandon()

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """See `Session`."""
        return self._ask_for(lambda: {"ask_choice": choice_to_wire(request)})

    def set_watch(self, request: WatchRequest) -> RunningWatch:
        """See `Session`."""
        seq = self._seq + 1
        watch = RunningWatch(lambda: self._unset(seq))
        if self._ended is not None:
            watch.end(self._ended)
            return watch
        self._watches[seq] = watch
        try:
            self._send(lambda: {"set_watch": watch_to_wire(request)})
        except (QueueFull, InvalidInput) as error:
            self._fail(seq, error)
        return watch

    def _unset(self, seq: int) -> None:
        if seq in self._watches:
            with suppress(QueueFull):
                self._send(lambda: {"unset_watch": vlm_pb2.UnsetWatch(watch_seq=seq)})

    # Recall, snapshots, exports

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """See `Session`."""
        return self._ask_for(lambda: {"recall": vlm_pb2.Recall(frames=[frame_to_wire(frame) for frame in frames])})

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """See `Session`."""
        return self._ask_for(lambda: {"recall_kept": vlm_pb2.RecallKept(frame_ids=frame_ids)})

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """See `Session`."""
        return self._ask_for(lambda: {"pool_vectors": vlm_pb2.PoolVectors(texts=texts, frame_ids=frame_ids)})

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> Awaitable[SnapshotInfo]:
        """See `Session`."""

        def make() -> dict[str, Any]:
            return {
                "take_snapshot": vlm_pb2.TakeSnapshot(ttl=None if ttl_s is None else duration_to_wire(ttl_s), name=name)
            }

        return self._ask_for(make)

    def restore_snapshot(self, snapshot: str) -> Awaitable[str]:
        """See `Session`."""
        return self._ask_for(lambda: {"restore_snapshot": vlm_pb2.RestoreSnapshot(snapshot_id=snapshot)})

    def export(self, name: str) -> Awaitable[ExportInfo]:
        """See `Session`."""
        return self._ask_for(lambda: {"export_session": vlm_pb2.ExportSession(name=name)})

    # Ending

    async def wait_closed(self) -> StillwingError | None:
        """See `Session`."""
        await asyncio.wait({self._reader})
        return self._why

    async def close(self) -> None:
        """End the session and wait until the engine has let it go, or does not answer."""
        self._closing = True
        for answer in self._answers.values():
            answer.cancel()
        self._outbox.close()
        await asyncio.wait({self._reader}, timeout=_CLOSE_GRACE_S)
        self.abandon()
        await asyncio.wait({self._reader})
        self._on_closed(self)

    def abandon(self) -> None:
        """End the call at once."""
        self._call.cancel()

    # The call

    def _send(self, make: Callable[[], dict[str, Any]], *, replaces: bool = False) -> int:
        """Place what `make` gives; `replaces`: a chunk, before which older ones that have not left give way.

        Raises QueueFull, InvalidInput; then nothing is sent.
        """
        self._seq += 1
        with sendable_values():
            request = vlm_pb2.SessionRequest(request_seq=self._seq, **make())
        check_request(request)
        if replaces:
            self._replace_older(request)
        self._outbox.put(request)
        return self._seq

    def _replace_older(self, request: vlm_pb2.SessionRequest) -> None:
        superseded = self._outbox.take_back_chunk()
        if superseded is None:
            return
        frame_ids = superseded.frame_ids
        self._fail(superseded.request_seq, FrameSuperseded(", ".join(frame_ids), frames=len(frame_ids)))
        chunk = request.append_frame if request.HasField("append_frame") else request.append_chunk
        chunk.skipped_frames += len(frame_ids) + superseded.skipped_frames

    def _ask_for(self, make: Callable[[], dict[str, Any]], *, replaces: bool = False) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = new_future(self._loop)
        error = self._ended
        if error is None:
            try:
                self._waiting[self._send(make, replaces=replaces)] = answer
            except (QueueFull, InvalidInput) as refused:
                error = refused
        if error is not None:
            answer.set_exception(error)
        return answer

    async def _read(self) -> None:
        ended: StillwingError = UnknownSession("the session is closed")
        try:
            async for response in self._call:
                try:
                    self._take(response)
                except StillwingError as error:
                    # What cannot be read is one request's own.
                    self._fail(response.request_seq, error)
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
        if kind in _RESULTS:
            if seq in self._waiting:
                result = _RESULTS[kind](getattr(response, kind))
                settle(self._waiting.pop(seq), result, None)
            return
        match kind:
            case "answer_delta":
                if seq in self._answers:
                    self._answers[seq].progress([response.answer_delta.text], None)
            case "answer_done":
                if seq in self._answers:
                    done = done_from_wire(response.answer_done)
                    self._answers.pop(seq).progress((), done)
            case "context_evicted":
                for stream in self._streams:
                    stream.put(evicted_from_wire(response.context_evicted))
            case "watch_changed":
                if seq in self._watches:
                    self._watches[seq].put(watch_changed_from_wire(response.watch_changed))
            case "watch_ended":
                if seq in self._watches:
                    self._watches.pop(seq).end()
            case "frames_dropped":
                dropped = response.frames_dropped.frame_ids
                self._fail(seq, FrameSuperseded(", ".join(dropped), frames=len(dropped)))
            case "failed":
                self._fail(seq, from_status(response.failed.status))

    def _fail(self, seq: int, error: StillwingError) -> None:
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
