"""The bank's reads and writes in SQL. Blocking; the bank runs it in threads. It knows no wire and no asyncio.

Writes of one tenant are serialised by the lock on its row of `bank`, held from the first statement to the commit. So
revisions have no gaps, and one that is visible means that all below it are: a reader of the change log misses nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from stillwing_common.errors import BankFull, InvalidInput, KeyframeForgotten, UnknownKeyframe
from stillwing_memory.core.changes import Change, EntityChanged, KeyframePut
from stillwing_memory.core.changes import KeyframeForgotten as ForgottenChange
from stillwing_memory.core.entities import Entity
from stillwing_memory.core.filing.rules import Scored, admit
from stillwing_memory.core.instructions import (
    ChunkFiled,
    Instruction,
    InstructionBegun,
    InstructionRecord,
    RecalledBy,
    ThingMention,
)
from stillwing_memory.core.keyframes import Keyframe, Match, PutResult, Sighting
from stillwing_memory.core.stores import entity_sql, instruction_sql, keyframe_sql
from stillwing_memory.core.stores.connection import server_version, store_errors
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.rows import entity_from_json, read_entity
from stillwing_memory.core.stores.schema import bank, changes, entities, keyframes
from stillwing_memory.core.text import normalise

CHANNEL = "stillwing_memory"
_FORGET_AT_ONCE = 16

_TAKE = select(bank).with_for_update()
# One statement, so that those who wait for the row wait for one round trip less.
_MOVE_ON = text(
    "WITH moved AS (UPDATE bank SET revision = :revision, kept_keyframes = :kept_keyframes, "
    f"kept_image_bytes = :kept_image_bytes) SELECT pg_notify('{CHANNEL}', '')"
)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much a tenant's bank holds: keyframes with pixels, and bytes of pixels; 0 is without limit.

    `forget` False refuses what goes beyond (BankFull). True lets the oldest keyframes go that no mission has in sight:
    each becomes a change of the log and keeps everything but its pixels and its place in searches.
    """

    max_keyframes: int = 0
    max_image_bytes: int = 0
    forget: bool = False

    def __post_init__(self) -> None:
        if self.max_keyframes < 0 or self.max_image_bytes < 0:
            raise InvalidInput("limits of retention are not negative; 0 is without limit")

    def exceeded(self, kept_keyframes: int, kept_image_bytes: int) -> bool:
        """Whether so much is too much."""
        return bool(
            (self.max_keyframes and kept_keyframes > self.max_keyframes)
            or (self.max_image_bytes and kept_image_bytes > self.max_image_bytes)
        )


@dataclass(frozen=True, slots=True)
class Prepared:
    """A keyframe ready to be written: what was computed from it before the transaction began."""

    keyframe: Keyframe
    tokens: Sequence[str]
    embedding: Sequence[float] | None


@dataclass(slots=True)
class _Write:
    """One transaction that changes the bank: how far its revision is, and how much it holds."""

    connection: Connection
    first_revision: int
    kept_keyframes: int
    kept_image_bytes: int
    revision: int = 0

    def next_revision(self) -> int:
        self.revision += 1
        return self.revision


class PostgresStore:
    """Everything one tenant's bank keeps. Every method is one transaction and raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        *,
        gate_m: float,
        images: ImageStore | None = None,
        row_image_bytes: int = 256 * 1024,
        retention: Retention | None = None,
    ) -> None:
        self._engine = engine
        self._gate_m = gate_m
        self._images = images
        self._row_image_bytes = row_image_bytes
        self._retention = retention or Retention()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with store_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[_Write]:
        """The bank's row is locked until the end; those who watch are told at the commit, if anything changed."""
        with self._transaction() as connection:
            row = connection.execute(_TAKE).one()
            write = _Write(connection, row.revision, row.kept_keyframes, row.kept_image_bytes, row.revision)
            yield write
            if write.revision != write.first_revision:
                connection.execute(
                    _MOVE_ON,
                    {
                        "revision": write.revision,
                        "kept_keyframes": write.kept_keyframes,
                        "kept_image_bytes": write.kept_image_bytes,
                    },
                )

    def ensure_tenant(self) -> None:
        """Make the tenant's row where it is missing."""
        with self._transaction() as connection:
            connection.execute(insert(bank).values(revision=0).on_conflict_do_nothing())

    # Writes

    def put(self, prepared: Prepared) -> PutResult:
        """Store it, or return what is stored for this frame. Raises UnknownEntity, BankFull."""
        image_ref = self._keep_pixels(prepared.keyframe)
        freed: list[str] = []
        with self._write() as write:
            revision, stored = self._put(write, prepared, image_ref, freed)
            found = stored or self._load(write.connection, revision)
            result = PutResult(found, write.revision, created=stored is not None)
        self._delete_pixels(freed)
        return result

    def _keep_pixels(self, keyframe: Keyframe) -> str | None:
        """Large images are on disk before any row names them; a crash between the two leaves a file too many."""
        data = keyframe.frame.image.data
        if self._images is None or len(data) <= self._row_image_bytes:
            return None
        return self._images.put(data)

    def _delete_pixels(self, names: Sequence[str]) -> None:
        if self._images is None or not names:
            return
        with self._transaction() as connection:
            unnamed = [name for name in names if not keyframe_sql.is_named(connection, name)]
        for name in unnamed:
            self._images.delete(name)

    def _put(
        self, write: _Write, prepared: Prepared, image_ref: str | None, freed: list[str]
    ) -> tuple[int, Keyframe | None]:
        """The revision, and the keyframe as stored if it is new. `freed` gets the names of pixels nobody needs."""
        known = keyframe_sql.find(write.connection, prepared.keyframe)
        if known is not None:
            return known, None
        keyframe = replace(prepared.keyframe, sightings=self._see_all(write, prepared.keyframe))
        revision = write.next_revision()
        keyframe_sql.add(
            write.connection,
            keyframe,
            revision,
            image_ref=image_ref,
            tokens=prepared.tokens,
            embedding=prepared.embedding,
        )
        write.kept_keyframes += 1
        write.kept_image_bytes += len(keyframe.frame.image.data)
        self._make_room(write, revision, freed)
        image = replace(keyframe.frame.image, data=b"")
        return revision, replace(keyframe, frame=replace(keyframe.frame, image=image))

    def _make_room(self, write: _Write, newest: int, freed: list[str]) -> None:
        """Hold the limits of retention; the keyframe just put stays."""
        limits = self._retention
        while limits.exceeded(write.kept_keyframes, write.kept_image_bytes):
            candidates = keyframe_sql.oldest_to_forget(write.connection, _FORGET_AT_ONCE) if limits.forget else []
            candidates = [row for row in candidates if row["revision"] != newest]
            if not candidates:
                raise BankFull(
                    f"{write.kept_keyframes - 1} keyframes; raise the limit, or start with forgetting",
                    max_keyframes=limits.max_keyframes,
                    max_image_bytes=limits.max_image_bytes,
                )
            for row in candidates:
                keyframe_sql.forget(write.connection, row["revision"], write.next_revision())
                write.kept_keyframes -= 1
                write.kept_image_bytes -= row["image_bytes"]
                if row["image_ref"]:
                    freed.append(row["image_ref"])
                if not limits.exceeded(write.kept_keyframes, write.kept_image_bytes):
                    break

    def _see_all(self, write: _Write, keyframe: Keyframe) -> tuple[Sighting, ...]:
        """Give every sighting its thing."""
        connection, capture = write.connection, keyframe.frame.capture
        ids = [entity_sql.resolve(connection, one.entity_id) if one.entity_id else None for one in keyframe.sightings]
        taken = {entity_id for entity_id in ids if entity_id}
        seen = []
        for sighting, given_id in zip(keyframe.sightings, ids, strict=True):
            entity_id = given_id or entity_sql.find(connection, sighting, taken=taken, gate_m=self._gate_m)
            if entity_id is None:
                entity_id = entity_sql.mint(connection, sighting, capture, write.next_revision())
            else:
                entity_sql.see_again(connection, entity_id, sighting, capture, write.next_revision())
            taken.add(entity_id)
            seen.append(replace(sighting, entity_id=entity_id))
        return tuple(seen)

    def merge(self, into_id: str, from_id: str) -> Entity:
        """Make one thing of two. Raises UnknownEntity, InvalidInput."""
        with self._write() as write:
            connection = write.connection
            entity_sql.check_mergeable(into_id, from_id)
            into_id = entity_sql.resolve(connection, into_id)
            from_id = entity_sql.resolve(connection, from_id)
            if into_id != from_id:
                entity_sql.merge(connection, into_id, from_id, write.next_revision())
            return entity_sql.load(connection, into_id)

    def set_embeddings(self, embeddings: dict[int, list[float]]) -> None:
        """Give keyframes, by revision, the vectors that an earlier similarity did not make. No change of the bank."""
        with self._transaction() as connection:
            for revision, embedding in embeddings.items():
                connection.execute(
                    update(keyframes).where(keyframes.c.revision == revision).values(embedding=embedding)
                )

    # Instructions

    def begin_instruction(
        self,
        instruction: Instruction,
        *,
        tokens: Sequence[str],
        embedding: Sequence[float] | None,
        wall_ns: int,
        size: int,
        least_likeness: float,
        include_image: bool,
    ) -> InstructionBegun:
        """Take its things in and begin its memory of `size` frames. Raises UnknownEntity."""
        with self._write() as write:
            connection = write.connection
            row = instruction_sql.find(connection, instruction.mission_id, instruction.number)
            created = row is None
            if row is None:
                said = self._speak_of_all(write, instruction, wall_ns)
                ids = list(said)
                memory, recalled_by = instruction_sql.that_show(connection, ids, size), RecalledBy.THINGS
                if not memory:
                    nearest = instruction_sql.most_alike(
                        connection, instruction.mission_id, instruction.number, tokens, embedding
                    )
                    recalled_by = RecalledBy.NOTHING
                    if nearest is not None and nearest[1] >= least_likeness:
                        memory = instruction_sql.best_of(connection, instruction.mission_id, nearest[0], size)
                        recalled_by = RecalledBy.SIMILARITY if memory else RecalledBy.NOTHING
                instruction_sql.add(
                    connection, instruction, said, recalled_by, memory, wall_ns, tokens=tokens, embedding=embedding
                )
            else:
                ids, recalled_by = row["entity_ids"], RecalledBy(row["recalled_by"])
                memory = instruction_sql.read_active(connection, instruction.mission_id, instruction.number)
            things = tuple(entity_sql.load(connection, entity_sql.resolve(connection, one)) for one in ids)
            revisions = sorted(int(one.key) for one in memory)
            loaded = keyframe_sql.load(connection, revisions, self._images, include_image=include_image)
        oldest_first = tuple(loaded[revision] for revision in revisions)
        return InstructionBegun(things, oldest_first, recalled_by, created)

    def _speak_of_all(self, write: _Write, instruction: Instruction, wall_ns: int) -> dict[str, ThingMention]:
        """What was said of each thing, by the id it goes by, in the order of the mentions."""
        said: dict[str, ThingMention] = {}
        for mention in instruction.things:
            connection, sighting = write.connection, Sighting(mention.label)
            if mention.entity_id:
                entity_id = entity_sql.resolve(connection, mention.entity_id)
            else:
                found = None if mention.new else entity_sql.find(connection, sighting, taken=said, gate_m=self._gate_m)
                entity_id = found or entity_sql.mint(
                    connection, sighting, entity_sql.NEVER_SEEN, write.next_revision(), kind=mention.kind
                )
            if entity_sql.speak_of(connection, entity_id, mention, wall_ns, write.revision + 1):
                write.next_revision()
            said.setdefault(entity_id, replace(mention, entity_id=entity_id))
        return said

    def instruction_things(self, mission_id: str, number: int) -> list[Entity]:
        """The things an instruction is about. Raises UnknownInstruction."""
        with self._transaction() as connection:
            row = instruction_sql.require(connection, mission_id, number)
            return [entity_sql.load(connection, entity_sql.resolve(connection, one)) for one in row["entity_ids"]]

    def filed_chunk(self, mission_id: str, number: int, chunk: int) -> ChunkFiled | None:
        """What was filed of a chunk, or None. Raises UnknownInstruction."""
        with self._transaction() as connection:
            instruction_sql.require(connection, mission_id, number)
            revision = instruction_sql.filed(connection, mission_id, number, chunk)
            if revision is None:
                return None
            reached = connection.execute(select(bank.c.revision)).scalar_one()
            return self._filed(connection, mission_id, number, revision, reached, created=False)

    def file_chunk(self, prepared: Prepared, mission_id: str, number: int, chunk: int, *, size: int) -> ChunkFiled:
        """File the chunk's best frame and let it join the active memory. Raises what `put` raises."""
        image_ref = self._keep_pixels(prepared.keyframe)
        freed: list[str] = []
        with self._write() as write:
            connection = write.connection
            instruction_sql.require(connection, mission_id, number)
            revision = instruction_sql.filed(connection, mission_id, number, chunk)
            created = revision is None
            if revision is None:
                revision, _ = self._put(write, prepared, image_ref, freed)
                score = prepared.keyframe.score
                instruction_sql.add_filed(connection, mission_id, number, chunk, revision, score)
                before = instruction_sql.read_active(connection, mission_id, number)
                after = admit(before, Scored(str(revision), score), size)
                if after != tuple(before):
                    instruction_sql.set_active(connection, mission_id, number, after)
            result = self._filed(connection, mission_id, number, revision, write.revision, created=created)
        self._delete_pixels(freed)
        return result

    def _filed(
        self, connection: Connection, mission_id: str, number: int, revision: int, reached: int, *, created: bool
    ) -> ChunkFiled:
        memory = [int(one.key) for one in instruction_sql.read_active(connection, mission_id, number)]
        loaded = keyframe_sql.load(connection, [revision, *memory], self._images)
        names = tuple(loaded[one].frame.frame_id for one in memory)
        return ChunkFiled(loaded[revision], names, created, reached)

    def instruction_records(self, mission_id: str) -> list[InstructionRecord]:
        """What a mission was told and what it recalled."""
        with self._transaction() as connection:
            return instruction_sql.records(connection, mission_id)

    # Reads

    def counts(self) -> tuple[str, int, int, int, int]:
        """Server version, keyframes, entities, revision, bytes of pixels."""
        with self._transaction() as connection:
            version = server_version(connection)
            row = connection.execute(select(bank)).one()
            things = connection.execute(
                select(func.count()).select_from(entities).where(entities.c.merged_into.is_(None))
            ).scalar_one()
            return version, row.kept_keyframes, things, row.revision, row.kept_image_bytes

    def _load(self, connection: Connection, revision: int, *, include_image: bool = False) -> Keyframe:
        return keyframe_sql.load(connection, [revision], self._images, include_image=include_image)[revision]

    def get(self, frame_id: str, clock_id: str, *, include_image: bool) -> Keyframe:
        """One keyframe, the newest filed if no clock is named. Raises UnknownKeyframe, KeyframeForgotten."""
        query = select(keyframes.c.revision).where(keyframes.c.frame_id == frame_id)
        if clock_id:
            query = query.where(keyframes.c.clock_id == clock_id)
        with self._transaction() as connection:
            revision = connection.execute(query.order_by(keyframes.c.revision.desc()).limit(1)).scalar_one_or_none()
            if revision is None:
                raise UnknownKeyframe(frame_id=frame_id, clock_id=clock_id)
            found = self._load(connection, revision, include_image=include_image)
        if include_image and found.forgotten:
            raise KeyframeForgotten(frame_id=frame_id)
        return found

    def list_keyframes(self, before_revision: int | None, limit: int, mission_id: str) -> list[tuple[int, Keyframe]]:
        """Keyframes with their revisions, newest first; also those whose pixels are forgotten."""
        query = keyframe_sql.of_mission(select(keyframes.c.revision), mission_id)
        if before_revision is not None:
            query = query.where(keyframes.c.revision < before_revision)
        with self._transaction() as connection:
            found = list(connection.execute(query.order_by(keyframes.c.revision.desc()).limit(limit)).scalars())
            loaded = keyframe_sql.load(connection, found, self._images)
            return [(revision, loaded[revision]) for revision in found]

    def list_entities(self, after_id: str, limit: int, name: str = "") -> list[Entity]:
        """Things that were not merged away, by id, which is the order of their making."""
        query = select(entities).where(entities.c.merged_into.is_(None), entities.c.entity_id > after_id)
        if name:
            query = query.where(entities.c.names.contains([normalise(name)]))
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(entities.c.entity_id).limit(limit)).mappings()
            return [read_entity(row) for row in rows]

    def changes_after(self, revision: int, limit: int) -> list[Change]:
        """The next changes, oldest first."""
        query = select(changes).where(changes.c.revision > revision).order_by(changes.c.revision).limit(limit)
        with self._transaction() as connection:
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
        with self._transaction() as connection:
            found = list(connection.execute(query.limit(limit)).scalars())
            return list(keyframe_sql.load(connection, found, self._images).items())

    def search(self, find: Callable[[Connection], Sequence[Row[Any]]], *, include_image: bool) -> list[Match]:
        """The keyframes that one of `search_sql`'s functions ranks. Raises UnknownEntity."""
        with self._transaction() as connection:
            return keyframe_sql.matches(connection, find(connection), self._images, include_image)
