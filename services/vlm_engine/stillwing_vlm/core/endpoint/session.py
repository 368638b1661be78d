"""One session with an endpoint: a window of frames, and questions that carry it along.

Requests take effect in the order in which they are placed: a question sees the frames placed before it and none placed
after it, however long it takes. All methods run on one event loop.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from stillwing_common.clock import WallClock
from stillwing_common.errors import (
    AnswerTimeout,
    ExportsOff,
    FrameNotKept,
    InvalidInput,
    OutOfCredits,
    StillwingError,
    TooManyBranches,
    Unsupported,
)
from stillwing_common.ids import new_id
from stillwing_common.types import Frame
from stillwing_vlm.core.endpoint.body import ask_body, choice_body, read_answer, read_probabilities
from stillwing_vlm.core.endpoint.checks import check_ask, check_choice
from stillwing_vlm.core.endpoint.http import Endpoint
from stillwing_vlm.core.endpoint.window import PictureBudget, Sight, Window, make_shown
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.requests import FULL_VIEW, AskRequest, ChoiceRequest, SessionConfig, View, WatchRequest
from stillwing_vlm.core.results import (
    AnswerDone,
    AppendResult,
    ChoiceResult,
    DoneReason,
    Evicted,
    ExportInfo,
    Pooled,
    Provenance,
    RecallResult,
    SessionInfo,
    SnapshotInfo,
)
from stillwing_vlm.core.streams import AsyncAnswer, EvictionStream, RunningWatch, new_future

_T = TypeVar("_T")


class EndpointSession:
    """A `Session` of an endpoint: no snapshots, exports, watches or mean vectors. Frames beyond the credits are
    refused under either policy.
    """

    restored_frame_id = ""

    def __init__(
        self,
        endpoint: Endpoint,
        config: SessionConfig,
        budget: PictureBudget,
        limits: Limits,
        forget: Callable[[str], None],
    ) -> None:
        self._endpoint = endpoint
        self._config = config
        self._budget = budget
        self._limits = limits
        self._forget = forget
        self._layout = config.layout or budget.layout
        self._window = Window(self._layout, budget.max_bytes)
        self._session_id = new_id("ses")
        self._created_wall_ns = WallClock().wall_ns()
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._appending = 0
        self._asks = 0
        self._answered = 0
        self._context_tokens = 0
        self._streams: list[EvictionStream] = []
        self._over: asyncio.Future[StillwingError | None] = new_future(asyncio.get_running_loop())

    @property
    def session_id(self) -> str:
        """Opaque id."""
        return self._session_id

    @property
    def frame_credits(self) -> int:
        """Most frames placed and not yet acknowledged."""
        return self._limits.frame_credits

    @property
    def max_context_tokens(self) -> int:
        """0: tokens are the endpoint's to count."""
        return 0

    def info(self) -> SessionInfo:
        """As it stands; `context_tokens` as the endpoint counted them for the last question."""
        sight = self._window.sight(FULL_VIEW)
        return SessionInfo(
            self._session_id,
            self._config.label,
            self._config.peer,
            self._created_wall_ns,
            context_tokens=self._context_tokens,
            max_context_tokens=0,
            sink_tokens=0,
            appended_frames=self._window.appended_frames,
            evicted_frames=self._window.evicted_frames,
            live_asks=self._asks,
            answered_asks=self._answered,
            last_frame_id=sight.last_frame_id,
            oldest_frame_id=sight.oldest_frame_id,
            layout=self._layout,
        )

    # The stream

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        """Add one chunk."""
        return self._place(self._append(frames))

    async def _append(self, frames: Sequence[Frame]) -> AppendResult:
        if not frames:
            raise InvalidInput("a chunk has at least one frame", field="frames")
        if self._appending + len(frames) > self._limits.frame_credits:
            raise OutOfCredits(f"{self._limits.frame_credits} frames", limit=self._limits.frame_credits)
        began_s = time.monotonic()
        self._appending += len(frames)
        try:
            async with self._turn:
                shown = [await asyncio.to_thread(make_shown, frame, self._budget, self._limits) for frame in frames]
                evicted = self._window.append(shown)
        finally:
            self._appending -= len(frames)
        if evicted is not None:
            for stream in self._streams:
                stream.put(replace(evicted, context_tokens=self._context_tokens))
        ids = tuple(frame.frame_id for frame in frames)
        return AppendResult(ids, 0, self._context_tokens, time.monotonic() - began_s, shown_px=shown[-1].shown_px)

    def evictions(self) -> AsyncIterator[Evicted]:
        """Every eviction after this call."""
        stream = EvictionStream()
        self._streams.append(stream)
        if self._over.done():
            stream.put(None)
        return aiter(stream)

    def recall(self, frames: Sequence[Frame]) -> Awaitable[RecallResult]:
        """Replace the recalled frames."""
        return self._place(self._recall(frames))

    async def _recall(self, frames: Sequence[Frame]) -> RecallResult:
        async with self._turn:
            shown = [await asyncio.to_thread(make_shown, frame, self._budget, self._limits) for frame in frames]
            self._window.recall(shown)
        return RecallResult(tuple(frame.frame_id for frame in frames), self._context_tokens)

    # Questions

    def ask(self, request: AskRequest) -> AsyncAnswer:
        """Ask; the answer comes whole, as one piece."""
        tasks: list[asyncio.Task[None]] = []

        def cancel() -> None:
            tasks[0].cancel()

        answer = AsyncAnswer(cancel)
        tasks.append(self._spawn(self._answer(request, answer)))
        return answer

    async def _answer(self, request: AskRequest, answer: AsyncAnswer) -> None:
        began_s = time.monotonic()
        seen = Provenance("", "", 0, 0)

        def done(text: str, reason: DoneReason, **more: Any) -> AnswerDone:
            took_s = time.monotonic() - began_s
            return AnswerDone(text, reason, seen, took_s, took_s, more.pop("answer_tokens", 0), **more)

        try:
            async with asyncio.timeout(request.deadline_s), self._asking():
                check_ask(request, self._limits)
                sight = await self._sight(request.view)
                seen = self._seen(sight)
                most = request.max_tokens or self._limits.default_answer_tokens
                body = ask_body(request, self._config.briefing, sight.pictures(), most)
                said = read_answer(await self._endpoint.complete(body), request)
            self._context_tokens = said.prompt_tokens
            seen = replace(seen, context_tokens=said.prompt_tokens)
            ended = done(
                said.text,
                said.reason,
                answer_tokens=said.answer_tokens,
                thought=said.thought,
                json=said.json,
                tool_call=said.tool_call,
            )
            answer.progress([said.text] if said.text else [], ended)
        except TimeoutError:
            answer.progress([], done("", DoneReason.DEADLINE))
        except asyncio.CancelledError:
            answer.progress([], done("", DoneReason.CANCELLED))
        except StillwingError as error:
            answer.fail(error)

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        """Score the options by the first token of an answer."""
        return self._place(self._choose(request))

    async def _choose(self, request: ChoiceRequest) -> ChoiceResult:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(request.deadline_s), self._asking():
                check_choice(request, self._limits)
                sight = await self._sight(request.view)
                body = choice_body(request, self._config.briefing, sight.pictures())
                answer = await self._endpoint.complete(body)
        except TimeoutError as error:
            raise AnswerTimeout(f"within {request.deadline_s:g} s") from error
        probabilities = read_probabilities(answer, request.options)
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return ChoiceResult(probabilities, best, self._seen(sight), time.monotonic() - began_s)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[None]:
        if self._asks >= self._limits.max_asks:
            raise TooManyBranches(f"{self._asks} asks are under way in this session", limit=self._limits.max_asks)
        self._asks += 1
        try:
            yield
            self._answered += 1
        finally:
            self._asks -= 1

    async def _sight(self, view: View) -> Sight:
        # What was placed before this has taken its turn when this gets one.
        async with self._turn:
            return self._window.sight(view)

    def _seen(self, sight: Sight) -> Provenance:
        recalled = tuple(frame.frame_id for frame in sight.recalled)
        return Provenance(
            sight.last_frame_id, sight.oldest_frame_id, self._context_tokens, self._window.evicted_frames, recalled
        )

    # What an endpoint has not

    def set_watch(self, request: WatchRequest) -> RunningWatch:
        """Refused: every chunk would be a request."""
        watch = RunningWatch(lambda: None)
        watch.end(Unsupported("an endpoint is not asked standing questions"))
        return watch

    def recall_kept(self, frame_ids: Sequence[str]) -> Awaitable[RecallResult]:
        """Refused: an endpoint keeps no keys and values."""
        return self._place(_refuse(FrameNotKept("an endpoint keeps none")))

    def pool_vectors(self, texts: Sequence[str], frame_ids: Sequence[str] = ()) -> Awaitable[Pooled]:
        """Refused: an endpoint tells no vectors."""
        return self._place(_refuse(Unsupported("an endpoint tells no mean vectors")))

    def take_snapshot(self, ttl_s: float | None = None, name: str = "") -> Awaitable[SnapshotInfo]:
        """Refused."""
        return self._place(_refuse(Unsupported("an endpoint has no snapshots")))

    def restore_snapshot(self, snapshot: str) -> Awaitable[str]:
        """Refused."""
        return self._place(_refuse(Unsupported("an endpoint has no snapshots")))

    def export(self, name: str) -> Awaitable[ExportInfo]:
        """Refused."""
        return self._place(_refuse(ExportsOff("an endpoint keeps none")))

    # The end

    async def close(self) -> None:
        """End it; questions under way end as cancelled."""
        if self._over.done():
            return
        self._over.set_result(None)
        self._forget(self._session_id)
        for stream in self._streams:
            stream.put(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_closed(self) -> StillwingError | None:
        """Wait for the end."""
        return await asyncio.shield(self._over)

    def _place(self, work: Coroutine[Any, Any, _T]) -> "asyncio.Future[_T]":
        task = self._spawn(work)
        # A result may be left unread.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> "asyncio.Task[_T]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _refuse(error: StillwingError) -> Any:
    raise error
