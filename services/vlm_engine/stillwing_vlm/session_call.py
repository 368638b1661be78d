"""One session's call: requests in, events out.

Requests take effect in the order in which they arrive; their events come back as each is ready. A bad request is
answered in band and the session goes on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, NamedTuple

from stillwing.common.v1 import common_pb2
from stillwing.vlm.v1 import vlm_pb2
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
from stillwing_vlm.convert.asks import (
    ask_from_wire,
    choice_done_to_wire,
    choice_from_wire,
    deadline_from_wire,
    done_to_wire,
    watch_changed_to_wire,
    watch_from_wire,
)
from stillwing_vlm.convert.session import (
    appended_to_wire,
    evicted_to_wire,
    exported_to_wire,
    failed_to_wire,
    pooled_to_wire,
    recalled_to_wire,
    taken_to_wire,
)
from stillwing_vlm.core.protocol import Answer, Session, Watch

_MANY_UNSENT = 512
"""Events waiting for a slow reader before no more of its requests are taken."""

_MOST_UNSENT = 4096
"""Events waiting for a slow reader before its session is ended: what was placed before still brings some."""


class SessionCall:
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
        frames = 0 if kind is None else len(_sent(getattr(request, kind)))
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
        if kind is not None and kind in _VERBS:
            self._later(seq, _VERBS[kind], getattr(request, kind))
            return
        match kind:
            case "ask":
                self._answers[seq] = answer = session.ask(ask_from_wire(request.ask))
                self._spawn(self._stream(seq, answer))
            case "cancel_ask":
                answer_to_stop = self._answers.get(request.cancel_ask.ask_seq)
                if answer_to_stop is None:
                    raise UnknownAsk(f"no ask {request.cancel_ask.ask_seq} is under way")
                answer_to_stop.cancel()
            case "set_watch":
                self._watches[seq] = watch = session.set_watch(watch_from_wire(request.set_watch))
                self._spawn(self._follow(seq, watch))
            case "unset_watch":
                watch_to_end = self._watches.get(request.unset_watch.watch_seq)
                if watch_to_end is None:
                    raise UnknownWatch(f"no watch {request.unset_watch.watch_seq} is set")
                watch_to_end.unset()
            case "open":
                raise WrongFirstMessage("the session is open already")
            case _:
                raise UnsetOneof("request", field="request")

    def _later(self, seq: int, verb: "_Verb", message: Any) -> None:
        frame_ids = [frame.frame_id for frame in _sent(message)]

        # A callback and not a task: a task would cost each frame two more turns of the loop before its credit leaves.
        def report(done: "asyncio.Future[Any]") -> None:
            self._under_way.discard(done)
            if done.cancelled():
                return
            try:
                self._emit(seq, **{verb.event: verb.to_wire(message, done.result())})
            except FrameSuperseded:
                dropped = vlm_pb2.FramesDropped(frame_ids=frame_ids, credits=len(frame_ids))
                self._emit(seq, frames_dropped=dropped)
            except StillwingError as error:
                self._fail(seq, error, len(frame_ids))
            except Exception as error:
                self._break(error)

        placed = asyncio.ensure_future(verb.place(self._session, message))
        self._under_way.add(placed)
        placed.add_done_callback(report)

    async def _stream(self, seq: int, answer: Answer) -> None:
        try:
            async for delta in answer:
                self._emit(seq, answer_delta=vlm_pb2.AnswerDelta(text=delta.text))
            self._emit(seq, answer_done=done_to_wire(await answer.done()))
        except StillwingError as error:
            self._fail(seq, error, 0)
        finally:
            self._answers.pop(seq, None)

    async def _follow(self, seq: int, watch: Watch) -> None:
        try:
            async for event in watch:
                self._emit(seq, watch_changed=watch_changed_to_wire(event))
            self._emit(seq, watch_ended=vlm_pb2.WatchEnded())
        except StillwingError as error:
            self._fail(seq, error, 0)
        finally:
            self._watches.pop(seq, None)

    async def _watch_evictions(self) -> None:
        async for evicted in self._evictions:
            self._emit(0, context_evicted=evicted_to_wire(evicted))

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
        self._emit(seq, failed=failed_to_wire(error, credits=frames))


def _sent(message: Any) -> Sequence[common_pb2.Frame]:
    """The frames that cost a credit each."""
    if isinstance(message, vlm_pb2.AppendFrame):
        return [message.frame]
    return message.frames if isinstance(message, vlm_pb2.AppendChunk) else ()


def _append(session: Session, message: vlm_pb2.AppendFrame | vlm_pb2.AppendChunk) -> Awaitable[Any]:
    return session.append(
        *[frame_from_wire(frame) for frame in _sent(message)],
        deadline_s=deadline_from_wire(message),
        skipped_frames=message.skipped_frames,
    )


def _take_snapshot(session: Session, message: vlm_pb2.TakeSnapshot) -> Awaitable[Any]:
    return session.take_snapshot(duration_from_wire(message.ttl) if message.HasField("ttl") else None, message.name)


def _restore_event(message: vlm_pb2.RestoreSnapshot, last_frame_id: str) -> vlm_pb2.SnapshotRestored:
    return vlm_pb2.SnapshotRestored(snapshot_id=message.snapshot_id, last_frame_id=last_frame_id)


class _Verb(NamedTuple):
    """A request with one answer: `place` places its message in a session, `to_wire` makes the event of the result."""

    place: Callable[[Session, Any], Awaitable[Any]]
    event: str
    to_wire: Callable[[Any, Any], Any]


def _event(event: str, to_wire: Callable[[Any], Any]) -> tuple[str, Callable[[Any, Any], Any]]:
    return event, lambda message, result: to_wire(result)


_VERBS: Mapping[str, _Verb] = {
    "append_frame": _Verb(_append, *_event("chunk_appended", appended_to_wire)),
    "append_chunk": _Verb(_append, *_event("chunk_appended", appended_to_wire)),
    "ask_choice": _Verb(
        lambda session, message: session.ask_choice(choice_from_wire(message)),
        *_event("choice_done", choice_done_to_wire),
    ),
    "recall": _Verb(
        lambda session, message: session.recall([frame_from_wire(frame) for frame in message.frames]),
        *_event("recalled", recalled_to_wire),
    ),
    "recall_kept": _Verb(
        lambda session, message: session.recall_kept(tuple(message.frame_ids)),
        *_event("recalled", recalled_to_wire),
    ),
    "pool_vectors": _Verb(
        lambda session, message: session.pool_vectors(tuple(message.texts), tuple(message.frame_ids)),
        *_event("vectors_pooled", pooled_to_wire),
    ),
    "take_snapshot": _Verb(_take_snapshot, *_event("snapshot_taken", taken_to_wire)),
    "restore_snapshot": _Verb(
        lambda session, message: session.restore_snapshot(message.snapshot_id), "snapshot_restored", _restore_event
    ),
    "export_session": _Verb(
        lambda session, message: session.export(message.name), *_event("session_exported", exported_to_wire)
    ),
}


def _merge_deltas(unsent: vlm_pb2.SessionResponse, event: vlm_pb2.SessionResponse) -> bool:
    # A slow reader gets longer pieces, not more of them.
    if not unsent.HasField("answer_delta") or not event.HasField("answer_delta"):
        return False
    if unsent.request_seq != event.request_seq:
        return False
    unsent.answer_delta.text += event.answer_delta.text
    return True
