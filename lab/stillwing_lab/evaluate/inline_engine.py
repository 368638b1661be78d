"""An engine for evaluation, on the event loop's own thread.

An answer takes `thinking_s` of the loop's time however long it takes to compute, so that a run is the same on every
machine, or where that is None as long as it really took. The real time is kept in `think_s`. How much of the past an
answer sees is a `MemoryMode`. It knows nothing of missions.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Self, TypeVar

from stillwing_common.errors import UnknownBackend
from stillwing_common.types import Frame
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.local import LocalSession
from stillwing_vlm.core.requests import (
    FULL_VIEW,
    AskRequest,
    ChoiceRequest,
    Eviction,
    EvictionPositions,
    SessionConfig,
    View,
)
from stillwing_vlm.core.results import (
    AnswerDelta,
    AnswerDone,
    AppendResult,
    ChoiceResult,
    Evicted,
    ModelInfo,
    Pooled,
    Provenance,
    RecallResult,
)

_T = TypeVar("_T")

Redraw = Callable[[Frame], Frame]
"""Another picture in place of one."""

RECENT_CHUNKS = 4
_UNBOUNDED_TOKENS = 1 << 17


@dataclass(frozen=True, slots=True)
class MemoryMode:
    """How much of the stream an answer sees: a view of the newest chunks, or everything in a budget of tokens.

    `gaps`: evictions leave the positions as they were.
    """

    view: View = FULL_VIEW
    max_context_tokens: int = 0
    gaps: bool = False

    @classmethod
    def named(cls, name: str) -> Self:
        """One of `stillwing_lab.evaluate.ways.MEMORIES`. Raises UnknownBackend."""
        match name:
            case "none":
                return cls(View(1))
            case "recent":
                return cls(View(RECENT_CHUNKS))
            case "window" | "bank":
                return cls()
            case "gap":
                return cls(gaps=True)
            case "unbounded":
                return cls(max_context_tokens=_UNBOUNDED_TOKENS)
        raise UnknownBackend(f"no memory is called {name!r}", name=name)


_WINDOW = MemoryMode()


class InlineAnswer:
    """An answer that is computed already and comes `thinking_s` later."""

    def __init__(self, done: AnswerDone, thinking_s: float) -> None:
        self._done = done
        self._thinking_s = thinking_s

    @property
    def provenance(self) -> Provenance:
        """What it could see."""
        return self._done.provenance

    async def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        await asyncio.sleep(self._thinking_s)
        self._thinking_s = 0.0
        yield AnswerDelta(self._done.text)

    async def done(self) -> AnswerDone:
        """See `Answer`."""
        await asyncio.sleep(self._thinking_s)
        return self._done

    def cancel(self) -> None:
        """There is nothing left to stop."""


class InlineSession:
    """A mission's session; every request is carried out when it is placed."""

    def __init__(
        self,
        session: LocalSession,
        thinking_s: float | None,
        think_s: list[float],
        memory: MemoryMode = _WINDOW,
        *,
        idle_chunks: int = 0,
        redrawn: Redraw | None = None,
    ) -> None:
        self._session = session
        self._memory = memory
        self._idle_chunks = idle_chunks
        self._redrawn = redrawn
        self._thinking_s = thinking_s
        self._think_s = think_s
        self._evicted: asyncio.Queue[Evicted] = asyncio.Queue()

    @property
    def restored_frame_id(self) -> str:
        """See `Session`; it goes on from nothing."""
        return ""

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """See `Session`."""
        result = settled(lambda: self._append(frames))
        for evicted in self._session.evicted:
            self._evicted.put_nowait(evicted)
        self._session.evicted.clear()
        return result

    def _append(self, frames: Sequence[Frame]) -> AppendResult:
        if self._idle_chunks and self._session.info().appended_frames:
            for number in range(self._idle_chunks):
                self._session.append(*(replace(frame, frame_id=f"{frame.frame_id}/idle/{number}") for frame in frames))
            self._idle_chunks = 0
        return self._session.append(*frames)

    def ask(self, request: AskRequest) -> InlineAnswer:
        """See `Session`."""
        began_s = time.perf_counter()
        done = self._session.answer(self._session.fork(replace(request, view=self._view(request.view))))
        return InlineAnswer(done, self._thought(began_s))

    async def ask_choice(self, request: ChoiceRequest) -> ChoiceResult:
        """See `Session`."""
        began_s = time.perf_counter()
        result = self._session.ask_choice(request.prompt, request.options, view=self._view(request.view))
        await asyncio.sleep(self._thought(began_s))
        return result

    def _view(self, wanted: View) -> View:
        """What an ask that leaves it open sees is the memory mode's; a narrower one keeps its own."""
        return self._memory.view if wanted == FULL_VIEW else wanted

    def _thought(self, began_s: float) -> float:
        """Note the real time since then; how much of the loop's time the answer takes."""
        taken_s = time.perf_counter() - began_s
        self._think_s.append(taken_s)
        return taken_s if self._thinking_s is None else self._thinking_s

    async def recall(self, frames: Sequence[Frame]) -> RecallResult:
        """See `Session`."""
        return self._session.recall(*self.redrawn(frames))

    def redrawn(self, frames: Sequence[Frame]) -> list[Frame]:
        """The pictures that are recalled in place of these."""
        return [frame if self._redrawn is None else self._redrawn(frame) for frame in frames]

    async def recall_kept(self, frame_ids: Sequence[str]) -> RecallResult:
        """See `Session`."""
        return self._session.recall_kept(*frame_ids)

    async def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Pooled:
        """See `Session`."""
        return self._session.pool_vectors(texts, frame_ids)

    async def evictions(self) -> AsyncIterator[Evicted]:
        """See `Session`."""
        while True:
            yield await self._evicted.get()

    async def close(self) -> None:
        """Memory goes with the object."""


class InlineEngine:
    """One loaded model; see `SessionSource`.

    A stream has `idle_chunks` behind it before it goes on from its second picture: that picture over and over, as a
    camera sees that stands still. `redrawn`, where set, changes every picture that is recalled.
    """

    session_type: ClassVar[type[InlineSession]] = InlineSession

    def __init__(
        self,
        loaded: LoadedEngine,
        thinking_s: float | None = 0.05,
        memory: MemoryMode = _WINDOW,
        *,
        idle_chunks: int = 0,
    ) -> None:
        self._loaded = loaded
        self._thinking_s = thinking_s
        self._memory = memory
        self._idle_chunks = idle_chunks
        self.redrawn: Redraw | None = None
        self.think_s: list[float] = []

    async def model_info(self) -> ModelInfo:
        """See `SessionSource`."""
        return self._loaded.info()

    async def open_session(self, config: SessionConfig) -> InlineSession:
        """See `SessionSource`."""
        if self._memory.max_context_tokens:
            config = replace(config, max_context_tokens=self._memory.max_context_tokens)
        if self._memory.gaps:
            config = replace(config, eviction=Eviction(positions=EvictionPositions.GAP))
        return self.session_type(
            LocalSession(self._loaded, config),
            self._thinking_s,
            self.think_s,
            self._memory,
            idle_chunks=self._idle_chunks,
            redrawn=self.redrawn,
        )


def settled(compute: Callable[[], _T]) -> "asyncio.Future[_T]":
    """What it computes, or the error it raises, as a future that is done."""
    future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
    try:
        future.set_result(compute())
    except Exception as error:
        future.set_exception(error)
    return future
