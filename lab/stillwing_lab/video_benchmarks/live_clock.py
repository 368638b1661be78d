"""How late answers would be if the video were live: one engine takes frames and questions in the order they come.

A frame is there when it was taken, a question when it is asked; each waits until the engine is done with what came
before. It knows only times: of the video, and how long the engine was at work.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lateness:
    """Of one answer, in seconds: waiting for the engine, and from then to the first token and to the end."""

    waited_s: float
    first_token_s: float
    staleness_s: float


class LiveClock:
    """Counts on the video's clock. Times given must not go back."""

    def __init__(self) -> None:
        self._free_s = 0.0
        self._newest_s: float | None = None

    def frames(self, newest_s: float, took_s: float) -> None:
        """A chunk whose newest frame was taken at `newest_s` took the engine `took_s`."""
        self._free_s = max(self._free_s, newest_s) + took_s
        self._newest_s = newest_s

    def ask(self, at_s: float, first_token_s: float, took_s: float) -> Lateness:
        """A question asked at `at_s` had its first token after `first_token_s` of work, its end after `took_s`.

        Raises ValueError before the first frame.
        """
        if self._newest_s is None:
            raise ValueError("nothing was shown yet")
        began_s = max(self._free_s, at_s)
        self._free_s = began_s + took_s
        return Lateness(began_s - at_s, first_token_s, began_s + first_token_s - self._newest_s)
