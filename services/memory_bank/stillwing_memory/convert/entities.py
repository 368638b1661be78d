"""Messages of things and of what is said of them to the bank's values and back. It knows no bank and no server."""

from google.protobuf.timestamp_pb2 import Timestamp

from stillwing.memory.v1 import memory_pb2
from stillwing_common.types import Stamp
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_rpc.convert import (
    position_from_wire,
    position_to_wire,
    stamp_from_wire,
    stamp_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
)


def instant_to_wire(wall_ns: int) -> Timestamp | None:
    """Nanoseconds since 1970 UTC; 0 is "not set", which stays absent."""
    return timestamp_to_wire(wall_ns) if wall_ns else None


def attribute_to_wire(attribute: Attribute) -> memory_pb2.Attribute:
    """Something said of a thing."""
    return memory_pb2.Attribute(
        text=attribute.text,
        slot=attribute.slot,
        valid_from=instant_to_wire(attribute.from_wall_ns),
        valid_to=instant_to_wire(attribute.until_wall_ns),
    )


def attribute_from_wire(message: memory_pb2.Attribute) -> Attribute:
    """Something said of a thing."""
    return Attribute(
        message.text, message.slot, timestamp_from_wire(message.valid_from), timestamp_from_wire(message.valid_to)
    )


def entity_to_wire(entity: Entity) -> memory_pb2.Entity:
    """A thing."""
    place = entity.last_position_ned_m
    return memory_pb2.Entity(
        entity_id=entity.entity_id,
        label=entity.label,
        last_position=None if place is None else position_to_wire(place),
        last_seen=stamp_to_wire(entity.last_seen),
        merged_ids=entity.merged_ids,
        aliases=entity.aliases,
        kind=entity.kind,
        attributes=[attribute_to_wire(one) for one in entity.attributes],
    )


def entity_from_wire(message: memory_pb2.Entity) -> Entity:
    """A thing."""
    last_seen: Stamp = stamp_from_wire(message.last_seen)
    return Entity(
        entity_id=message.entity_id,
        label=message.label,
        last_seen=last_seen,
        last_position_ned_m=position_from_wire(message.last_position) if message.HasField("last_position") else None,
        merged_ids=tuple(message.merged_ids),
        aliases=tuple(message.aliases),
        kind=message.kind,
        attributes=tuple(attribute_from_wire(one) for one in message.attributes),
    )
