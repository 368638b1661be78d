"""An engine on real time for missions on simulated time, which stands still while a request is with it.

So a mission is the same however busy the machine is, and wherever the engine is: in this process or behind a wire. It
knows no missions and no minds.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from stillwing_agent.core.lasting_session import MissionSession
from stillwing_common.types import Frame
from stillwing_lab.evaluate.simulated_loop import SimulatedLoop
from stillwing_vlm.core.protocol import Answer, SessionSource
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

_T = TypeVar("_T")


class TimedAnswer:
    """An answer that takes `thinking_s` of the loop's time, whatever it takes in truth."""

    def __init__(self, done: "asyncio.Future[AnswerDone]", answer: Answer, thinking_s: float) -> None:
        self._done = done
        self._answer = answer
        self._thinking_s = thinking_s

    async def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        yield AnswerDelta((await self.done()).text)

    async def done(self) -> AnswerDone:
        """See `Answer`."""
        done = await asyncio.shield(self._done)
        thinking_s, self._thinking_s = self._thinking_s, 0.0
        await asyncio.sleep(thinking_s)
        return done

    def cancel(self) -> None:
        """See `Answer`."""
        self._answer.cancel()


class TimedSession:
    """See `MissionSession`. `heard` is told each question before it is sent, and may change it."""

    def __init__(
        self,
        session: MissionSession,
        loop: SimulatedLoop,
        thinking_s: float,
        heard: Callable[[AskRequest], AskRequest],
        answered: Callable[[AnswerDone], None],
    ) -> None:
        self._session = session
        self._loop = loop
        self._thinking_s = thinking_s
        self._heard = heard
        self._answered = answered

    @property
    def restored_frame_id(self) -> str:
        """See `MissionSession`."""
        return self._session.restored_frame_id

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """See `VideoStream`."""
        return self._still(self._session.append(*frames, deadline_s=deadline_s, skipped_frames=skipped_frames))

    def ask(self, request: AskRequest) -> TimedAnswer:
        """See `Questions`."""
        answer = self._session.ask(self._heard(request))
        done = self._still(answer.done())
        done.add_done_callback(lambda ended: ended.cancelled() or ended.exception() or self._answered(ended.result()))
        return TimedAnswer(done, answer, self._thinking_s)

    async def ask_choice(self, request: ChoiceRequest) -> ChoiceResult:
        """See `Questions`."""
        result = await self._still(self._session.ask_choice(request))
        await asyncio.sleep(self._thinking_s)
        return result

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """See `Recall`."""
        return self._still(self._session.recall(frames))

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """See `Recall`."""
        return self._still(self._session.recall_kept(frame_ids))

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """See `Recall`."""
        return self._still(self._session.pool_vectors(texts, frame_ids))

    def evictions(self) -> AsyncIterator[Evicted]:
        """See `VideoStream`."""
        return self._session.evictions()

    async def close(self) -> None:
        """See `VideoStream`."""
        await self._still(self._session.close())

    def _still(self, awaited: Awaitable[_T]) -> "asyncio.Future[_T]":
        return still(self._loop, awaited)


class TimedEngine:
    """See `SessionSource`. An answer takes `thinking_s`; `heard` and `answered` see every question and answer."""

    def __init__(
        self,
        engine: SessionSource[MissionSession],
        loop: SimulatedLoop,
        thinking_s: float = 0.5,
        heard: Callable[[AskRequest], AskRequest] = lambda request: request,
        answered: Callable[[AnswerDone], None] = lambda done: None,
    ) -> None:
        self._engine = engine
        self._loop = loop
        self._thinking_s = thinking_s
        self._heard = heard
        self._answered = answered

    async def model_info(self) -> ModelInfo:
        """See `SessionSource`."""
        return await still(self._loop, self._engine.model_info())

    async def open_session(self, config: SessionConfig) -> TimedSession:
        """See `SessionSource`."""
        session = await still(self._loop, self._engine.open_session(config))
        return TimedSession(session, self._loop, self._thinking_s, self._heard, self._answered)


def still(loop: SimulatedLoop, awaited: Awaitable[_T]) -> "asyncio.Future[_T]":
    """The same; simulated time stands still until it is done."""
    future = asyncio.ensure_future(awaited)
    loop.begin_computing()
    future.add_done_callback(lambda _: loop.end_computing())
    return future
