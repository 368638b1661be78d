"""What a motion is to the vehicle: a task that sends 50 setpoints a second of simulated time, one task at a time.

A task is a generator: each step may send one setpoint through its `Flight`, and what it returns is the answer of the
call. It knows nothing of threads or wires.
"""

from collections.abc import Generator
from concurrent.futures import Future
from typing import Protocol

from stillwing_airfield.flight.controller import Goal, VehicleState

COMMAND_PERIOD_S = 0.02
Task = Generator[None, None, bool]


class Flight(Protocol):
    """What a task sees of the vehicle: its state, the time, and a way to send a setpoint."""

    def state(self) -> VehicleState:
        """The vehicle now."""

    def time_s(self) -> float:
        """Simulated time."""

    def command(self, goal: Goal) -> None:
        """Send one setpoint."""


class MotionRefused(Exception):
    """A motion cannot start; the text is AirSim's own."""


class TaskRunner:
    """Runs one task at a time; starting another cancels the one before, whose answer is then False."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._answer: Future[bool] | None = None

    @property
    def busy(self) -> bool:
        """Whether a task is running."""
        return self._task is not None

    def start(self, task: Task) -> "Future[bool]":
        """Begin `task` now, its first setpoint included; what it raises is the answer's exception."""
        self.cancel()
        answer: Future[bool] = Future()
        self._task, self._answer = task, answer
        self.tick()
        return answer

    def tick(self) -> None:
        """One command period has passed."""
        if self._task is None or self._answer is None:
            return
        task, answer = self._task, self._answer
        try:
            next(task)
        except StopIteration as end:
            self._task = self._answer = None
            answer.set_result(bool(end.value))
        except Exception as error:  # a task that breaks must not stop the physics of everybody; its caller is told
            self._task = self._answer = None
            answer.set_exception(error)

    def cancel(self) -> None:
        """Stop what runs; its answer is False."""
        task, answer, self._task, self._answer = self._task, self._answer, None, None
        if task is not None and answer is not None:
            task.close()
            answer.set_result(False)
