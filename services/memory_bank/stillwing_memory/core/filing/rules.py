"""Which frame of a chunk is filed, and which filed frames stay in sight. Pure.

First in, first out decides what leaves the model's window; a score decides only what of it is filed, and which filed
frames stay in the memory segment. It knows nothing of stores, images or models.

    a chunk leaves the window    its best frame is filed and joins the active memory; from the moment that is full, a
                                 better frame replaces the lowest of it
    a new instruction            the active memory begins anew with what was filed of its things
    end of an instruction        what is still in the window is filed too, or its last chunks would never be
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stillwing_common.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Scored:
    """A filed frame, by whatever key its store has for it."""

    key: str
    score: float


def best_frame(scores: Sequence[float]) -> int:
    """The place of the frame to file; the first among equals. Raises InvalidInput for a chunk without frames."""
    if not scores:
        raise InvalidInput("a chunk holds at least one frame", frames=0)
    return max(range(len(scores)), key=lambda place: (scores[place], -place))


def admit(active: Sequence[Scored], candidate: Scored, size: int) -> tuple[Scored, ...]:
    """The active memory after `candidate`: best first, at most `size`; a full one takes only what beats its lowest."""
    if any(one.key == candidate.key for one in active):
        return tuple(active)
    if len(active) >= size:
        lowest = min(active, key=lambda one: one.score) if active else None
        if lowest is None or candidate.score <= lowest.score:
            return tuple(active)
        active = [one for one in active if one is not lowest]
    return tuple(sorted((*active, candidate), key=lambda one: -one.score))
