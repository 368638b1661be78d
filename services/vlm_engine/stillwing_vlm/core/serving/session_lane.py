"""One session's way to the device and back: its lane, what it may hold, and calls to the event loop.

It knows no frames, questions or memory; what becomes of a request is the request's own matter.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from stillwing_common.errors import StillwingError, UnknownSession
from stillwing_vlm.core.requests import SessionConfig
from stillwing_vlm.core.serving.machinery import Machinery
from stillwing_vlm.core.serving.newest_wins import NewestWins, WaitingChunk
from stillwing_vlm.core.serving.quotas import SessionQuotas
from stillwing_vlm.core.serving.scheduler import Lane, Live, Queued

_T = TypeVar("_T")


class SessionLane:
    """Used on the event loop, but for `start` and `on_loop`, which the device's thread calls."""

    def __init__(
        self, machinery: Machinery, lane: Lane, session_id: str, config: SessionConfig, touch: Callable[[], None]
    ) -> None:
        """`touch` is called whenever the session is of use, from any thread."""
        limits = machinery.loaded.limits
        self.machinery = machinery
        self.clock = machinery.loaded.clock
        self.limits = limits
        self.observer = machinery.observer
        self.preparer = machinery.loaded.preparer
        self.briefing = config.briefing
        self.loop = asyncio.get_running_loop()
        self.quotas = SessionQuotas(machinery.quotas, config.owner, limits)
        self._lane = lane
        self._session_id = session_id
        self._frame_period_s = config.frame_period_s or limits.frame_period_s
        self._touch = touch
        self._run: NewestWins | None = None
        self._closed = False
        self._reason: StillwingError | None = None

    @property
    def is_waited_on(self) -> bool:
        """Whether a request has not begun."""
        return bool(self._lane.requests)

    def due_s(self, deadline_s: float | None = None) -> float:
        """When a request placed now should have run, on the scheduler's clock; None: a frame period from now."""
        return self.clock.monotonic_s() + (self._frame_period_s if deadline_s is None else deadline_s)

    def check_open(self) -> None:
        """Raise what ended the session, if it has ended."""
        if self._closed:
            raise self.gone()

    def prepare(self, function: Callable[..., _T], *arguments: Any) -> "Future[_T]":
        """Call it on a worker thread, for a request that is about to be placed."""
        return self.machinery.workers.submit(function, *arguments)

    def submit(self, request: Queued) -> None:
        """Put it at the lane's end. Raises QueueFull, and what ended the session; then nothing is called."""
        self._touch()
        if self._run is not None:
            # What is placed now is to see the newest frame placed before it.
            self._run.seal()
            self._run = None
        if not self.machinery.scheduler.submit(self._lane, request):
            raise self.gone()

    def replaces(self) -> bool:
        """Whether a chunk that is offered now would take the place of one that waits."""
        return self._run is not None and self._run.takes_more()

    def offer(self, chunk: WaitingChunk) -> None:
        """Place a chunk under newest-wins: among those with nothing placed behind them, or at the lane's end."""
        if self._run is not None and self._run.offer(chunk):
            return
        run = NewestWins(chunk, self.machinery.scheduler.wake)
        try:
            self.submit(run)
        except StillwingError as error:
            run.fail(error)
        else:
            self._run = run

    def start(self, live: Live) -> None:
        """Decode a branch from the next step on, from a request's `run`. Device thread."""
        self.machinery.scheduler.start_branch(self._lane, live)

    def on_device(self, function: Callable[[], Any]) -> "Future[Any]":
        """Call it on the device's thread, before anything a lane waits for."""
        return self.machinery.scheduler.call(function)

    def on_loop(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call it on the event loop, after all that was handed over before. Any thread."""
        self._touch()
        self.machinery.calls.call(function, *arguments)

    def gone(self) -> StillwingError:
        """The error of whatever comes after the end."""
        return self._reason or UnknownSession(f"session {self._session_id} is closed", session_id=self._session_id)

    async def close(self, reason: StillwingError | None) -> None:
        """End the lane: what waits fails, branches end as cancelled. `reason`: why, None where the caller closed it."""
        self._closed, self._reason = True, reason
        await asyncio.wrap_future(self.machinery.scheduler.close_lane(self._lane, self.gone()))
