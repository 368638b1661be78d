"""Counts what all sessions, those of one peer, and one session hold of what is limited.

It knows neither sessions nor peers. Used on one event loop.
"""

from collections import Counter
from collections.abc import Callable
from enum import Enum

from stillwing_common.errors import (
    Exhausted,
    OutOfCredits,
    TooManyBranches,
    TooManyContextTokens,
    TooManyFrameBytes,
    TooManySessions,
    TooManyWatches,
)
from stillwing_vlm.core.limits import Limits


class Resource(Enum):
    """What is counted."""

    SESSIONS = "sessions"
    CONTEXT_TOKENS = "context tokens of all budgets"
    ASKS = "asks under way"
    FRAMES = "frames not yet in the trunk"
    FRAME_BYTES = "bytes of frames under way"
    WATCHES = "watch conditions"
    EXPORTS = "exports under way"


_ERRORS: dict[Resource, type[Exhausted]] = {
    Resource.SESSIONS: TooManySessions,
    Resource.CONTEXT_TOKENS: TooManyContextTokens,
    Resource.ASKS: TooManyBranches,
    Resource.FRAMES: OutOfCredits,
    Resource.FRAME_BYTES: TooManyFrameBytes,
    Resource.WATCHES: TooManyWatches,
    Resource.EXPORTS: Exhausted,
}

Give = Callable[[], None]
"""Gives back what was taken, once however often it is called."""


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

    def take(self, owner: str, resource: Resource, amount: int = 1) -> Give:
        """Count `amount` as held. Raises the resource's error; then nothing is counted."""
        _check("engine", resource, self._engine.get(resource, 0), self._held[resource], amount)
        _check("peer", resource, self._peer.get(resource, 0), self._held_by[owner, resource], amount)
        self._count(owner, resource, amount)
        return _once(lambda: self._count(owner, resource, -amount))

    def _count(self, owner: str, resource: Resource, amount: int) -> None:
        self._held[resource] += amount
        self._held_by[owner, resource] += amount
        if not self._held_by[owner, resource]:
            # Peers come and go without end.
            del self._held_by[owner, resource]


class SessionQuotas:
    """What one session holds: by limits of its own, then by its owner's and the engine's."""

    def __init__(self, quotas: Quotas, owner: str, limits: Limits) -> None:
        self._quotas = quotas
        self._owner = owner
        self._most = {
            Resource.ASKS: limits.max_asks,
            Resource.FRAMES: limits.frame_credits,
            Resource.WATCHES: limits.max_watches,
            Resource.EXPORTS: 1,
        }
        self._held: Counter[Resource] = Counter()

    def held(self, resource: Resource) -> int:
        """What this session holds."""
        return self._held[resource]

    def check(self, resource: Resource, amount: int) -> None:
        """Raise the resource's error where `amount` would be too much even if the session held nothing."""
        _check("session", resource, self._most.get(resource, 0), 0, amount)

    def take(self, resource: Resource, amount: int = 1, *, replaces: bool = False) -> Give:
        """Count `amount` as held. Raises the resource's error; then nothing is counted.

        `replaces`: as much is about to be given back for it, so it may be more than the session's limit for a moment.
        """
        self.check(resource, amount)
        if not replaces:
            _check("session", resource, self._most.get(resource, 0), self._held[resource], amount)
        give = self._quotas.take(self._owner, resource, amount)
        self._held[resource] += amount

        def give_both() -> None:
            give()
            self._held[resource] -= amount

        return _once(give_both)


_HOLDERS = {"engine": "the engine", "peer": "this peer", "session": "this session"}


def _check(scope: str, resource: Resource, limit: int, held: int, amount: int) -> None:
    if limit and held + amount > limit:
        raise _ERRORS[resource](
            f"{_HOLDERS[scope]} holds {held} {resource.value} of {limit}, {amount} more were asked for",
            scope=scope,
            limit=limit,
        )


def _once(function: Give) -> Give:
    is_over = False

    def give() -> None:
        nonlocal is_over
        if not is_over:
            is_over = True
            function()

    return give
