"""Messages of keyframes and of how they are asked for to the bank's values and back. It knows no bank and no server."""

from collections.abc import Sequence

from stillwing.memory.v1 import memory_pb2
from stillwing_common.errors import InvalidInput, UnsetOneof
from stillwing_common.types import Stamp
from stillwing_memory.convert.entities import instant_to_wire
from stillwing_memory.core.keyframes import (
    ByEntity,
    ByPlace,
    ByText,
    ByTime,
    Keyframe,
    Match,
    PutResult,
    Query,
    Sighting,
)
from stillwing_rpc.convert import (
    frame_from_wire,
    frame_to_wire,
    position_from_wire,
    position_to_wire,
    stamp_from_wire,
    stamp_to_wire,
    timestamp_from_wire,
)


def sighting_to_wire(sighting: Sighting) -> memory_pb2.Sighting:
    """One thing in one keyframe."""
    place = sighting.position_ned_m
    return memory_pb2.Sighting(
        entity_id=sighting.entity_id,
        track_id=sighting.track_id,
        label=sighting.label,
        box=sighting.box or (),
        confidence=sighting.confidence,
        position=None if place is None else position_to_wire(place),
    )


def sighting_from_wire(message: memory_pb2.Sighting) -> Sighting:
    """One thing in one keyframe; a box has four numbers or none."""
    return Sighting(
        label=message.label,
        entity_id=message.entity_id,
        track_id=message.track_id,
        box=_box(message.box),
        confidence=message.confidence,
        position_ned_m=position_from_wire(message.position) if message.HasField("position") else None,
    )


def _box(numbers: Sequence[float]) -> tuple[float, float, float, float] | None:
    if not numbers:
        return None
    if len(numbers) != 4:
        raise InvalidInput(f"a box has 4 numbers, not {len(numbers)}", field="box")
    left, top, right, bottom = numbers
    return (left, top, right, bottom)


def keyframe_to_wire(keyframe: Keyframe) -> memory_pb2.Keyframe:
    """A keyframe, with its pixels if it has them; an unset put time stays absent."""
    return memory_pb2.Keyframe(
        frame=frame_to_wire(keyframe.frame),
        sightings=[sighting_to_wire(sighting) for sighting in keyframe.sightings],
        caption=keyframe.caption,
        mission_id=keyframe.mission_id,
        score=keyframe.score,
        vehicle_id=keyframe.vehicle_id,
        put_time=instant_to_wire(keyframe.put_wall_ns),
        instruction=keyframe.instruction,
        chunk=keyframe.chunk,
        place=keyframe.place,
        forgotten=keyframe.forgotten,
    )


def keyframe_from_wire(message: memory_pb2.Keyframe) -> Keyframe:
    """A keyframe; it needs a frame with an id and an image."""
    if not message.HasField("frame"):
        raise InvalidInput("keyframe has no frame", field="keyframe.frame")
    return Keyframe(
        frame=frame_from_wire(message.frame),
        sightings=tuple(sighting_from_wire(sighting) for sighting in message.sightings),
        caption=message.caption,
        mission_id=message.mission_id,
        score=message.score,
        vehicle_id=message.vehicle_id,
        put_wall_ns=timestamp_from_wire(message.put_time),
        instruction=message.instruction,
        chunk=message.chunk,
        place=message.place,
        forgotten=message.forgotten,
    )


def query_to_wire(query: Query) -> memory_pb2.SearchKeyframesRequest:
    """A request that holds the query alone."""
    match query:
        case ByText(text):
            return memory_pb2.SearchKeyframesRequest(text=text)
        case ByEntity(entity_id):
            return memory_pb2.SearchKeyframesRequest(entity_id=entity_id)
        case ByPlace(near):
            return memory_pb2.SearchKeyframesRequest(near=position_to_wire(near))
        case ByTime(clock_id, from_ns, to_ns):
            first, end = Stamp(from_ns, clock_id), Stamp(to_ns, clock_id)
            captured = memory_pb2.TimeRange(to=stamp_to_wire(end))
            getattr(captured, "from").CopyFrom(stamp_to_wire(first))  # a keyword of the language
            return memory_pb2.SearchKeyframesRequest(captured=captured)


def query_from_wire(message: memory_pb2.SearchKeyframesRequest) -> Query:
    """What to rank by. Raises UnsetOneof."""
    match message.WhichOneof("query"):
        case "text":
            return ByText(message.text)
        case "entity_id":
            return ByEntity(message.entity_id)
        case "near":
            return ByPlace(position_from_wire(message.near))
        case "captured":
            first = stamp_from_wire(getattr(message.captured, "from"))
            end = stamp_from_wire(message.captured.to)
            if first.clock_id != end.clock_id:
                raise InvalidInput("a stretch of time is on one clock", field="captured")
            return ByTime(first.clock_id, first.time_ns, end.time_ns)
        case _:
            raise UnsetOneof("query", field="query")


def match_to_wire(match: Match) -> memory_pb2.SearchKeyframesResponse.Match:
    """One result."""
    return memory_pb2.SearchKeyframesResponse.Match(keyframe=keyframe_to_wire(match.keyframe), score=match.score)


def match_from_wire(message: memory_pb2.SearchKeyframesResponse.Match) -> Match:
    """One result."""
    return Match(keyframe_from_wire(message.keyframe), message.score)


def put_result_to_wire(result: PutResult) -> memory_pb2.PutKeyframeResponse:
    """What was stored."""
    return memory_pb2.PutKeyframeResponse(
        keyframe=keyframe_to_wire(result.keyframe), revision=result.revision, created=result.created
    )


def put_result_from_wire(message: memory_pb2.PutKeyframeResponse) -> PutResult:
    """What was stored."""
    return PutResult(keyframe_from_wire(message.keyframe), message.revision, message.created)
