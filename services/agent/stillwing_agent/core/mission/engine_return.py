"""What a mission does while its engine is away: it holds the vehicle, waits within bounds, and brings the session back.

It knows nothing of what the mission was doing: that is broken off, and decided anew on fresh frames.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from stillwing_agent.core.events import ServiceBack
from stillwing_agent.core.flight import Flight
from stillwing_agent.core.frame_pump import FramePump
from stillwing_agent.core.held_asking import HeldAsking
from stillwing_agent.core.lasting_session import Reopened
from stillwing_common.errors import EngineAway, EngineGone, Exhausted, Expired, StillwingError, Unavailable

ENGINE = "vlm_engine"

_LONGEST_RETRY_S = 5.0
_BEAT_S = 0.5
_MOST_LOSSES = 3
"""Deaths of the engine over one decision: what kills it each time is likely to be what it is asked."""

_NOT_BACK = (Unavailable, Expired, Exhausted)


@contextmanager
def needed_engine() -> Iterator[None]:
    """An engine that does not answer where a mission begins ends it with EngineGone."""
    try:
        yield
    except Unavailable as error:
        if type(error) is not Unavailable:
            raise
        raise EngineGone(str(error.detail or error)) from error


@dataclass(slots=True)
class EngineReturn:
    """Of one mission."""

    flight: Flight
    asking: HeldAsking
    pump: FramePump
    _losses: int = 0
    _decisions: int = -1

    async def hold_when_lost(self) -> NoReturn:
        """Hold the vehicle at each loss, whatever the mission is doing. Raises what the bridge raises."""
        session = self.flight.session
        while True:
            await session.wait_lost()
            await self.asking.hold()
            await session.wait_back()

    async def wait(self) -> None:
        """Have the vehicle held until the engine is back with the frames it had. Raises EngineGone."""
        flight = self.flight
        try:
            flight.session.check()
        except EngineAway as why:
            self._count_loss(why)
        else:
            return
        await self.asking.hold()
        began_s = flight.clock.monotonic_s()
        beating = asyncio.create_task(self._beat())
        try:
            reopened = await self._reopen(began_s + flight.settings.engine_wait_s)
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        flight.record.add(ServiceBack(ENGINE, flight.clock.monotonic_s() - began_s, _in_words(reopened)))

    async def _reopen(self, give_up_s: float) -> Reopened:
        flight = self.flight
        retry_s = flight.settings.engine_retry_s
        last: StillwingError | None = None
        while (left_s := give_up_s - flight.clock.monotonic_s()) > 0:
            try:
                async with asyncio.timeout(left_s):
                    return await flight.session.reopen(self.pump.frames_since)
            except EngineGone:
                raise
            except TimeoutError:
                break
            except _NOT_BACK as error:
                last = error
            await flight.pause(min(retry_s, left_s))
            retry_s = min(2 * retry_s, _LONGEST_RETRY_S)
        words = f"it was not back within {flight.settings.engine_wait_s:g} s"
        raise EngineGone(f"{words}; the last answer: {last}" if last else words) from last

    def _count_loss(self, why: EngineAway) -> None:
        decisions = self.flight.record.mission.figures.decisions
        self._losses = self._losses + 1 if decisions == self._decisions else 1
        self._decisions = decisions
        if self._losses > _MOST_LOSSES:
            raise EngineGone(f"it died {self._losses} times over one decision: {why.detail}")

    async def _beat(self) -> NoReturn:
        """Waiting, which has an end, is what the mission does: its lease stays."""
        while True:
            self.flight.life.beat()
            await self.flight.pause(_BEAT_S)


def _in_words(reopened: Reopened) -> str:
    again = f"{reopened.frames} frames given again"
    if reopened.restored_frame_id:
        return f"its memory from the export up to {reopened.restored_frame_id}, {again}"
    return f"no export, {again}"
