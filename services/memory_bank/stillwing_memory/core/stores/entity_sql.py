"""Things in SQL: found by id or by name, made, seen again, merged. Each function runs inside its caller's transaction.

It knows nothing of keyframes' own columns, of connections or of threads.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from stillwing_common.errors import InvalidInput, UnknownEntity
from stillwing_common.ids import new_id
from stillwing_common.types import Stamp
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.filing.matching import Candidate, choose_entity
from stillwing_memory.core.instructions import ThingMention
from stillwing_memory.core.keyframes import Sighting
from stillwing_memory.core.stores.rows import (
    attributes_from_json,
    attributes_to_json,
    entity_to_json,
    position_columns,
    read_entity,
    read_position,
)
from stillwing_memory.core.stores.schema import changes, entities, sightings
from stillwing_memory.core.text import normalise

NEVER_SEEN = Stamp(0, "")


def resolve(connection: Connection, entity_id: str) -> str:
    """The id that an id goes by now: itself, or the thing it was merged into. Raises UnknownEntity."""
    row = connection.execute(select(entities.c.merged_into).where(entities.c.entity_id == entity_id)).one_or_none()
    if row is None:
        raise UnknownEntity(entity_id=entity_id)
    return str(row.merged_into or entity_id)


def find(connection: Connection, sighting: Sighting, *, taken: Collection[str], gate_m: float) -> str | None:
    """The known thing that a sighting without an id shows, or None."""
    rows = connection.execute(
        select(entities).where(entities.c.merged_into.is_(None), entities.c.names.contains([normalise(sighting.label)]))
    ).mappings()
    candidates = [Candidate(row["entity_id"], read_position(row), row["revision"]) for row in rows]
    return choose_entity(sighting.position_ned_m, candidates, gate_m=gate_m, taken=taken)


def mint(connection: Connection, sighting: Sighting, capture: Stamp, revision: int, *, kind: str = "") -> str:
    """A new thing, and the change that says so. `capture` NEVER_SEEN for one that was only spoken of."""
    entity = Entity(new_id("ent"), sighting.label, capture, sighting.position_ned_m, kind=kind)
    connection.execute(
        insert(entities).values(
            entity_id=entity.entity_id,
            revision=revision,
            label=entity.label,
            names=[normalise(entity.label)],
            aliases=[],
            merged_ids=[],
            kind=kind,
            attributes=[],
            last_seen_ns=capture.time_ns,
            last_seen_clock_id=capture.clock_id,
            **position_columns(entity.last_position_ned_m),
        )
    )
    _log_change(connection, entity, revision)
    return entity.entity_id


def see_again(connection: Connection, entity_id: str, sighting: Sighting, capture: Stamp, revision: int) -> None:
    """A known thing was seen: its time and place move on, unless this frame is older on the same clock."""
    row = connection.execute(select(entities).where(entities.c.entity_id == entity_id)).mappings().one()
    values: dict[str, object] = {"revision": revision}
    if row["last_seen_clock_id"] != capture.clock_id or row["last_seen_ns"] <= capture.time_ns:
        values |= {"last_seen_ns": capture.time_ns, "last_seen_clock_id": capture.clock_id}
        if sighting.position_ned_m is not None:
            values |= position_columns(sighting.position_ned_m)
    name = normalise(sighting.label)
    if name not in row["names"]:
        values |= {"names": [*row["names"], name], "aliases": [*row["aliases"], sighting.label]}
    _update(connection, entity_id, values, revision)


def speak_of(connection: Connection, entity_id: str, mention: ThingMention, wall_ns: int, revision: int) -> bool:
    """A thing was spoken of: its alias, kind and attributes are taken in. False, and no change, if all were known."""
    row = connection.execute(select(entities).where(entities.c.entity_id == entity_id)).mappings().one()
    values: dict[str, object] = {}
    name = normalise(mention.label)
    if name not in row["names"]:
        values |= {"names": [*row["names"], name], "aliases": [*row["aliases"], mention.label]}
    if mention.kind and not row["kind"]:
        values["kind"] = mention.kind
    old = attributes_from_json(row["attributes"])
    attributes = append_attributes(old, mention.attributes, wall_ns)
    if attributes != old:
        values["attributes"] = attributes_to_json(attributes)
    if not values:
        return False
    _update(connection, entity_id, {"revision": revision, **values}, revision)
    return True


def append_attributes(old: tuple[Attribute, ...], said: Sequence[Attribute], wall_ns: int) -> tuple[Attribute, ...]:
    """What is said joins what was; an attribute ends those of its slot that still hold, and is said once."""
    attributes = list(old)
    for one in said:
        if any(has.text == one.text and not has.until_wall_ns for has in attributes):
            continue
        since = one.from_wall_ns or wall_ns
        attributes = [
            replace(has, until_wall_ns=since) if one.slot and has.slot == one.slot and not has.until_wall_ns else has
            for has in attributes
        ]
        attributes.append(replace(one, from_wall_ns=since))
    return tuple(attributes)


def merge(connection: Connection, into_id: str, from_id: str, revision: int) -> None:
    """The second thing becomes another name of the first; whatever pointed to it points to the first."""
    into, gone = (
        connection.execute(select(entities).where(entities.c.entity_id == one)).mappings().one()
        for one in (into_id, from_id)
    )
    labels = {normalise(label): label for label in (gone["label"], *gone["aliases"])}
    fresh = {name: label for name, label in labels.items() if name not in into["names"]}
    values: dict[str, object] = {
        "revision": revision,
        "names": [*into["names"], *fresh],
        "aliases": [*into["aliases"], *fresh.values()],
        "merged_ids": [*into["merged_ids"], from_id, *gone["merged_ids"]],
    }
    # Times on two clocks do not compare; the change that came later does.
    newer = gone["last_seen_ns"] > into["last_seen_ns"]
    if gone["last_seen_clock_id"] != into["last_seen_clock_id"]:
        newer = gone["revision"] > into["revision"]
    if newer:
        values |= {"last_seen_ns": gone["last_seen_ns"], "last_seen_clock_id": gone["last_seen_clock_id"]}
    if gone["north_m"] is not None and (newer or into["north_m"] is None):
        values |= position_columns(read_position(gone))
    both = (*attributes_from_json(into["attributes"]), *attributes_from_json(gone["attributes"]))
    if gone["attributes"]:
        values["attributes"] = attributes_to_json(sorted(set(both), key=lambda one: (one.from_wall_ns, one.text)))
    if not into["kind"]:
        values["kind"] = gone["kind"]
    connection.execute(update(sightings).where(sightings.c.entity_id == from_id).values(entity_id=into_id))
    connection.execute(
        update(entities)
        .where((entities.c.merged_into == from_id) | (entities.c.entity_id == from_id))
        .values(merged_into=into_id)
    )
    _update(connection, into_id, values, revision)


def load(connection: Connection, entity_id: str) -> Entity:
    """One thing by the id it goes by now."""
    return read_entity(connection.execute(select(entities).where(entities.c.entity_id == entity_id)).mappings().one())


def check_mergeable(into_id: str, from_id: str) -> None:
    """Raises InvalidInput for a thing with itself."""
    if into_id == from_id:
        raise InvalidInput("a thing cannot be merged with itself", entity_id=into_id)


def _update(connection: Connection, entity_id: str, values: dict[str, object], revision: int) -> None:
    connection.execute(update(entities).where(entities.c.entity_id == entity_id).values(**values))
    _log_change(connection, load(connection, entity_id), revision)


def _log_change(connection: Connection, entity: Entity, revision: int) -> None:
    connection.execute(insert(changes).values(revision=revision, entity=entity_to_json(entity)))
