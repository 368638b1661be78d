"""Watch conditions of one session: when their questions are asked again, and when their state has changed.

Used on the device's owner thread. It knows nothing of event loops, transports or how a question is read.
"""

from collections.abc import Callable

from stillwing_common.clock import Clock
from stillwing_vlm.core.inputs.prepare import PreparedChoice
from stillwing_vlm.core.memory.video_session import VideoSession
from stillwing_vlm.core.requests import WatchRequest
from stillwing_vlm.core.results import ChoiceResult, WatchEvent
from stillwing_vlm.core.serving.faults import fault_of, unfailing
from stillwing_vlm.core.serving.observer import Observer
from stillwing_vlm.core.serving.scheduler import Live

_PATIENCE_S = 1.0
"""Deadline of a reading among questions that begin together."""


class Condition:
    """One watch condition. `on_change` is called with each event, `on_end` once, with what broke it or None."""

    def __init__(
        self,
        request: WatchRequest,
        prepared: PreparedChoice,
        on_change: Callable[[WatchEvent], None],
        on_end: Callable[[Exception | None], None],
    ) -> None:
        self._request = request
        self._prepared = prepared
        self._on_change = on_change
        self._on_end = on_end
        self._over = False
        self._chunks = 0
        self._state: bool | None = None
        self.live: Live | None = None

    @property
    def over(self) -> bool:
        """It is asked no more."""
        return self._over

    def end(self, error: Exception | None = None) -> None:
        """It is asked no more; a reading under way is dropped."""
        if self._over:
            return
        self._over = True
        live = self.live
        try:
            if live is not None and not live.branch.finished:
                live.branch.cancel()
                live.progressed()
        finally:
            self._on_end(error)

    def is_due(self) -> bool:
        """Count a chunk; whether the question is to be asked after it."""
        self._chunks += 1
        return self._chunks % self._request.every_chunks == 0

    def fork(self, video: VideoSession, clock: Clock, observer: Observer) -> Live:
        """Begin a reading of the trunk as it is."""
        now_s = clock.monotonic_s()
        branch = video.fork_choice(self._prepared, now_s)

        def progressed() -> None:
            if branch.finished:
                self.live = None
                video.release(branch, answered=False)
                if branch.done is not None:
                    observer.watch_evaluated(self._take(branch.done))

        self.live = Live(branch, progressed, self.end, deadline_s=now_s + _PATIENCE_S)
        return self.live

    def _take(self, result: ChoiceResult) -> bool:
        probability, wanted = result.probabilities[0], self._request
        if self._state is None:
            state = probability >= wanted.threshold
        elif probability >= wanted.threshold + wanted.margin:
            state = True
        elif probability < wanted.threshold - wanted.margin:
            state = False
        else:
            state = self._state
        changed = state is not self._state
        self._state = state
        if changed:
            self._on_change(WatchEvent(state, probability, result.provenance.last_frame_id, result.provenance))
        return changed


class Watches:
    """All conditions of one session."""

    def __init__(self, video: VideoSession, clock: Clock, observer: Observer, start: Callable[[Live], None]) -> None:
        """`start` hands a reading to the scheduler."""
        self._video = video
        self._clock = clock
        self._observer = observer
        self._start = start
        self._conditions: list[Condition] = []

    def add(self, condition: Condition) -> None:
        """Set one, and ask it at once where there is a frame."""
        self._conditions.append(condition)
        if self._video.trunk.last_frame_id:
            self._ask(condition)

    def appended(self) -> None:
        """A chunk is in the trunk: ask what is due. A reading still under way is not begun again."""
        self._conditions = [condition for condition in self._conditions if not condition.over]
        for condition in self._conditions:
            if condition.is_due() and condition.live is None:
                self._ask(condition)

    def close(self, error: Exception | None = None) -> None:
        """End all, with what ended the session; readings under way end with the lane."""
        for condition in self._conditions:
            unfailing(condition.end, error)
        self._conditions.clear()

    def _ask(self, condition: Condition) -> None:
        try:
            self._start(condition.fork(self._video, self._clock, self._observer))
        except Exception as error:
            # The chunk is in the trunk whatever becomes of the question.
            condition.end(fault_of(error))
