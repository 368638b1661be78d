"""The newest telemetry of one vehicle, to any number of readers at their own rates: newest wins, one slot a reader."""

from collections.abc import AsyncIterator
from dataclasses import replace

from stillwing_bridge.core.sight.pace import Pace
from stillwing_bridge.core.types import Telemetry
from stillwing_common.clock import Clock
from stillwing_common.mailbox import Closed, Mailbox


class TelemetryHub:
    """Hands every new state to its readers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._readers: dict[Mailbox[Telemetry], Pace] = {}
        self._newest: Telemetry | None = None

    def publish(self, telemetry: Telemetry) -> None:
        """Offer a state to every reader whose time has come."""
        self._newest = telemetry
        now_s = self._clock.monotonic_s()
        for mailbox, pace in self._readers.items():
            if pace.due(now_s):
                pace.advance(now_s)
                mailbox.put(telemetry)

    async def watch(self, max_rate_hz: float) -> AsyncIterator[Telemetry]:
        """New states from now on, the newest one first."""
        mailbox: Mailbox[Telemetry] = Mailbox()
        self._readers[mailbox] = Pace(max_rate_hz)
        if self._newest is not None:
            mailbox.put(self._newest)
        try:
            while True:
                item = await mailbox.get()
                yield replace(item.value, sequence=item.sequence)
        except Closed:
            return
        finally:
            self._readers.pop(mailbox, None)

    def close(self) -> None:
        """End every reader's stream."""
        for mailbox in tuple(self._readers):
            mailbox.close()
