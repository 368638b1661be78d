"""The log of a bank: what changed, one revision a change. It knows nothing of how it is kept or watched."""

from dataclasses import dataclass

from stillwing_memory.core.entities import Entity
from stillwing_memory.core.keyframes import Keyframe


@dataclass(frozen=True, slots=True)
class KeyframePut:
    """A keyframe was stored; without pixels."""

    revision: int
    keyframe: Keyframe


@dataclass(frozen=True, slots=True)
class EntityChanged:
    """A thing was made, seen again or merged; `entity` as it was after this change."""

    revision: int
    entity: Entity


@dataclass(frozen=True, slots=True)
class KeyframeForgotten:
    """Retention took a keyframe's pixels and its place in searches; the rest of it stays, as given here."""

    revision: int
    keyframe: Keyframe


Change = KeyframePut | EntityChanged | KeyframeForgotten
