"""Times that never go back, of sources whose clock may have been set back or whose time stamps are broken."""


class SteadyTimes:
    """Where the source's time goes back, it stands still here, and goes on from there at the source's pace."""

    def __init__(self) -> None:
        self._shift_ns = 0
        self._last_ns: int | None = None

    def at(self, source_ns: int) -> int:
        """The steady time of what comes next."""
        time_ns = self.shifted(source_ns)
        if self._last_ns is not None and time_ns < self._last_ns:
            self._shift_ns += self._last_ns - time_ns
            time_ns = self._last_ns
        self._last_ns = time_ns
        return time_ns

    def shifted(self, source_ns: int) -> int:
        """The same for what stands out of its order: it moves nothing that comes later."""
        return source_ns + self._shift_ns
