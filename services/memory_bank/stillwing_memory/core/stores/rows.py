"""Rows to domain values and back. Pure; it runs no query."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping

from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.keyframes import Keyframe, Sighting


def position_columns(position: PositionNed | None) -> dict[str, float | None]:
    """The three columns of a place; all null for None."""
    if position is None:
        return {"north_m": None, "east_m": None, "down_m": None}
    return {"north_m": position.north_m, "east_m": position.east_m, "down_m": position.down_m}


def read_position(row: RowMapping) -> PositionNed | None:
    """The place in a row's three columns."""
    return None if row["north_m"] is None else PositionNed(row["north_m"], row["east_m"], row["down_m"])


def keyframe_columns(keyframe: Keyframe) -> dict[str, Any]:
    """A keyframe's own columns: without revision, tokens, embedding, sightings and pixels."""
    frame = keyframe.frame
    pose = frame.camera_pose
    turn = pose.orientation if pose else None
    return {
        "frame_id": frame.frame_id,
        "clock_id": frame.capture.clock_id,
        "capture_ns": frame.capture.time_ns,
        "vehicle_id": keyframe.vehicle_id,
        "camera_id": frame.camera_id,
        "mission_id": keyframe.mission_id,
        **position_columns(pose.position if pose else None),
        "orientation_wxyz": [turn.w, turn.x, turn.y, turn.z] if turn else None,
        "hfov_deg": frame.hfov_deg,
        "caption": keyframe.caption,
        "score": keyframe.score,
        "put_wall_ns": keyframe.put_wall_ns,
        "encoding": frame.image.encoding.value,
        "width_px": frame.image.width_px,
        "height_px": frame.image.height_px,
        "image_bytes": len(frame.image.data),
        "instruction": keyframe.instruction,
        "chunk": keyframe.chunk,
        "place": keyframe.place,
    }


def read_keyframe(row: RowMapping, sightings: Sequence[RowMapping]) -> Keyframe:
    """A keyframe; its image data is empty where the row was read without."""
    position = read_position(row)
    pose = Pose(position, Quaternion(*row["orientation_wxyz"])) if position else None
    image = Image(ImageEncoding(row["encoding"]), row["width_px"], row["height_px"], bytes(row.get("image") or b""))
    return Keyframe(
        frame=Frame(
            row["frame_id"],
            row["camera_id"],
            Stamp(row["capture_ns"], row["clock_id"]),
            pose,
            image,
            row["hfov_deg"],
        ),
        sightings=tuple(read_sighting(sighting) for sighting in sightings),
        caption=row["caption"],
        mission_id=row["mission_id"],
        score=row["score"],
        vehicle_id=row["vehicle_id"],
        put_wall_ns=row["put_wall_ns"],
        instruction=row["instruction"],
        chunk=row["chunk"],
        place=row["place"],
        forgotten=row["forgotten_revision"] is not None,
    )


def read_sighting(row: RowMapping) -> Sighting:
    """A sighting."""
    box = row["box"]
    return Sighting(
        label=row["label"],
        entity_id=row["entity_id"],
        track_id=row["track_id"],
        box=(box[0], box[1], box[2], box[3]) if box else None,
        confidence=row["confidence"],
        position_ned_m=read_position(row),
    )


def read_entity(row: RowMapping) -> Entity:
    """An entity."""
    return Entity(
        entity_id=row["entity_id"],
        label=row["label"],
        last_seen=Stamp(row["last_seen_ns"], row["last_seen_clock_id"]),
        last_position_ned_m=read_position(row),
        merged_ids=tuple(row["merged_ids"]),
        aliases=tuple(row["aliases"]),
        kind=row["kind"],
        attributes=attributes_from_json(row["attributes"]),
    )


def attributes_to_json(attributes: Sequence[Attribute]) -> list[dict[str, str]]:
    """Attributes as the database keeps them; times as text, because JSON readers round large numbers."""
    return [
        {"text": one.text, "slot": one.slot, "from": str(one.from_wall_ns), "until": str(one.until_wall_ns)}
        for one in attributes
    ]


def attributes_from_json(body: Sequence[dict[str, str]]) -> tuple[Attribute, ...]:
    """What `attributes_to_json` wrote."""
    return tuple(Attribute(one["text"], one["slot"], int(one["from"]), int(one["until"])) for one in body)


def entity_to_json(entity: Entity) -> dict[str, Any]:
    """An entity as the change log keeps it; `time_ns` as text, because JSON readers round large numbers."""
    return {
        "entity_id": entity.entity_id,
        "label": entity.label,
        "last_seen": {"time_ns": str(entity.last_seen.time_ns), "clock_id": entity.last_seen.clock_id},
        "last_position": position_columns(entity.last_position_ned_m) if entity.last_position_ned_m else None,
        "merged_ids": list(entity.merged_ids),
        "aliases": list(entity.aliases),
        "kind": entity.kind,
        "attributes": attributes_to_json(entity.attributes),
    }


def entity_from_json(body: dict[str, Any]) -> Entity:
    """What `entity_to_json` wrote."""
    return Entity(
        entity_id=body["entity_id"],
        label=body["label"],
        last_seen=Stamp(int(body["last_seen"]["time_ns"]), body["last_seen"]["clock_id"]),
        last_position_ned_m=PositionNed(**body["last_position"]) if body["last_position"] else None,
        merged_ids=tuple(body["merged_ids"]),
        aliases=tuple(body["aliases"]),
        # The first version of the bank logged neither.
        kind=body.get("kind", ""),
        attributes=attributes_from_json(body.get("attributes", [])),
    )
