"""`stillwing.memory.v1` messages to the bank's values and back. It knows no bank and no server."""

from collections.abc import Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from stillwing.memory.v1 import memory_pb2
from stillwing_common.errors import InvalidInput, UnsetOneof
from stillwing_common.types import Stamp
from stillwing_memory.core.changes import Change, EntityChanged, KeyframeForgotten, KeyframePut
from stillwing_memory.core.entities import Attribute, Entity
from stillwing_memory.core.instructions import (
    Chunk,
    ChunkFiled,
    ChunkFrame,
    Instruction,
    InstructionBegun,
    InstructionRecord,
    RecalledBy,
    ThingMention,
    ThingView,
)
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
from stillwing_memory.core.protocol import BankInfo
from stillwing_rpc.convert import (
    frame_from_wire,
    frame_to_wire,
    position_from_wire,
    position_to_wire,
    stamp_from_wire,
    stamp_to_wire,
    timestamp_from_wire,
    timestamp_to_wire,
)
from stillwing_rpc.vectors import vectors_from_wire, vectors_to_wire


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
        put_time=_instant_to_wire(keyframe.put_wall_ns),
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


def _instant_to_wire(wall_ns: int) -> Timestamp | None:
    """0 is "not set", which stays absent."""
    return timestamp_to_wire(wall_ns) if wall_ns else None


def attribute_to_wire(attribute: Attribute) -> memory_pb2.Attribute:
    """Something said of a thing."""
    return memory_pb2.Attribute(
        text=attribute.text,
        slot=attribute.slot,
        valid_from=_instant_to_wire(attribute.from_wall_ns),
        valid_to=_instant_to_wire(attribute.until_wall_ns),
    )


def attribute_from_wire(message: memory_pb2.Attribute) -> Attribute:
    """Something said of a thing."""
    return Attribute(
        message.text, message.slot, timestamp_from_wire(message.valid_from), timestamp_from_wire(message.valid_to)
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


def bank_to_wire(info: BankInfo) -> memory_pb2.GetBankResponse:
    """The bank."""
    return memory_pb2.GetBankResponse(
        store=info.store,
        store_version=info.store_version,
        similarity=info.similarity,
        keyframes=info.keyframes,
        entities=info.entities,
        revision=info.revision,
        tenant=info.tenant,
        scorer=info.scorer,
        image_bytes=info.image_bytes,
    )


def bank_from_wire(message: memory_pb2.GetBankResponse) -> BankInfo:
    """The bank."""
    return BankInfo(
        message.store,
        message.store_version,
        message.similarity,
        message.keyframes,
        message.entities,
        message.revision,
        message.tenant,
        message.scorer,
        message.image_bytes,
    )


def change_to_wire(change: Change) -> memory_pb2.WatchChangesResponse:
    """One change."""
    if isinstance(change, KeyframePut):
        return memory_pb2.WatchChangesResponse(revision=change.revision, keyframe_put=keyframe_to_wire(change.keyframe))
    if isinstance(change, KeyframeForgotten):
        gone = keyframe_to_wire(change.keyframe)
        return memory_pb2.WatchChangesResponse(revision=change.revision, keyframe_forgotten=gone)
    return memory_pb2.WatchChangesResponse(revision=change.revision, entity_changed=entity_to_wire(change.entity))


def change_from_wire(message: memory_pb2.WatchChangesResponse) -> Change | None:
    """One change, or None for a kind this version does not know, which readers skip."""
    match message.WhichOneof("change"):
        case "keyframe_put":
            return KeyframePut(message.revision, keyframe_from_wire(message.keyframe_put))
        case "entity_changed":
            return EntityChanged(message.revision, entity_from_wire(message.entity_changed))
        case "keyframe_forgotten":
            return KeyframeForgotten(message.revision, keyframe_from_wire(message.keyframe_forgotten))
        case _:
            return None


_RECALLED_BY = {
    RecalledBy.NOTHING: memory_pb2.RECALLED_BY_NOTHING,
    RecalledBy.THINGS: memory_pb2.RECALLED_BY_THINGS,
    RecalledBy.SIMILARITY: memory_pb2.RECALLED_BY_SIMILARITY,
}


def _recalled_by(value: int) -> RecalledBy:
    found = next((one for one, wire in _RECALLED_BY.items() if wire == value), None)
    if found is None:
        raise InvalidInput(f"recalled_by {value} is not known to this version", field="recalled_by")
    return found


def mention_to_wire(mention: ThingMention) -> memory_pb2.ThingMention:
    """What was said of a thing."""
    return memory_pb2.ThingMention(
        label=mention.label,
        entity_id=mention.entity_id,
        new=mention.new,
        kind=mention.kind,
        attributes=[attribute_to_wire(one) for one in mention.attributes],
    )


def mention_from_wire(message: memory_pb2.ThingMention) -> ThingMention:
    """What was said of a thing."""
    return ThingMention(
        message.label,
        message.entity_id,
        message.new,
        message.kind,
        tuple(attribute_from_wire(one) for one in message.attributes),
    )


def instruction_to_wire(instruction: Instruction, include_image: bool) -> memory_pb2.BeginInstructionRequest:
    """A request to begin it."""
    return memory_pb2.BeginInstructionRequest(
        mission_id=instruction.mission_id,
        number=_count(instruction.number, "number"),
        text=instruction.text,
        things=[mention_to_wire(thing) for thing in instruction.things],
        include_image=include_image,
    )


def instruction_from_wire(message: memory_pb2.BeginInstructionRequest) -> Instruction:
    """What is to begin."""
    things = tuple(mention_from_wire(thing) for thing in message.things)
    return Instruction(message.mission_id, message.number, message.text, things)


def begun_to_wire(begun: InstructionBegun) -> memory_pb2.BeginInstructionResponse:
    """Things and memory."""
    return memory_pb2.BeginInstructionResponse(
        entities=[entity_to_wire(one) for one in begun.entities],
        memory=[keyframe_to_wire(one) for one in begun.memory],
        recalled_by=_RECALLED_BY[begun.recalled_by],
        created=begun.created,
    )


def begun_from_wire(message: memory_pb2.BeginInstructionResponse) -> InstructionBegun:
    """Things and memory."""
    return InstructionBegun(
        tuple(entity_from_wire(one) for one in message.entities),
        tuple(keyframe_from_wire(one) for one in message.memory),
        _recalled_by(message.recalled_by),
        message.created,
    )


def chunk_to_wire(chunk: Chunk) -> memory_pb2.FileChunkRequest:
    """A request to file it."""
    return memory_pb2.FileChunkRequest(
        mission_id=chunk.mission_id,
        instruction=_count(chunk.instruction, "instruction"),
        chunk=_count(chunk.number, "chunk"),
        frames=[
            memory_pb2.ChunkFrame(
                keyframe=keyframe_to_wire(one.keyframe),
                mean_keys=None if one.keys is None else vectors_to_wire(one.keys),
            )
            for one in chunk.frames
        ],
        views=[
            memory_pb2.ThingView(entity_id=one.entity_id, mean_query=vectors_to_wire(one.query), tokens=one.tokens)
            for one in chunk.views
        ],
    )


def _count(number: int, field: str) -> int:
    """Counts are unsigned on the wire; what does not fit would end in the library's own error."""
    if not 0 <= number < 2**32:
        raise InvalidInput("instructions and chunks are counted from 1", field=field)
    return number


def chunk_from_wire(message: memory_pb2.FileChunkRequest) -> Chunk:
    """What is to be filed."""
    frames = tuple(
        ChunkFrame(
            keyframe_from_wire(one.keyframe), vectors_from_wire(one.mean_keys) if one.HasField("mean_keys") else None
        )
        for one in message.frames
    )
    views = tuple(ThingView(one.entity_id, vectors_from_wire(one.mean_query), one.tokens) for one in message.views)
    return Chunk(message.mission_id, message.instruction, message.chunk, frames, views)


def filed_to_wire(filed: ChunkFiled) -> memory_pb2.FileChunkResponse:
    """What was filed."""
    return memory_pb2.FileChunkResponse(
        keyframe=keyframe_to_wire(filed.keyframe),
        memory_frame_ids=filed.memory_frame_ids,
        created=filed.created,
        revision=filed.revision,
    )


def filed_from_wire(message: memory_pb2.FileChunkResponse) -> ChunkFiled:
    """What was filed."""
    return ChunkFiled(
        keyframe_from_wire(message.keyframe), tuple(message.memory_frame_ids), message.created, message.revision
    )


def record_to_wire(record: InstructionRecord) -> memory_pb2.InstructionRecord:
    """An instruction as remembered."""
    return memory_pb2.InstructionRecord(
        mission_id=record.mission_id,
        number=record.number,
        text=record.text,
        entity_ids=record.entity_ids,
        recalled_by=_RECALLED_BY[record.recalled_by],
        recalled_frame_ids=record.recalled_frame_ids,
        memory_frame_ids=record.memory_frame_ids,
        begin_time=timestamp_to_wire(record.begin_wall_ns),
        mentions=[mention_to_wire(one) for one in record.mentions],
    )


def record_from_wire(message: memory_pb2.InstructionRecord) -> InstructionRecord:
    """An instruction as remembered."""
    return InstructionRecord(
        message.mission_id,
        message.number,
        message.text,
        tuple(message.entity_ids),
        _recalled_by(message.recalled_by),
        tuple(message.recalled_frame_ids),
        tuple(message.memory_frame_ids),
        timestamp_from_wire(message.begin_time),
        tuple(mention_from_wire(one) for one in message.mentions),
    )
