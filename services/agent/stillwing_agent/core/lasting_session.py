"""A mission's session that outlives its engine: where the engine dies, the same object goes on in a new session.

While there is no engine every request fails with EngineAway. `reopen` opens the session anew, from its newest export
where there is one, and appends the frames since; who may wait how long for that is not known here. Nothing is asked
again by itself: an answer that was lost is for its asker to ask for. All methods run on one event loop.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from stillwing_common.errors import (
    EngineAway,
    EngineGone,
    ExportUnusable,
    StillwingError,
    Unavailable,
    UnknownExport,
    UnknownSession,
)
from stillwing_common.types import Frame
from stillwing_vlm.core.protocol import Answer, Questions, Recall, SessionSource, VideoStream
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, SessionConfig
from stillwing_vlm.core.results import (
    AnswerDelta,
    AnswerDone,
    AppendResult,
    ChoiceResult,
    Evicted,
    ModelInfo,
    Pooled,
    RecallResult,
)

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

_GONE = (Unavailable, UnknownSession)
"""What requests fail with where the engine, or the session with it, is no more; none of their kinds."""

_REMEMBERED_EVICTIONS = 1024
_CLOSE_LIMIT_S = 3.0

FramesSince = Callable[[str], Sequence[Frame]]
"""The frames at hand that came after one, oldest first; after "", those that were in sight."""


class MissionSession(VideoStream, Questions, Recall, Protocol):
    """What a mission needs of a session."""

    @property
    def restored_frame_id(self) -> str:
        """Newest frame of the export it goes on from, or ""."""


@dataclass(frozen=True, slots=True)
class Reopened:
    """How a session came back: newest frame of the export it goes on from, "" without one, and frames appended."""

    restored_frame_id: str
    frames: int


class LastingSession:
    """A `MissionSession` over one engine's sessions, one after another."""

    def __init__(
        self,
        source: SessionSource[MissionSession],
        model: ModelInfo,
        config: SessionConfig,
        inner: MissionSession,
        on_lost: Callable[[EngineAway], None],
    ) -> None:
        """See `open`."""
        self._source = source
        self._model = model
        self._config = config
        self._inner = inner
        self._evictions = inner.evictions()
        self._told: dict[str, None] = {}
        self._on_lost = on_lost
        self._error: EngineAway | None = None
        self._closing = False
        self._lost = asyncio.Event()
        self._back = asyncio.Event()

    @classmethod
    async def open(
        cls,
        source: SessionSource[MissionSession],
        model: ModelInfo,
        config: SessionConfig,
        on_lost: Callable[[EngineAway], None],
    ) -> "LastingSession":
        """Open the first session; `model` is what has to be loaded later, too. `on_lost` is called at each loss.

        Raises as `open_session` does.
        """
        return cls(source, model, config, await source.open_session(config), on_lost)

    # Whether the engine is there

    def check(self) -> None:
        """Raise EngineAway where there is no engine."""
        if self._error is not None:
            raise EngineAway(self._error.detail)

    async def wait_lost(self) -> None:
        """Wait until the engine is gone."""
        await self._lost.wait()

    async def wait_back(self) -> None:
        """Wait until there is an engine."""
        if self._error is not None:
            await self._back.wait()

    async def while_there(self, waiting: Awaitable[_T]) -> _T:
        """Wait for something that comes only as long as the engine is there. Raises EngineAway."""
        task, lost = asyncio.ensure_future(waiting), asyncio.ensure_future(self._lost.wait())
        try:
            await asyncio.wait({task, lost}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            self.check()
            return await task
        finally:
            for each in (task, lost):
                each.cancel()
            await asyncio.gather(task, lost, return_exceptions=True)

    async def reopen(self, frames_since: FramesSince) -> Reopened:
        """Go on in a new session, once; frames come to it one at a time, as they came to the one before.

        Raises Unavailable where the engine is not back, EngineGone where another model is loaded, and what opening and
        appending raise; then there still is none.
        """
        await self._close_inner()
        model = await self._source.model_info()
        if (model.engine, model.model, model.chat) != (self._model.engine, self._model.model, self._model.chat):
            raise EngineGone(f"it came back with another model: {model.model}", model=model.model)
        inner = await self._open_again()
        self._inner, self._evictions = inner, inner.evictions()
        frames = frames_since(inner.restored_frame_id)
        for frame in frames:
            await inner.append(frame)
        self._error = None
        self._lost.clear()
        self._back.set()
        return Reopened(inner.restored_frame_id, len(frames))

    async def _open_again(self) -> MissionSession:
        export = self._config.periodic_export
        if export is not None:
            # Prompt, tools, budget and layout are those of the export.
            resumed = replace(
                self._config, from_export=export.name, tools=(), max_context_tokens=0, layout=None, eviction=None
            )
            try:
                return await self._source.open_session(resumed)
            except (UnknownExport, ExportUnusable) as error:
                _log.warning("the session begins anew: %s", error)
        return await self._source.open_session(self._config)

    def _lose(self, inner: MissionSession, why: StillwingError) -> EngineAway:
        error = EngineAway(str(why.detail or why))
        if inner is self._inner and self._error is None and not self._closing:
            self._error = error
            self._back.clear()
            self._lost.set()
            self._on_lost(error)
        return error

    # What a mission asks of it

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """See `VideoStream`. Raises EngineAway at once where there is no engine."""
        self.check()
        placed = self._inner.append(*frames, deadline_s=deadline_s, skipped_frames=skipped_frames)
        return _Watched(self._lose, self._inner, placed)

    async def evictions(self) -> AsyncIterator[Evicted]:
        """See `VideoStream`; what left the window once is not told again where a session goes on from an export."""
        while True:
            inner = self._inner
            async for evicted in self._evictions:
                if fresh := self._untold(evicted):
                    yield fresh
            self._lose(inner, Unavailable("the engine ended the session"))
            await self.wait_back()

    def _untold(self, evicted: Evicted) -> Evicted | None:
        fresh = tuple(one for one in evicted.frame_ids if one not in self._told)
        self._told |= dict.fromkeys(fresh)
        while len(self._told) > _REMEMBERED_EVICTIONS:
            del self._told[next(iter(self._told))]
        keys = tuple(one for one in evicted.frame_keys if one.frame_id in fresh)
        return replace(evicted, frame_ids=fresh, frame_keys=keys) if fresh else None

    def ask(self, request: AskRequest) -> Answer:
        """See `Questions`. Raises EngineAway at once where there is no engine."""
        self.check()
        return _LastingAnswer(self._lose, self._inner, self._inner.ask(request))

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """See `Questions`. Raises EngineAway at once where there is no engine."""
        self.check()
        return _Watched(self._lose, self._inner, self._inner.ask_choice(request))

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """See `Recall`. Raises EngineAway at once where there is no engine."""
        self.check()
        return _Watched(self._lose, self._inner, self._inner.recall(frames))

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """See `Recall`. Raises EngineAway at once where there is no engine."""
        self.check()
        return _Watched(self._lose, self._inner, self._inner.recall_kept(frame_ids))

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """See `Recall`. Raises EngineAway at once where there is no engine."""
        self.check()
        return _Watched(self._lose, self._inner, self._inner.pool_vectors(texts, frame_ids))

    async def close(self) -> None:
        """End the session."""
        self._closing = True
        await self._inner.close()

    async def _close_inner(self) -> None:
        """Let the lost session go: what is left of it must not stand beside the new one."""
        try:
            async with asyncio.timeout(_CLOSE_LIMIT_S):
                await self._inner.close()
        except (TimeoutError, StillwingError) as error:
            _log.info("the lost session could not be closed: %s", error or "no answer")


_Lose = Callable[[MissionSession, StillwingError], EngineAway]


class _Watched(Generic[_T]):
    """A request's result, which says EngineAway where the engine is gone."""

    def __init__(self, lose: _Lose, inner: MissionSession, placed: Awaitable[_T]) -> None:
        self._lose = lose
        self._inner = inner
        self._placed = placed

    def __await__(self) -> Generator[object, None, _T]:
        try:
            return (yield from self._placed.__await__())
        except _GONE as error:
            if type(error) not in _GONE:
                raise
            raise self._lose(self._inner, error) from error


class _LastingAnswer:
    """An `Answer`, which says EngineAway where the engine is gone."""

    def __init__(self, lose: _Lose, inner: MissionSession, answer: Answer) -> None:
        self._lose = lose
        self._inner = inner
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        try:
            async for delta in self._answer:
                yield delta
        except _GONE as error:
            if type(error) not in _GONE:
                raise
            raise self._lose(self._inner, error) from error

    async def done(self) -> AnswerDone:
        try:
            return await self._answer.done()
        except _GONE as error:
            if type(error) not in _GONE:
                raise
            raise self._lose(self._inner, error) from error

    def cancel(self) -> None:
        self._answer.cancel()
