"""What the device does next: lanes of requests, branches under way, and one turn after another.

Each session has a lane: its requests, in order. A turn runs what is light and at the head of a lane (forks, snapshots,
cancels), then one decoding step for all live branches of all lanes together, then at most one heavy request (an append,
a recall, an opening): of those ready, the one whose lane has the earliest deadline. So a long answer delays an append
by at most one step, an append delays an answer by at most one append, and as every deadline is a bounded time after its
request, a lane that asks often cannot starve one that asks rarely.

What breaks in one request or one branch ends that one, with its own reason; all others go on as if it had not been
there.

It knows nothing of frames, questions, threads of its own or event loops: `core.serving.device` turns it, requests are
callables and report for themselves.
"""

import itertools
import logging
import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from stillwing_common.clock import Clock
from stillwing_common.errors import QueueFull, StillwingError
from stillwing_vlm.core.backend import Backend, Row
from stillwing_vlm.core.memory.branch import Branch
from stillwing_vlm.core.serving.faults import fault_of, unfailing
from stillwing_vlm.core.serving.observer import Observer, SilentObserver

MAX_READS = 256
"""Reads of the engine's state that may wait for the device at once."""

MAX_STEP_TOKENS = 512
"""Tokens of questions fed in one step, so that a step stays short however many questions begin together."""

_ANSWERING_TOKENS = 32
"""A branch that feeds at most this many tokens is past its question and takes part in every step."""

_log = logging.getLogger("stillwing.vlm.scheduler")

_Result = TypeVar("_Result")


class Queued(Protocol):
    """Something that waits in a lane. It gets one end: `run` until it is spent, or `fail`."""

    heavy: bool

    @property
    def deadline_s(self) -> float:
        """When it should have run, on the scheduler's clock."""

    def is_ready(self) -> bool:
        """Whether it can run now."""

    def run(self) -> None:
        """Carry it out, on the device's thread, once it is ready."""

    def spent(self) -> bool:
        """Asked after `run`: whether it leaves the lane; otherwise it stays at the head."""

    def fail(self, error: Exception) -> None:
        """Called instead of `run` where the lane closes first, or where `run` raised."""


@dataclass(slots=True, eq=False)
class Request:
    """A request that runs once. `run` is called when `ready` (if any) has a result or an error."""

    run: Callable[[], None]
    fail: Callable[[Exception], None]
    ready: "Future[Any] | None" = None
    heavy: bool = False
    deadline_s: float = math.inf

    def is_ready(self) -> bool:
        """Whether it can run now."""
        return self.ready is None or self.ready.done()

    def spent(self) -> bool:
        """It always is."""
        return True


@dataclass(slots=True, eq=False)
class Live:
    """A branch being decoded; `progressed` is called after each step that was its own.

    Where `expires_s` passes first, `expired` is called, which is to end the branch.
    """

    branch: Branch
    progressed: Callable[[], None]
    fail: Callable[[Exception], None]
    deadline_s: float = math.inf
    expires_s: float = math.inf
    expired: Callable[[], None] = lambda: None
    broken: bool = False

    def is_over(self) -> bool:
        """Whether it takes part in no further step."""
        return self.broken or self.branch.finished


@dataclass(slots=True, eq=False)
class Lane:
    """One session's requests and branches; at most `capacity` requests wait."""

    capacity: int
    requests: deque[Queued] = field(default_factory=deque)
    live: list[Live] = field(default_factory=list)
    closed: bool = False
    order: int = 0

    def urgency(self) -> tuple[float, int]:
        """The earliest deadline in the lane: what stands behind a request lends it its own."""
        return min(_deadline_s(request) for request in self.requests), self.order


class Scheduler:
    """Lanes and turns. `turn` belongs to the device's thread; other methods to any, unless they say otherwise."""

    def __init__(self, backend: Backend, clock: Clock, observer: Observer | None = None) -> None:
        self._backend = backend
        self._clock = clock
        self._observer = observer or SilentObserver()
        self._changed = threading.Condition()
        self._orders = itertools.count()
        self._lanes: list[Lane] = []
        self._control: deque[Request] = deque()
        self._reads = 0
        self._stopping = False

    # Placing

    def add_lane(self, capacity: int = 64) -> Lane:
        """A new, empty lane."""
        with self._changed:
            lane = Lane(capacity, order=next(self._orders))
            self._lanes.append(lane)
        return lane

    def submit(self, lane: Lane, request: Queued) -> bool:
        """Put a request at the lane's end; False where the lane is closed, and then nothing is called.

        Raises QueueFull where too many wait already.
        """
        with self._changed:
            if lane.closed or self._stopping:
                return False
            if len(lane.requests) >= lane.capacity:
                raise QueueFull(f"{lane.capacity} of this session are waiting", limit=lane.capacity)
            lane.requests.append(request)
            self._changed.notify()
        if isinstance(request, Request) and request.ready is not None:
            request.ready.add_done_callback(lambda _: self.wake())
        return True

    def call(self, function: Callable[[], Any], *, read: bool = False) -> "Future[Any]":
        """Run a function on the device's thread, before anything a lane waits for.

        A `read` is refused with QueueFull where too many wait; what ends things never is.
        """
        future: Future[Any] = Future()

        def run() -> None:
            if read:
                with self._changed:
                    self._reads -= 1
            if future.set_running_or_notify_cancel():
                future.set_result(function())

        def fail(error: Exception) -> None:
            if not future.done():
                future.set_exception(error)

        with self._changed:
            if self._stopping:
                future.set_exception(RuntimeError("the device loop has stopped"))
                return future
            if read and self._reads >= MAX_READS:
                future.set_exception(QueueFull(f"{MAX_READS} reads are waiting", limit=MAX_READS))
                return future
            self._reads += read
            self._control.append(Request(run, fail))
            self._changed.notify()
        return future

    def start_branch(self, lane: Lane, live: Live) -> None:
        """Decode a branch from the next step on. Device thread only, from a request's `run`."""
        lane.live.append(live)

    def close_lane(self, lane: Lane, reason: Exception) -> "Future[Any]":
        """End a lane: waiting requests fail with `reason`, live branches end as cancelled."""

        def close() -> None:
            with self._changed:
                lane.closed = True
                waiting = list(lane.requests)
                lane.requests.clear()
                if lane in self._lanes:
                    self._lanes.remove(lane)
            lives, lane.live = lane.live, []
            for live in lives:
                unfailing(live.branch.cancel)
                unfailing(live.progressed)
            for request in waiting:
                unfailing(request.fail, reason)

        return self.call(close)

    def wake(self) -> None:
        """Look again: something that waits has become ready."""
        with self._changed:
            self._changed.notify()

    # Turning

    def stop(self) -> None:
        """No more requests are taken; `wait` then says so."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def wait(self) -> bool:
        """Wait until there is something to do; False once it is stopped and nothing is left."""
        with self._changed:
            while not self.has_work():
                if self._stopping:
                    return False
                self._changed.wait()
        return True

    def has_work(self) -> bool:
        """Whether a turn would do anything."""
        return bool(self._control) or any(
            lane.live or (lane.requests and _is_ready(lane.requests[0])) for lane in self._lanes
        )

    def waiting(self) -> int:
        """Requests in all lanes that have not begun."""
        with self._changed:
            return sum(len(lane.requests) for lane in self._lanes)

    def turn(self) -> None:
        """What is light, one step, one heavy request."""
        self._run_light()
        self._step()
        self._run_heavy()

    def _run_light(self) -> None:
        with self._changed:
            # What is placed during a turn waits for the next one, so that a flood of light requests stops nobody.
            control = [self._control.popleft() for _ in range(len(self._control))]
            waiting = [(lane, len(lane.requests)) for lane in self._lanes if _has_light(lane)]
        for request in control:
            self._run(None, request)
        for lane, most in waiting:
            for _ in range(most):
                with self._changed:
                    if not _has_light(lane):
                        break
                    head = lane.requests[0]
                self._run(lane, head)

    def _run_heavy(self) -> None:
        with self._changed:
            ready = [lane for lane in self._lanes if _has_heavy(lane)]
            if not ready:
                return
            lane = min(ready, key=Lane.urgency)
            request = lane.requests[0]
            # Where deadlines are equal, lanes take turns.
            lane.order = next(self._orders)
        self._run(lane, request)

    def _run(self, lane: Lane | None, request: Queued) -> None:
        try:
            request.run()
        except StillwingError as error:
            unfailing(request.fail, error)
        except BaseException as error:  # a library's panic is no Exception
            _log.exception("a request broke")
            unfailing(request.fail, fault_of(error))
        if lane is None:
            return
        with self._changed:
            # It stayed at the head while it ran, so that what was placed meanwhile knew what it stands behind.
            if _is_spent(request) and lane.requests and lane.requests[0] is request:
                lane.requests.popleft()

    def _step(self) -> None:
        with self._changed:
            lanes = list(self._lanes)
        now_s = self._clock.monotonic_s()
        going = [sized for lane in lanes for live in lane.live if (sized := self._sized(live, now_s)) is not None]
        batch = _batch(going)
        if batch:
            self._decode(batch)
            self._observer.stepped(len(batch), self._clock.monotonic_s() - now_s)
            for live in batch:
                self._alone(live, live.progressed)
        for lane in lanes:
            if lane.live:
                lane.live = [live for live in lane.live if not live.broken and not self._alone(live, live.is_over)]

    def _sized(self, live: Live, now_s: float) -> tuple[Live, int] | None:
        """A branch that goes on, with the tokens that it feeds next; one past its time is ended."""

        def size() -> int | None:
            if live.expires_s <= now_s and not live.branch.finished:
                live.expired()
                live.progressed()
            return None if live.branch.finished else live.branch.next_tokens

        tokens = None if live.broken else self._alone(live, size)
        return None if tokens is None else (live, tokens)

    def _decode(self, lives: Sequence[Live]) -> None:
        fed = [(live, rows) for live in lives if (rows := self._alone(live, live.branch.rows)) is not None]
        if fed:
            self._feed(fed)

    def _feed(self, fed: Sequence[tuple[Live, list[Row]]]) -> None:
        try:
            outcomes = self._backend.advance([row for _, rows in fed for row in rows])
        except BaseException as error:
            if len(fed) == 1:
                self._end(fed[0][0], error)
                return
            # None of them has been fed; whose rows broke the pass shows where each is fed alone.
            for one in fed:
                self._feed([one])
            return
        at = 0
        for live, rows in fed:
            self._alone(live, partial(live.branch.accept, outcomes[at : at + len(rows)]))
            at += len(rows)

    def _alone(self, live: Live, act: Callable[[], _Result]) -> _Result | None:
        """What `act` gives; where it breaks, that branch alone ends, and the result is None."""
        try:
            return act()
        except BaseException as error:
            self._end(live, error)
            return None

    def _end(self, live: Live, error: BaseException) -> None:
        if live.broken:
            return
        live.broken = True
        if not isinstance(error, StillwingError):
            _log.error("a branch broke", exc_info=error)
        unfailing(live.branch.cancel)
        unfailing(live.fail, fault_of(error))
        unfailing(live.progressed)


def _is_ready(request: Queued) -> bool:
    try:
        return request.is_ready()
    except BaseException:
        return True  # `run` then fails in its own name


def _is_spent(request: Queued) -> bool:
    try:
        return request.spent()
    except BaseException:
        _log.exception("a request broke")
        return True


def _deadline_s(request: Queued) -> float:
    try:
        return request.deadline_s
    except BaseException:
        return -math.inf


def _has_light(lane: Lane) -> bool:
    return bool(lane.requests) and not lane.requests[0].heavy and _is_ready(lane.requests[0])


def _has_heavy(lane: Lane) -> bool:
    return bool(lane.requests) and lane.requests[0].heavy and _is_ready(lane.requests[0])


def _batch(going: Sequence[tuple[Live, int]]) -> list[Live]:
    """All that are answering, and of those still reading their questions as many as a step holds, at least one."""
    answering = [live for live, tokens in going if tokens <= _ANSWERING_TOKENS]
    asking = sorted(
        ((live, tokens) for live, tokens in going if tokens > _ANSWERING_TOKENS), key=lambda each: each[0].deadline_s
    )
    room = MAX_STEP_TOKENS
    for place, (live, tokens) in enumerate(asking):
        room -= tokens
        if place == 0 or room >= 0:
            answering.append(live)
    return answering
