"""The bank's reads in SQL. Blocking; the bank runs it in threads. It knows no wire and no asyncio."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select

from stillwing_common.errors import KeyframeForgotten, UnknownKeyframe
from stillwing_memory.core.changes import Change, EntityChanged, KeyframePut
from stillwing_memory.core.changes import KeyframeForgotten as ForgottenChange
from stillwing_memory.core.entities import Entity
from stillwing_memory.core.instructions import ChunkFiled, InstructionRecord
from stillwing_memory.core.keyframes import Keyframe, Match
from stillwing_memory.core.stores import entity_sql, instruction_sql, keyframe_sql
from stillwing_memory.core.stores.connection import server_version, transaction
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.rows import entity_from_json, read_entity
from stillwing_memory.core.stores.schema import bank, changes, entities, keyframes
from stillwing_memory.core.text import normalise


class Reads:
    """What one tenant's bank answers. Every method is one transaction and raises what `store_errors` does."""

    def __init__(self, engine: Engine, images: ImageStore | None) -> None:
        self._engine = engine
        self._images = images

    def counts(self) -> tuple[str, int, int, int, int]:
        """Server version, keyframes, entities, revision, bytes of pixels."""
        with transaction(self._engine) as connection:
            version = server_version(connection)
            row = connection.execute(select(bank)).one()
            things = connection.execute(
                select(func.count()).select_from(entities).where(entities.c.merged_into.is_(None))
            ).scalar_one()
            return version, row.kept_keyframes, things, row.revision, row.kept_image_bytes

    def get(self, frame_id: str, clock_id: str, *, include_image: bool) -> Keyframe:
        """One keyframe, the newest filed if no clock is named. Raises UnknownKeyframe, KeyframeForgotten."""
        query = select(keyframes.c.revision).where(keyframes.c.frame_id == frame_id)
        if clock_id:
            query = query.where(keyframes.c.clock_id == clock_id)
        with transaction(self._engine) as connection:
            revision = connection.execute(query.order_by(keyframes.c.revision.desc()).limit(1)).scalar_one_or_none()
            if revision is None:
                raise UnknownKeyframe(frame_id=frame_id, clock_id=clock_id)
            loaded = keyframe_sql.load(connection, [revision], self._images, include_image=include_image)
        found = loaded[revision]
        if include_image and found.forgotten:
            raise KeyframeForgotten(frame_id=frame_id)
        return found

    def list_keyframes(self, before_revision: int | None, limit: int, mission_id: str) -> list[tuple[int, Keyframe]]:
        """Keyframes with their revisions, newest first; also those whose pixels are forgotten."""
        query = keyframe_sql.of_mission(select(keyframes.c.revision), mission_id)
        if before_revision is not None:
            query = query.where(keyframes.c.revision < before_revision)
        with transaction(self._engine) as connection:
            found = list(connection.execute(query.order_by(keyframes.c.revision.desc()).limit(limit)).scalars())
            loaded = keyframe_sql.load(connection, found, self._images)
            return [(revision, loaded[revision]) for revision in found]

    def list_entities(self, after_id: str, limit: int, name: str = "") -> list[Entity]:
        """Things that were not merged away, by id, which is the order of their making."""
        query = select(entities).where(entities.c.merged_into.is_(None), entities.c.entity_id > after_id)
        if name:
            query = query.where(entities.c.names.contains([normalise(name)]))
        with transaction(self._engine) as connection:
            rows = connection.execute(query.order_by(entities.c.entity_id).limit(limit)).mappings()
            return [read_entity(row) for row in rows]

    def changes_after(self, revision: int, limit: int) -> list[Change]:
        """The next changes, oldest first."""
        query = select(changes).where(changes.c.revision > revision).order_by(changes.c.revision).limit(limit)
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
            frames = [row.forgotten_keyframe or row.revision for row in rows if row.entity is None]
            loaded = keyframe_sql.load(connection, frames, self._images)
        found: list[Change] = []
        for row in rows:
            if row.entity is not None:
                found.append(EntityChanged(row.revision, entity_from_json(row.entity)))
            elif row.forgotten_keyframe is not None:
                found.append(ForgottenChange(row.revision, loaded[row.forgotten_keyframe]))
            else:
                found.append(KeyframePut(row.revision, loaded[row.revision]))
        return found

    def without_embedding(self, limit: int) -> list[tuple[int, Keyframe]]:
        """Keyframes that have no vector yet."""
        query = select(keyframes.c.revision).where(
            keyframes.c.embedding.is_(None), keyframes.c.forgotten_revision.is_(None)
        )
        with transaction(self._engine) as connection:
            found = list(connection.execute(query.limit(limit)).scalars())
            return list(keyframe_sql.load(connection, found, self._images).items())

    def search(self, find: Callable[[Connection], Sequence[Row[Any]]], *, include_image: bool) -> list[Match]:
        """The keyframes that one of `search_sql`'s functions ranks. Raises UnknownEntity."""
        with transaction(self._engine) as connection:
            return keyframe_sql.matches(connection, find(connection), self._images, include_image)

    def instruction_things(self, mission_id: str, number: int) -> list[Entity]:
        """The things an instruction is about. Raises UnknownInstruction."""
        with transaction(self._engine) as connection:
            row = instruction_sql.require(connection, mission_id, number)
            return [entity_sql.load(connection, entity_sql.resolve(connection, one)) for one in row["entity_ids"]]

    def filed_chunk(self, mission_id: str, number: int, chunk: int) -> ChunkFiled | None:
        """What was filed of a chunk, or None. Raises UnknownInstruction."""
        with transaction(self._engine) as connection:
            instruction_sql.require(connection, mission_id, number)
            revision = instruction_sql.filed(connection, mission_id, number, chunk)
            if revision is None:
                return None
            reached = connection.execute(select(bank.c.revision)).scalar_one()
            return chunk_filed(connection, self._images, (mission_id, number), revision, reached, created=False)

    def instruction_records(self, mission_id: str) -> list[InstructionRecord]:
        """What a mission was told and what it recalled."""
        with transaction(self._engine) as connection:
            return instruction_sql.records(connection, mission_id)


def chunk_filed(
    connection: Connection,
    images: ImageStore | None,
    instruction: tuple[str, int],
    revision: int,
    reached: int,
    *,
    created: bool,
) -> ChunkFiled:
    """What was filed of a chunk as the keyframe `revision`; `instruction` is mission and number."""
    memory = [int(one.key) for one in instruction_sql.read_active(connection, *instruction)]
    loaded = keyframe_sql.load(connection, [revision, *memory], images)
    names = tuple(loaded[one].frame.frame_id for one in memory)
    return ChunkFiled(loaded[revision], names, created, reached)
