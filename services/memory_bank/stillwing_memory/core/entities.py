"""Things that persist between keyframes, and what was said of them. It knows nothing of stores or wires."""

from dataclasses import dataclass

from stillwing_common.types import PositionNed, Stamp


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something said of a thing, true from `from_wall_ns` until `until_wall_ns` (nanoseconds since 1970 UTC; 0: still).

    `slot` is what it is about ("jacket"); a later attribute of the same slot ends it. "" excludes nothing.
    """

    text: str
    slot: str = ""
    from_wall_ns: int = 0
    until_wall_ns: int = 0


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing that persists between keyframes; `last_position_ned_m` None if it was never placed.

    `last_seen` is Stamp(0, "") for a thing that was spoken of and not yet seen. `kind` is its noun ("van"), "" if the
    bank was never told. `attributes` hold also what is no longer so.
    """

    entity_id: str
    label: str
    last_seen: Stamp
    last_position_ned_m: PositionNed | None = None
    merged_ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    kind: str = ""
    attributes: tuple[Attribute, ...] = ()

    @property
    def text(self) -> str:
        """What scorers compare frames with: its label and what holds of it now ("young man, denim jacket")."""
        return ", ".join((self.label, *(one.text for one in self.attributes if not one.until_wall_ns)))


@dataclass(frozen=True, slots=True)
class EntityPage:
    """Oldest known first; `next_page_token` is "" on the last page."""

    entities: tuple[Entity, ...]
    next_page_token: str
