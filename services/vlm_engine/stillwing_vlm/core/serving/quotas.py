"""Counts what all sessions, and those of one peer, hold of what is limited. It knows neither sessions nor peers.

Used on one event loop.
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum

from stillwing_common.errors import (
    Exhausted,
    TooManyBranches,
    TooManyContextTokens,
    TooManyFrameBytes,
    TooManySessions,
)
from stillwing_vlm.core.limits import Limits


class Resource(Enum):
    """What is counted."""

    SESSIONS = "sessions"
    CONTEXT_TOKENS = "context tokens of all budgets"
    ASKS = "asks under way"
    FRAME_BYTES = "bytes of frames under way"


_ERRORS: dict[Resource, type[Exhausted]] = {
    Resource.SESSIONS: TooManySessions,
    Resource.CONTEXT_TOKENS: TooManyContextTokens,
    Resource.ASKS: TooManyBranches,
    Resource.FRAME_BYTES: TooManyFrameBytes,
}


class Quotas:
    """How much of each resource is held, by the engine and by each owner."""

    def __init__(self, limits: Limits) -> None:
        self._engine = {
            Resource.SESSIONS: limits.max_sessions,
            Resource.CONTEXT_TOKENS: limits.max_engine_context_tokens,
            Resource.ASKS: limits.max_engine_asks,
            Resource.FRAME_BYTES: limits.max_engine_frame_bytes,
        }
        self._peer = {
            Resource.SESSIONS: limits.max_peer_sessions,
            Resource.CONTEXT_TOKENS: limits.max_peer_context_tokens,
            Resource.ASKS: limits.max_peer_asks,
            Resource.FRAME_BYTES: limits.max_peer_frame_bytes,
        }
        self._held: Counter[Resource] = Counter()
        self._held_by: Counter[tuple[str, Resource]] = Counter()

    def held(self, resource: Resource) -> int:
        """What all owners hold together."""
        return self._held[resource]

    def take(self, owner: str, resource: Resource, amount: int = 1) -> Callable[[], None]:
        """Count `amount` as held; returns what gives it back, once however often it is called.

        Raises TooManySessions, TooManyContextTokens, TooManyBranches, TooManyFrameBytes; then nothing is counted.
        """
        for scope, limit, held in (
            ("engine", self._engine[resource], self._held[resource]),
            ("peer", self._peer[resource], self._held_by[owner, resource]),
        ):
            if limit and held + amount > limit:
                whose = "the engine holds" if scope == "engine" else "this peer holds"
                raise _ERRORS[resource](
                    f"{whose} {held} {resource.value} of {limit}, {amount} more were asked for",
                    scope=scope,
                    limit=limit,
                )
        self._count(owner, resource, amount)
        given = False

        def give() -> None:
            nonlocal given
            if not given:
                given = True
                self._count(owner, resource, -amount)

        return give

    def _count(self, owner: str, resource: Resource, amount: int) -> None:
        self._held[resource] += amount
        self._held_by[owner, resource] += amount
        if not self._held_by[owner, resource]:
            # Peers come and go without end.
            del self._held_by[owner, resource]
