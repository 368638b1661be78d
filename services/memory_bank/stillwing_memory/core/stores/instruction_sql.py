"""Instructions, filed chunks and active memory in SQL. Each function runs inside its caller's transaction.

Which frame is filed or replaced is decided in `core.filing`; here it is read and written. It knows no connections.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, RowMapping, delete, func, literal, select
from sqlalchemy.dialects.postgresql import insert

from stillwing_common.errors import UnknownInstruction
from stillwing_memory.core.filing.rules import Scored
from stillwing_memory.core.instructions import Instruction, InstructionRecord, RecalledBy, ThingMention
from stillwing_memory.core.stores.rows import attributes_from_json, attributes_to_json
from stillwing_memory.core.stores.schema import active, filed_chunks, instructions, keyframes, recalls, sightings

VISIBLE = 0.5
"""A thing counts as shown in a keyframe from this confidence on."""


def find(connection: Connection, mission_id: str, number: int) -> RowMapping | None:
    """One instruction's row, or None."""
    query = select(instructions).where(instructions.c.mission_id == mission_id, instructions.c.number == number)
    return connection.execute(query).mappings().one_or_none()


def require(connection: Connection, mission_id: str, number: int) -> RowMapping:
    """One instruction's row. Raises UnknownInstruction."""
    row = find(connection, mission_id, number)
    if row is None:
        raise UnknownInstruction(mission_id=mission_id, instruction=number)
    return row


def add(
    connection: Connection,
    instruction: Instruction,
    said: Mapping[str, ThingMention],
    recalled_by: RecalledBy,
    memory: Sequence[Scored],
    begin_wall_ns: int,
    *,
    tokens: Sequence[str],
    embedding: Sequence[float] | None,
) -> None:
    """One instruction with the memory it begins with, best first."""
    key = {"mission_id": instruction.mission_id, "instruction": instruction.number}
    connection.execute(
        insert(instructions).values(
            mission_id=instruction.mission_id,
            number=instruction.number,
            body=instruction.text,
            tokens=list(tokens),
            embedding=embedding,
            entity_ids=list(said),
            mentions=[_mention_to_json(one) for one in said.values()],
            recalled_by=recalled_by.value,
            begin_wall_ns=begin_wall_ns,
        )
    )
    for place, one in enumerate(memory):
        connection.execute(insert(recalls).values(**key, place=place, keyframe_revision=int(one.key)))
    set_active(connection, instruction.mission_id, instruction.number, memory)


def read_active(connection: Connection, mission_id: str, number: int) -> list[Scored]:
    """The active memory of an instruction, best first."""
    query = (
        select(active.c.keyframe_revision, active.c.score)
        .where(active.c.mission_id == mission_id, active.c.instruction == number)
        .order_by(active.c.score.desc(), active.c.keyframe_revision)
    )
    return [Scored(str(row.keyframe_revision), row.score) for row in connection.execute(query)]


def set_active(connection: Connection, mission_id: str, number: int, memory: Sequence[Scored]) -> None:
    """Replace the active memory of an instruction."""
    connection.execute(delete(active).where(active.c.mission_id == mission_id, active.c.instruction == number))
    if memory:
        rows = [
            {"mission_id": mission_id, "instruction": number, "keyframe_revision": int(one.key), "score": one.score}
            for one in memory
        ]
        connection.execute(insert(active), rows)


def filed(connection: Connection, mission_id: str, number: int, chunk: int) -> int | None:
    """The revision of the keyframe filed of a chunk, or None if it was not filed."""
    query = select(filed_chunks.c.keyframe_revision).where(
        filed_chunks.c.mission_id == mission_id,
        filed_chunks.c.instruction == number,
        filed_chunks.c.chunk == chunk,
    )
    return connection.execute(query).scalar_one_or_none()


def add_filed(connection: Connection, mission_id: str, number: int, chunk: int, revision: int, score: float) -> None:
    """A chunk was filed as this keyframe."""
    connection.execute(
        insert(filed_chunks).values(
            mission_id=mission_id, instruction=number, chunk=chunk, keyframe_revision=revision, score=score
        )
    )


def that_show(connection: Connection, entity_ids: Sequence[str], limit: int) -> list[Scored]:
    """Keyframes with the greatest share of these things, the better score among equals, as `initial_memory` ranks."""
    if not entity_ids:
        return []
    share = func.count(sightings.c.entity_id.distinct())
    query = (
        select(keyframes.c.revision, keyframes.c.score)
        .join(sightings, sightings.c.keyframe_revision == keyframes.c.revision)
        .where(
            sightings.c.entity_id.in_(entity_ids),
            sightings.c.confidence >= VISIBLE,
            keyframes.c.forgotten_revision.is_(None),
        )
        .group_by(keyframes.c.tenant, keyframes.c.revision)
        .order_by(share.desc(), keyframes.c.score.desc(), keyframes.c.revision.desc())
        .limit(limit)
    )
    return [Scored(str(row.revision), row.score) for row in connection.execute(query)]


def best_of(connection: Connection, mission_id: str, number: int, limit: int) -> list[Scored]:
    """The best keyframes filed under one instruction."""
    query = (
        select(filed_chunks.c.keyframe_revision, filed_chunks.c.score)
        .join(keyframes, keyframes.c.revision == filed_chunks.c.keyframe_revision)
        .where(
            filed_chunks.c.mission_id == mission_id,
            filed_chunks.c.instruction == number,
            keyframes.c.forgotten_revision.is_(None),
        )
        .order_by(filed_chunks.c.score.desc(), filed_chunks.c.keyframe_revision)
        .limit(limit)
    )
    return [Scored(str(row.keyframe_revision), row.score) for row in connection.execute(query)]


def most_alike(
    connection: Connection, mission_id: str, before: int, tokens: Sequence[str], embedding: Sequence[float] | None
) -> tuple[int, float] | None:
    """The earlier instruction of this mission that is most like the text, with its likeness; None if there is none."""
    if embedding is not None:
        likeness = 1 - instructions.c.embedding.cosine_distance(embedding)
    else:
        common = func.cardinality(
            func.array(
                select(func.unnest(instructions.c.tokens))
                .intersect(select(func.unnest(literal(list(tokens), instructions.c.tokens.type))))
                .scalar_subquery()
            )
        )
        likeness = common / func.sqrt(func.greatest(func.cardinality(instructions.c.tokens) * len(tokens), 1))
    query = (
        select(instructions.c.number, likeness.label("likeness"))
        .where(instructions.c.mission_id == mission_id, instructions.c.number < before)
        .order_by(likeness.desc().nulls_last(), instructions.c.number.desc())
        .limit(1)
    )
    row: Row[tuple[int, float]] | None = connection.execute(query).one_or_none()
    return None if row is None or row.likeness is None else (row.number, float(row.likeness))


def records(connection: Connection, mission_id: str) -> list[InstructionRecord]:
    """All instructions of a mission, first first."""
    rows = connection.execute(
        select(instructions).where(instructions.c.mission_id == mission_id).order_by(instructions.c.number)
    ).mappings()
    return [
        InstructionRecord(
            mission_id,
            row["number"],
            row["body"],
            tuple(row["entity_ids"]),
            RecalledBy(row["recalled_by"]),
            _frame_ids(connection, _recalled(connection, mission_id, row["number"])),
            _frame_ids(connection, [int(one.key) for one in read_active(connection, mission_id, row["number"])]),
            row["begin_wall_ns"],
            tuple(_mention_from_json(one) for one in row["mentions"]),
        )
        for row in rows
    ]


def _recalled(connection: Connection, mission_id: str, number: int) -> list[int]:
    query = (
        select(recalls.c.keyframe_revision)
        .where(recalls.c.mission_id == mission_id, recalls.c.instruction == number)
        .order_by(recalls.c.place)
    )
    return list(connection.execute(query).scalars())


def _frame_ids(connection: Connection, revisions: Sequence[int]) -> tuple[str, ...]:
    rows = connection.execute(
        select(keyframes.c.revision, keyframes.c.frame_id).where(keyframes.c.revision.in_(revisions))
    )
    names = {row.revision: row.frame_id for row in rows}
    return tuple(names[revision] for revision in revisions)


def _mention_to_json(mention: ThingMention) -> dict[str, Any]:
    return {
        "label": mention.label,
        "entity_id": mention.entity_id,
        "kind": mention.kind,
        "attributes": attributes_to_json(mention.attributes),
    }


def _mention_from_json(body: dict[str, Any]) -> ThingMention:
    return ThingMention(
        body["label"], body["entity_id"], kind=body["kind"], attributes=attributes_from_json(body["attributes"])
    )
