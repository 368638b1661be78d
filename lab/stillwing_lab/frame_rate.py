"""Thins a camera's frames to a rate. It knows only when each was taken."""

from stillwing_common.types import Stamp

_GRACE = 0.05
"""Share of a frame's period that it may come early: cameras jitter, and times of videos are rounded."""


class FrameRate:
    """At most so many frames a second by the camera's clock, evenly; None: all."""

    def __init__(self, fps: float | None) -> None:
        self._period_ns = 0.0 if fps is None else 1e9 / fps
        self._due_ns = 0.0
        self._clock_id: str | None = None

    def lets_through(self, capture: Stamp) -> bool:
        """Whether this frame is due. A clock that begins anew begins the count anew."""
        if capture.clock_id == self._clock_id and capture.time_ns < self._due_ns - _GRACE * self._period_ns:
            return False
        # After a gap the count goes on from the frame, so that what follows is no denser.
        behind = capture.clock_id != self._clock_id or capture.time_ns > self._due_ns + self._period_ns
        self._due_ns = (capture.time_ns if behind else self._due_ns) + self._period_ns
        self._clock_id = capture.clock_id
        return True
