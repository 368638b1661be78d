"""Keyframes and things as lines of JSON, both ways. It knows no bank and no files.

Numbers of nanoseconds are text, because many readers of JSON keep 53 bits of a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stillwing_common.types import Frame, Image, Pose, PositionNed, Quaternion, Stamp
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.instructions import ThingMention
from stillwing_memory.core.keyframes import Keyframe, Sighting


def keyframe_line(keyframe: Keyframe, image: str) -> dict[str, Any]:
    """One keyframe whose picture lies at `image`."""
    frame, pose = keyframe.frame, keyframe.frame.camera_pose
    turn = pose.orientation if pose else None
    return {
        "image": image,
        "frame_id": frame.frame_id,
        "camera_id": frame.camera_id,
        "vehicle_id": keyframe.vehicle_id,
        "mission_id": keyframe.mission_id,
        "clock_id": frame.capture.clock_id,
        "time_ns": str(frame.capture.time_ns),
        "position_ned_m": _place(pose.position if pose else None),
        "orientation_wxyz": [turn.w, turn.x, turn.y, turn.z] if turn else None,
        "hfov_deg": frame.hfov_deg,
        "caption": keyframe.caption,
        "score": keyframe.score,
        "instruction": keyframe.instruction,
        "chunk": keyframe.chunk,
        "place": keyframe.place,
        "sightings": [
            {
                "label": one.label,
                "entity_id": one.entity_id,
                "track_id": one.track_id,
                "box": list(one.box) if one.box else None,
                "confidence": one.confidence,
                "position_ned_m": _place(one.position_ned_m),
            }
            for one in keyframe.sightings
        ],
    }


def entity_line(entity: Entity) -> dict[str, Any]:
    """One thing."""
    return {
        "entity_id": entity.entity_id,
        "label": entity.label,
        "kind": entity.kind,
        "aliases": list(entity.aliases),
        "merged_ids": list(entity.merged_ids),
        "attributes": [
            {
                "text": one.text,
                "slot": one.slot,
                "from_wall_ns": str(one.from_wall_ns),
                "until_wall_ns": str(one.until_wall_ns),
            }
            for one in entity.attributes
        ],
        "last_position_ned_m": _place(entity.last_position_ned_m),
    }


def read_keyframe(body: Mapping[str, Any], image: Image, number: int, ids: Mapping[str, str]) -> Keyframe:
    """Line `number` of a file; only `image` is needed, `labels` is short for sightings without anything else.

    `ids` has the bank's id for each of the file's. Raises KeyError, TypeError, ValueError for other lines.
    """
    pose = None
    if body.get("position_ned_m") is not None:
        turn = body.get("orientation_wxyz") or [1.0, 0.0, 0.0, 0.0]
        pose = Pose(PositionNed(*map(float, body["position_ned_m"])), Quaternion(*map(float, turn)))
    sightings = [Sighting(str(label)) for label in body.get("labels", [])]
    for one in body.get("sightings", []):
        box, place = one.get("box"), one.get("position_ned_m")
        left, top, right, bottom = map(float, box) if box else (0.0,) * 4
        sightings.append(
            Sighting(
                str(one["label"]),
                ids.get(one.get("entity_id", ""), ""),
                str(one.get("track_id", "")),
                (left, top, right, bottom) if box else None,
                float(one.get("confidence", 1.0)),
                PositionNed(*map(float, place)) if place else None,
            )
        )
    stamp = Stamp(int(body.get("time_ns", number)), str(body.get("clock_id", "import")))
    hfov = body.get("hfov_deg")
    return Keyframe(
        Frame(
            str(body.get("frame_id") or body["image"]),
            str(body.get("camera_id", "")),
            stamp,
            pose,
            image,
            None if hfov is None else float(hfov),
        ),
        tuple(sightings),
        str(body.get("caption", "")),
        str(body.get("mission_id", "")),
        float(body.get("score", 0.0)),
        str(body.get("vehicle_id", "")),
        instruction=int(body.get("instruction", 0)),
        chunk=int(body.get("chunk", 0)),
        place=int(body.get("place", 0)),
    )


def _place(position: PositionNed | None) -> list[float] | None:
    return None if position is None else [position.north_m, position.east_m, position.down_m]


@dataclass(frozen=True, slots=True)
class EntityLine:
    """A thing of a file under the file's ids, and a mention that makes it anew."""

    entity_id: str
    merged_ids: tuple[str, ...]
    mention: ThingMention


def read_entity(body: Mapping[str, Any]) -> EntityLine:
    """One line of a thing. Raises KeyError, TypeError, ValueError for other lines."""
    attributes = tuple(
        Attribute(str(one["text"]), str(one["slot"]), int(one["from_wall_ns"]), int(one["until_wall_ns"]))
        for one in body.get("attributes", [])
    )
    mention = ThingMention(str(body["label"]), new=True, kind=str(body.get("kind", "")), attributes=attributes)
    return EntityLine(str(body["entity_id"]), tuple(map(str, body.get("merged_ids", []))), mention)
