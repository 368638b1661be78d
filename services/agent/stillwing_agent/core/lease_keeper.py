"""Signs of life: the lease is retained only while the mission's working loop makes progress.

A loop that hangs goes silent here, its lease goes stale, and the bridge holds the vehicle. This module knows nothing of
what the loop does. All methods run on one event loop.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import Lease


class Life:
    """Counts the working loop's steps."""

    def __init__(self) -> None:
        self.beats = 0
        self._waiting = 0

    def beat(self) -> None:
        """The working loop made a step: a token decoded, a command waited for, a tool run."""
        self.beats += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """The loop waits for the engine: until it ends, frames that the engine takes in count as steps too."""
        self._waiting += 1
        self.beat()
        try:
            yield
        finally:
            self._waiting -= 1
            self.beat()

    def frame_taken(self) -> None:
        """The engine took a frame in. Counts only while the loop waits for the engine."""
        if self._waiting:
            self.beat()


class LeaseKeeper:
    """Retains one lease each `interval_s`, as long as `life` goes on."""

    def __init__(self, bridge: Bridge, lease: Lease, life: Life, interval_s: float) -> None:
        self._bridge = bridge
        self._lease = lease
        self._life = life
        self._interval_s = interval_s

    async def run(self) -> NoReturn:
        """Until cancelled. Raises what retaining raises: LeaseSuperseded, LeaseStale, LinkLost, Unavailable."""
        seen = -1
        while True:
            if self._life.beats != seen:
                seen = self._life.beats
                await self._bridge.retain_lease(self._lease)
            await asyncio.sleep(self._interval_s)
