"""The ladder of what happens while nobody gives a vehicle signs of life.

Pure: told how long, it names the rung reached, and knows nothing of commands or leases.
"""

from enum import Enum

from stillwing_bridge.core.judge.effects import WatchdogSettings


class Rung(Enum):
    """What a rung asks for; the hold between the first two is `must_hold`, which is asked for at every turn."""

    NOTICE = "notice"
    DESCEND = "descend"
    LAND = "land"


class Watchdog:
    """Climbs one rung at a time and each only once, until a sign of life."""

    def __init__(self, settings: WatchdogSettings) -> None:
        self._settings = settings
        self._noticed = self._descended = self._landed = False

    @property
    def flies(self) -> bool:
        """Whether the vehicle sinks or lands by the watchdog's word."""
        return self._descended

    def alive(self) -> bool:
        """A sign of life: back to the ground. Returns whether the vehicle was sinking or landing until now."""
        flew = self.flies
        self._noticed = self._descended = self._landed = False
        return flew

    def rearm(self) -> None:
        """What was begun was broken off and is to be asked for again."""
        self._descended = self._landed = False

    def must_hold(self, silence_s: float) -> bool:
        """Whether no motion may go on."""
        return silence_s >= self._settings.hold_after_s

    def climb(self, silence_s: float, *, moving: bool, may_sink: bool, may_land: bool) -> Rung | None:
        """The rung just reached, if any; `may_land` also for motors that turn on the ground."""
        settings = self._settings
        if silence_s >= settings.notice_after_s and moving and not self._noticed:
            self._noticed = True
            return Rung.NOTICE
        if silence_s >= settings.land_after_s and may_land and not self._landed:
            self._landed = self._descended = True
            return Rung.LAND
        if silence_s >= settings.descend_after_s and may_sink and not self._descended:
            self._descended = True
            return Rung.DESCEND
        return None

    def next_in_s(self, silence_s: float) -> float | None:
        """Seconds until the next rung that concerns a motion in force; None if all are behind."""
        rungs_s = (self._settings.notice_after_s, self._settings.hold_after_s)
        return min((rung_s - silence_s for rung_s in rungs_s if rung_s > silence_s), default=None)
