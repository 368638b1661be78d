"""Asks and choices between the event loop, where their answers are read, and the device, where they are decoded.

It knows nothing of order or transports.
"""

from stillwing_common.errors import AnswerTimeout, UnknownSession
from stillwing_vlm.core.memory.branch import AskBranch
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest
from stillwing_vlm.core.results import AnswerDone, ChoiceResult, DoneReason, Provenance
from stillwing_vlm.core.serving.quotas import Resource
from stillwing_vlm.core.serving.scheduler import Live, Request
from stillwing_vlm.core.serving.session_lane import SessionLane
from stillwing_vlm.core.serving.under_way import FutureUnderWay, UnderWay
from stillwing_vlm.core.streams import AsyncAnswer

_ASK_PATIENCE_S = 1.0
"""Deadline of a question that carries none: questions begun later cannot keep it waiting for longer."""


def _deadlines(placed_s: float, deadline_s: float | None) -> tuple[float, float]:
    """When a question should be read, and when its answer ends at the latest."""
    if deadline_s is None:
        return placed_s + _ASK_PATIENCE_S, float("inf")
    return placed_s + deadline_s, placed_s + deadline_s


class AskUnderWay(UnderWay[AnswerDone]):
    """One ask. Its end is that of `answer`, which grows before it."""

    def __init__(self, lane: SessionLane, video: VideoSession, request: AskRequest) -> None:
        super().__init__(lane)
        self.answer = AsyncAnswer(self._cancel)
        self._video = video
        self._request = request
        self._placed_s = lane.clock.monotonic_s()
        self._branch: AskBranch | None = None
        self._cancelled = False
        self._tokens = 0
        self._grown_s = self._placed_s

    def _begin(self) -> None:
        self._hold(Resource.ASKS)
        lane = self._lane
        due_s, expires_s = _deadlines(self._placed_s, self._request.deadline_s)
        ready = lane.prepare(lane.preparer.ask, self._request, lane.briefing)

        def run() -> None:
            branch = self._branch = self._video.fork_ask(ready.result(), self._placed_s)
            if self._cancelled:
                branch.cancel()
                self._progressed()
            lane.start(
                Live(branch, self._progressed, self.fail, due_s, expires_s, lambda: branch.cancel(DoneReason.DEADLINE))
            )

        lane.submit(Request(run, self._fail_unforked, ready, deadline_s=due_s))

    def _fail_unforked(self, error: Exception) -> None:
        if not isinstance(error, UnknownSession):
            self.fail(error)
            return
        # The session was closed before the fork: the ask was under way, and it saw nothing.
        elapsed_s = self._lane.clock.monotonic_s() - self._placed_s
        self.finish(AnswerDone("", DoneReason.CANCELLED, Provenance("", "", 0, 0), elapsed_s, elapsed_s, 0))

    def _tell(self, result: AnswerDone | None, error: Exception | None) -> None:
        if error is None:
            self.answer.progress((), result)
        else:
            self.answer.fail(error)

    def _cancel(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self._lane.on_device(self._stop)

    def _stop(self) -> None:
        if self._branch is not None and not self._branch.finished:
            self._branch.cancel()
            self._progressed()

    def _progressed(self) -> None:
        branch = self._branch
        assert branch is not None
        if branch.finished:
            # First, so that nothing stays pinned whatever the rest comes to.
            self._video.release(branch)
        self._observe(branch)
        deltas = branch.take_deltas()
        if deltas:
            self._lane.on_loop(self.answer.progress, deltas, None)
        if branch.done is not None:
            self.finish(branch.done)

    def _observe(self, branch: AskBranch) -> None:
        observer, tokens = self._lane.observer, branch.answer_tokens
        if tokens > self._tokens:
            now_s = self._lane.clock.monotonic_s()
            if self._tokens == 0:
                observer.first_token(now_s - self._placed_s)
            else:
                observer.tokens(tokens - self._tokens, now_s - self._grown_s)
            self._tokens, self._grown_s = tokens, now_s
        if branch.done is not None:
            observer.answer_ended(branch.done.reason)


class ChoiceUnderWay(FutureUnderWay[ChoiceResult]):
    """One question with its options, from its placing to its scores."""

    def __init__(self, lane: SessionLane, video: VideoSession, request: ChoiceRequest) -> None:
        super().__init__(lane)
        self._video = video
        self._request = request
        self._placed_s = lane.clock.monotonic_s()

    def _begin(self) -> None:
        self._hold(Resource.ASKS)
        lane = self._lane
        due_s, expires_s = _deadlines(self._placed_s, self._request.deadline_s)
        ready = lane.prepare(lane.preparer.choice, self._request, lane.briefing)

        def run() -> None:
            branch = self._video.fork_choice(ready.result(), self._placed_s)
            reason: Exception | None = None

            def progressed() -> None:
                if branch.finished:
                    self._video.release(branch)
                    if branch.done is not None:
                        self.finish(branch.done)
                    else:
                        # Where nothing else stopped it, its lane was closed.
                        self.fail(reason or lane.gone())

            def stop(error: Exception) -> None:
                nonlocal reason
                reason = error
                branch.cancel()

            def expired() -> None:
                limit_s = self._request.deadline_s
                stop(AnswerTimeout(f"not scored within {limit_s:g} s", deadline_s=limit_s))

            lane.start(Live(branch, progressed, stop, due_s, expires_s, expired))

        lane.submit(Request(run, self.fail, ready, deadline_s=due_s))
