"""What the requests of a session have in common: limits from the placing on, and one end, told on the event loop.

It knows nothing of what is asked for.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from stillwing_vlm.core.serving.faults import fault_of
from stillwing_vlm.core.serving.quotas import Give, Resource
from stillwing_vlm.core.serving.scheduler import Request
from stillwing_vlm.core.serving.session_lane import SessionLane
from stillwing_vlm.core.streams import new_future, settle

T = TypeVar("T")


class UnderWay(ABC, Generic[T]):
    """One request. What it holds is given back at its end, however that comes; a failure is told to the observer."""

    def __init__(self, lane: SessionLane) -> None:
        self._lane = lane
        self._held: list[Give] = []
        self._over = False

    def place(self) -> None:
        """Put it into the lane, or end it with what it was refused with. Event loop."""
        try:
            self._lane.check_open()
            self._begin()
        except Exception as error:
            fault = fault_of(error)
            self._lane.observer.refused(fault.reason)
            self._end(None, fault)

    @abstractmethod
    def _begin(self) -> None:
        """Check it, hold what it counts against, start making it ready and submit it. Raises what refuses it."""

    @abstractmethod
    def _tell(self, result: T | None, error: Exception | None) -> None:
        """Tell the caller how it ended. Event loop, once."""

    def _hold(self, resource: Resource, amount: int = 1, *, replaces: bool = False) -> None:
        self._held.append(self._lane.quotas.take(resource, amount, replaces=replaces))

    def finish(self, result: T | None) -> None:
        """It came to this. Any thread; no effect where it has ended."""
        self._lane.on_loop(self._end, result, None)

    def fail(self, error: BaseException) -> None:
        """It came to nothing. Any thread; no effect where it has ended."""
        fault = fault_of(error)
        self._lane.observer.refused(fault.reason)
        self._lane.on_loop(self._end, None, fault)

    def _end(self, result: T | None, error: Exception | None) -> None:
        try:
            for give in self._held:
                give()
        finally:
            if not self._over:
                self._over = True
                self._tell(result, error)


class FutureUnderWay(UnderWay[T]):
    """One request whose caller awaits `result`, which may be left unread."""

    def __init__(self, lane: SessionLane) -> None:
        super().__init__(lane)
        self.result: asyncio.Future[T] = new_future(lane.loop)

    def _tell(self, result: T | None, error: Exception | None) -> None:
        settle(self.result, result, error)


class DeviceCall(FutureUnderWay[T]):
    """A request that is one call on the device's thread."""

    def __init__(
        self,
        lane: SessionLane,
        call: Callable[..., T],
        prepare: Callable[[], Any] | None = None,
        *,
        heavy: bool = False,
    ) -> None:
        """`call` is given what `prepare` made on a worker's thread, where there is one."""
        super().__init__(lane)
        self._call = call
        self._prepare = prepare
        self._heavy = heavy

    def _begin(self) -> None:
        ready = None if self._prepare is None else self._lane.prepare(self._prepare)
        self._lane.submit(
            Request(lambda: self._run(ready), self.fail, ready, heavy=self._heavy, deadline_s=self._lane.due_s())
        )

    def _run(self, ready: "Future[Any] | None") -> None:
        self.finish(self._call() if ready is None else self._call(ready.result()))
