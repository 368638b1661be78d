"""Messages of instructions and of chunks filed under them to the bank's values and back.

It knows no bank and no server.
"""

from stillwing.memory.v1 import memory_pb2
from stillwing_common.errors import InvalidInput
from stillwing_memory.convert.entities import attribute_from_wire, attribute_to_wire, entity_from_wire, entity_to_wire
from stillwing_memory.convert.keyframes import keyframe_from_wire, keyframe_to_wire
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
from stillwing_rpc.convert import timestamp_from_wire, timestamp_to_wire
from stillwing_rpc.vectors import vectors_from_wire, vectors_to_wire

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
        number=instruction.number,
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
        instruction=chunk.instruction,
        chunk=chunk.number,
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
