"""Real time that drives a simulation: a thread that takes the steps that are due, pauses, and stretches of time.

It knows no simulator: what a step is and what to do when one breaks is its owner's. Methods may be called from any
thread; the owner's lock is held while steps are taken, and given up between them.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future

from stillwing_airfield.clock import SteppableClock

# Steps taken in one hold of the lock, and the shortest nap between two: 10 ms of simulated time.
_STEPS_AT_ONCE = 4
_STEPS_PER_NAP = 2


class LiveTime:
    """Begins with `start`, ends with `stop`, and may begin again. `step` takes one step and tells the clock."""

    def __init__(
        self, clock: SteppableClock, lock: threading.RLock, step: Callable[[], None], on_fault: Callable[[], None]
    ) -> None:
        """`on_fault` is called, with the lock held, when a step has raised: time stands still for good."""
        self._clock = clock
        self._wake = threading.Condition(lock)
        self._step = step
        self._on_fault = on_fault
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._stretch: tuple[int, Future[None]] | None = None
        self.fault: BaseException | None = None

    @property
    def running(self) -> bool:
        """Whether real time drives the simulation."""
        return self._thread is not None

    def start(self) -> None:
        """Let time run from now on."""
        self._stopping = False
        self._clock.pause(False)
        self._thread = threading.Thread(target=self._keep_time, name="airfield-physics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread, and the stretch under way; idempotent."""
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with self._wake:
            self._end_stretch()

    def pause(self, paused: bool) -> None:
        """Let time stand still, or go on; either ends a stretch under way."""
        with self._wake:
            self._clock.pause(paused)
            self._end_stretch()
            self._wake.notify_all()

    def continue_for(self, seconds: float) -> Future[None]:
        """Let simulated `seconds` pass, then pause; the future is done then, or when something else pauses."""
        done: Future[None] = Future()
        with self._wake:
            self._end_stretch()
            self._stretch = (self._clock.continue_for(seconds), done)
            self._settle_stretch()
            self._wake.notify_all()
        return done

    def _settle_stretch(self) -> None:
        if self._stretch is not None and self._clock.steps >= self._stretch[0]:
            self._end_stretch()

    def _end_stretch(self) -> None:
        if self._stretch is not None:
            done, self._stretch = self._stretch[1], None
            done.set_result(None)

    def _keep_time(self) -> None:
        """Body of the thread: take what is due, nap, again. If it breaks, whoever asks is told so."""
        try:
            self._run_until_stopped()
        except BaseException as fault:
            with self._wake:
                self.fault = fault
                self._on_fault()
                self._end_stretch()
            raise

    def _run_until_stopped(self) -> None:
        while True:
            with self._wake:
                if self._stopping:
                    return
                due = self._clock.due()
                if not due:
                    self._wake.wait(self._clock.until_due_s(_STEPS_PER_NAP))
                    continue
                for _ in range(min(due, _STEPS_AT_ONCE)):
                    self._step()
                self._settle_stretch()
