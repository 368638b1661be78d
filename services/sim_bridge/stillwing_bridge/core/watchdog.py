"""The ladder of what happens while the holder of a vehicle is silent. Pure: told how long, names the rung reached."""

from stillwing_bridge.core.effects import DescendNow, Effect, LandNow, SilenceNoticed, WatchdogSettings


class Watchdog:
    """Climbs one rung at a time and each only once, until a sign of life."""

    def __init__(self, settings: WatchdogSettings) -> None:
        self._settings = settings
        self._noticed = self._descended = self._landed = False

    @property
    def flies(self) -> bool:
        """Whether the vehicle sinks or lands by the watchdog's word."""
        return self._descended

    def alive(self) -> None:
        """A sign of life: back to the ground."""
        self._noticed = self._descended = self._landed = False

    def must_hold(self, silence_s: float) -> bool:
        """Whether no motion may go on."""
        return silence_s >= self._settings.hold_after_s

    def climb(self, silence_s: float, *, moving: bool, may_sink: bool) -> Effect | None:
        """The effect of the rung just reached, if any; `may_sink` while it flies and nobody has stopped it."""
        settings = self._settings
        if silence_s >= settings.notice_after_s and moving and not self._noticed:
            self._noticed = True
            return SilenceNoticed(silence_s)
        if not may_sink:
            return None
        if silence_s >= settings.land_after_s and not self._landed:
            self._landed = self._descended = True
            return LandNow("watchdog")
        if silence_s >= settings.descend_after_s and not self._descended:
            self._descended = True
            return DescendNow("watchdog")
        return None

    def next_in_s(self, silence_s: float) -> float | None:
        """Seconds until the next rung that concerns a motion in force; None if all are behind."""
        rungs_s = (self._settings.notice_after_s, self._settings.hold_after_s)
        return min((rung_s - silence_s for rung_s in rungs_s if rung_s > silence_s), default=None)
