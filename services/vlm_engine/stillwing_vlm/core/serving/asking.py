"""Asks and choices between the event loop, where their answers are read, and the device, where they are decoded.

It knows nothing of order, limits or transports.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from stillwing_common.clock import Clock
from stillwing_common.errors import AnswerTimeout, UnknownSession
from stillwing_vlm.core.base import AnswerDone, ChoiceResult, DoneReason, Provenance
from stillwing_vlm.core.memory.branch import AskBranch, ChoiceBranch
from stillwing_vlm.core.serving.observer import Observer
from stillwing_vlm.core.serving.scheduler import Live, fault_of
from stillwing_vlm.core.streams import AsyncAnswer, settle

_ASK_PATIENCE_S = 1.0
"""Deadline of a question that carries none: questions begun later cannot keep it waiting for longer."""


def deadlines(placed_s: float, deadline_s: float | None) -> tuple[float, float]:
    """When a question should be read, and when its answer ends at the latest."""
    if deadline_s is None:
        return placed_s + _ASK_PATIENCE_S, float("inf")
    return placed_s + deadline_s, placed_s + deadline_s


class AskUnderWay:
    """Made on the event loop; all but `answer` belongs to the device's thread from then on."""

    def __init__(
        self,
        placed_s: float,
        clock: Clock,
        observer: Observer,
        on_loop: Callable[..., None],
        on_device: Callable[[Callable[[], None]], Any],
        release: Callable[[AskBranch], None],
        ended: Callable[[], None],
    ) -> None:
        """`on_loop` and `on_device` carry calls over; `release` lets the branch go; `ended` is called on the loop."""
        self.answer = AsyncAnswer(self._cancel)
        self._placed_s = placed_s
        self._clock = clock
        self._observer = observer
        self._on_loop = on_loop
        self._on_device = on_device
        self._release = release
        self._ended = ended
        self._branch: AskBranch | None = None
        self._cancelled = False
        self._tokens = 0
        self._grown_s = placed_s

    def fork(self, branch: AskBranch) -> Live:
        """The branch is there. Device thread, as all that follows."""
        self._branch = branch
        if self._cancelled:
            branch.cancel()
            self._progressed()
        return Live(branch, self._progressed, self.fail, expired=lambda: branch.cancel(DoneReason.DEADLINE))

    def fail(self, error: Exception) -> None:
        """There is no answer, or no more of it. Where a fork came, its end follows by `_progressed`."""
        if self._branch is None:
            self._on_loop(self._ended)
        if isinstance(error, UnknownSession):
            # The session was closed before the fork: under way, and it saw nothing.
            elapsed_s = self._clock.monotonic_s() - self._placed_s
            nothing = AnswerDone("", DoneReason.CANCELLED, Provenance("", "", 0, 0), elapsed_s, elapsed_s, 0)
            self._on_loop(self.answer.progress, (), nothing)
        else:
            self._observer.refused(fault_of(error).reason)
            self._on_loop(self.answer.fail, error)

    def _cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._on_device(self._stop)

    def _stop(self) -> None:
        if self._branch is not None and not self._branch.finished:
            self._branch.cancel()
            self._progressed()

    def _progressed(self) -> None:
        branch = self._branch
        assert branch is not None
        self._observe(branch)
        deltas = branch.take_deltas()
        if branch.finished:
            self._release(branch)
            self._on_loop(self._ended)
        if deltas or branch.finished:
            self._on_loop(self.answer.progress, deltas, branch.done)

    def _observe(self, branch: AskBranch) -> None:
        observer, tokens = self._observer, branch.answer_tokens
        if tokens > self._tokens:
            now_s = self._clock.monotonic_s()
            if self._tokens == 0:
                observer.first_token(now_s - self._placed_s)
            else:
                observer.tokens(tokens - self._tokens, now_s - self._grown_s)
            self._tokens, self._grown_s = tokens, now_s
        if branch.done is not None:
            observer.answer_ended(branch.done.reason)


class ChoiceUnderWay:
    """One question with its options, from its fork to its scores."""

    def __init__(
        self,
        found: "asyncio.Future[ChoiceResult]",
        deadline_s: float | None,
        on_loop: Callable[..., None],
        release: Callable[[ChoiceBranch], None],
        ended: Callable[[], None],
    ) -> None:
        """`found` is settled and `ended` called on the loop; `release` lets the branch go."""
        self._found = found
        self._deadline_s = deadline_s
        self._on_loop = on_loop
        self._release = release
        self._ended = ended
        self._reason: Exception | None = None

    def fork(self, branch: ChoiceBranch, closed: Exception) -> Live:
        """The branch is there; `closed` is why it has no scores where nothing else is. Device thread, as all else."""
        self._reason = closed

        def progressed() -> None:
            if branch.finished:
                self._release(branch)
                self._on_loop(self._end, branch.done, None if branch.done is not None else self._reason)

        def stop(error: Exception) -> None:
            self._reason = error
            branch.cancel()

        def expired() -> None:
            stop(AnswerTimeout(f"not scored within {self._deadline_s:g} s", deadline_s=self._deadline_s))

        return Live(branch, progressed, stop, expired=expired)

    def fail(self, error: Exception) -> None:
        """There was no fork."""
        self._on_loop(self._end, None, error)

    def _end(self, result: ChoiceResult | None, error: Exception | None) -> None:
        self._ended()
        settle(self._found, result, error)
