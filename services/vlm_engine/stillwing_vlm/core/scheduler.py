"""The one thread that owns the device, and what it does next.

Each session has a lane: its requests, in order. A turn runs what is light and at the head of a lane (forks, snapshots,
cancels), then one decoding step for all live branches of all lanes together, then at most one heavy request (an
append, a recall) of the next lane in the round. So a stream of frames never starves an answer, nor a long answer the
frames, and no lane another.

It knows nothing of frames, questions or event loops: requests are callables, and they report for themselves.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from stillwing_common.errors import InternalFault, StillwingError
from stillwing_vlm.core.backend import Backend
from stillwing_vlm.core.branch import Branch

_log = logging.getLogger("stillwing.vlm.scheduler")


@dataclass(slots=True, eq=False)
class Request:
    """One request of a lane. `run` is called on the device's thread once `ready` (if any) has a result or an error.

    `fail` is called instead where the lane closes first, or `run` raises; each request gets exactly one end.
    """

    run: Callable[[], None]
    fail: Callable[[Exception], None]
    ready: "Future[Any] | None" = None
    heavy: bool = False

    def is_ready(self) -> bool:
        """Whether it can run now."""
        return self.ready is None or self.ready.done()


@dataclass(slots=True, eq=False)
class Live:
    """A branch being decoded; `progressed` is called after each step that was its own."""

    branch: Branch
    progressed: Callable[[], None]
    fail: Callable[[Exception], None]


@dataclass(slots=True, eq=False)
class Lane:
    """One session's requests and branches."""

    requests: deque[Request] = field(default_factory=deque)
    live: list[Live] = field(default_factory=list)
    closed: bool = False


class DeviceLoop:
    """Runs lanes on a thread of its own. Methods may be called from any thread unless they say otherwise."""

    def __init__(self, backend: Backend, name: str = "device") -> None:
        self._backend = backend
        self._changed = threading.Condition()
        self._lanes: deque[Lane] = deque()
        self._control: deque[Request] = deque()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def add_lane(self) -> Lane:
        """A new, empty lane."""
        lane = Lane()
        with self._changed:
            self._lanes.append(lane)
        return lane

    def submit(self, lane: Lane, request: Request) -> bool:
        """Put a request at the lane's end; False where the lane is closed, and then nothing is called."""
        with self._changed:
            if lane.closed or self._stopping:
                return False
            lane.requests.append(request)
            self._changed.notify()
        if request.ready is not None:
            request.ready.add_done_callback(self._wake)
        return True

    def call(self, function: Callable[[], Any]) -> "Future[Any]":
        """Run a function on the device's thread, before anything a lane waits for."""
        found: Future[Any] = Future()

        def run() -> None:
            if not found.cancelled():
                found.set_result(function())

        with self._changed:
            if self._stopping:
                found.set_exception(RuntimeError("the device loop has stopped"))
                return found
            self._control.append(Request(run, found.set_exception))
            self._changed.notify()
        return found

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
            for live in lane.live:
                live.branch.cancel()
                live.progressed()
            lane.live.clear()
            for request in waiting:
                request.fail(reason)

        return self.call(close)

    def stop(self) -> None:
        """End the thread after its present turn. Lanes are to be closed first."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()

    def _wake(self, _: Any) -> None:
        with self._changed:
            self._changed.notify()

    # The device's thread

    def _loop(self) -> None:
        while True:
            with self._changed:
                while not self._has_work():
                    if self._stopping:
                        return
                    self._changed.wait()
            self._turn()

    def _has_work(self) -> bool:
        return bool(self._control) or any(
            lane.live or (lane.requests and lane.requests[0].is_ready()) for lane in self._lanes
        )

    def _turn(self) -> None:
        while (request := self._next_light()) is not None:
            self._run(request)
        self._step()
        heavy = self._next_heavy()
        if heavy is not None:
            self._run(heavy)

    def _next_light(self) -> Request | None:
        with self._changed:
            if self._control:
                return self._control.popleft()
            for lane in self._lanes:
                if lane.requests and not lane.requests[0].heavy and lane.requests[0].is_ready():
                    return lane.requests.popleft()
        return None

    def _next_heavy(self) -> Request | None:
        with self._changed:
            for _ in range(len(self._lanes)):
                lane = self._lanes[0]
                self._lanes.rotate(-1)
                if lane.requests and lane.requests[0].heavy and lane.requests[0].is_ready():
                    return lane.requests.popleft()
        return None

    def _run(self, request: Request) -> None:
        try:
            request.run()
        except StillwingError as error:
            request.fail(error)
        except Exception as error:
            _log.exception("a request broke")
            fault = InternalFault(type(error).__name__)
            fault.__cause__ = error
            request.fail(fault)

    def _step(self) -> None:
        with self._changed:
            lanes = list(self._lanes)
        pairs = [(lane, live) for lane in lanes for live in lane.live if not live.branch.finished]
        if pairs:
            try:
                self._decode([live for _, live in pairs])
            except Exception as error:
                _log.exception("a decoding step broke")
                for _, live in pairs:
                    live.branch.cancel()
                    live.fail(InternalFault(f"while decoding: {type(error).__name__}"))
            for _, live in pairs:
                live.progressed()
        for lane in lanes:
            if lane.live:
                lane.live = [live for live in lane.live if not live.branch.finished]

    def _decode(self, lives: Sequence[Live]) -> None:
        parts = [live.branch.rows() for live in lives]
        logits = self._backend.step([row for rows in parts for row in rows])
        at = 0
        for live, rows in zip(lives, parts, strict=True):
            live.branch.accept(logits[at : at + len(rows)])
            at += len(rows)
