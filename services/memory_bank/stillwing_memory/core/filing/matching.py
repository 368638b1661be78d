"""Which known thing a sighting shows. Pure; it knows nothing of stores.

A candidate goes by the sighting's normalised name. Where both are placed, they must lie within the gate; the nearest
wins. Where either is not, the name decides, and the thing seen last wins. One frame never shows a thing twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from stillwing_common.types import PositionNed


@dataclass(frozen=True, slots=True)
class Candidate:
    """A known thing of the wanted name; `revision` is that of its last change."""

    entity_id: str
    position_ned_m: PositionNed | None
    revision: int


def choose_entity(
    position_ned_m: PositionNed | None, candidates: Sequence[Candidate], *, gate_m: float, taken: Collection[str]
) -> str | None:
    """The id of the thing seen at `position_ned_m` (None: not placed), or None for a thing not known yet."""
    best: tuple[float, int, str] | None = None
    for candidate in candidates:
        if candidate.entity_id in taken:
            continue
        if position_ned_m is not None and candidate.position_ned_m is not None:
            distance_m = position_ned_m.distance_m(candidate.position_ned_m)
            if distance_m > gate_m:
                continue
        else:
            distance_m = gate_m  # a placed thing inside the gate is better evidence than a name alone
        rank = (distance_m, -candidate.revision, candidate.entity_id)
        if best is None or rank < best:
            best = rank
    return best[2] if best else None
