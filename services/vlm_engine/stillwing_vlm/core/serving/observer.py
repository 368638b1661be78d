"""What the engine tells about its own work, for metrics. It knows nothing of how they are kept or shown.

Methods are called on the device's thread and on the event loop; they return at once.
"""

from dataclasses import dataclass
from typing import Protocol

from stillwing_vlm.core.results import DoneReason
from stillwing_vlm.core.serving.faults import unfailing


class Observer(Protocol):
    """Told of each thing when it has happened."""

    def stepped(self, branches: int, device_s: float) -> None:
        """One decoding step for so many branches together."""

    def chunk_appended(self, frames: int, tokens: int, elapsed_s: float, device_s: float) -> None:
        """A chunk is in its trunk: `elapsed_s` since it was placed, of which the device worked `device_s`."""

    def frames_evicted(self, frames: int) -> None:
        """Frames left a trunk."""

    def frames_dropped(self, frames: int) -> None:
        """Frames gave way to newer ones before they were appended."""

    def first_token(self, elapsed_s: float) -> None:
        """An answer has its first token, so long after the ask was placed."""

    def tokens(self, count: int, elapsed_s: float) -> None:
        """An answer grew by so many tokens since its last ones."""

    def answer_ended(self, reason: DoneReason) -> None:
        """An answer is complete."""

    def watch_evaluated(self, changed: bool) -> None:
        """A watch condition was asked again."""

    def refused(self, reason: str) -> None:
        """A request or a session failed with this error reason."""


class SilentObserver:
    """Keeps nothing."""

    def stepped(self, branches: int, device_s: float) -> None:
        """Nothing."""

    def chunk_appended(self, frames: int, tokens: int, elapsed_s: float, device_s: float) -> None:
        """Nothing."""

    def frames_evicted(self, frames: int) -> None:
        """Nothing."""

    def frames_dropped(self, frames: int) -> None:
        """Nothing."""

    def first_token(self, elapsed_s: float) -> None:
        """Nothing."""

    def tokens(self, count: int, elapsed_s: float) -> None:
        """Nothing."""

    def answer_ended(self, reason: DoneReason) -> None:
        """Nothing."""

    def watch_evaluated(self, changed: bool) -> None:
        """Nothing."""

    def refused(self, reason: str) -> None:
        """Nothing."""


class UnfailingObserver:
    """Tells another observer, whose own faults are logged and end nothing."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def stepped(self, branches: int, device_s: float) -> None:
        """See `Observer`."""
        unfailing(self._observer.stepped, branches, device_s)

    def chunk_appended(self, frames: int, tokens: int, elapsed_s: float, device_s: float) -> None:
        """See `Observer`."""
        unfailing(self._observer.chunk_appended, frames, tokens, elapsed_s, device_s)

    def frames_evicted(self, frames: int) -> None:
        """See `Observer`."""
        unfailing(self._observer.frames_evicted, frames)

    def frames_dropped(self, frames: int) -> None:
        """See `Observer`."""
        unfailing(self._observer.frames_dropped, frames)

    def first_token(self, elapsed_s: float) -> None:
        """See `Observer`."""
        unfailing(self._observer.first_token, elapsed_s)

    def tokens(self, count: int, elapsed_s: float) -> None:
        """See `Observer`."""
        unfailing(self._observer.tokens, count, elapsed_s)

    def answer_ended(self, reason: DoneReason) -> None:
        """See `Observer`."""
        unfailing(self._observer.answer_ended, reason)

    def watch_evaluated(self, changed: bool) -> None:
        """See `Observer`."""
        unfailing(self._observer.watch_evaluated, changed)

    def refused(self, reason: str) -> None:
        """See `Observer`."""
        unfailing(self._observer.refused, reason)


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How much the engine holds at one moment."""

    sessions: int
    context_tokens: int
    cache_bytes: int
    live_asks: int
    watches: int
    waiting_requests: int
    waiting_frames: int
    waiting_frame_bytes: int
    free_bytes: int
