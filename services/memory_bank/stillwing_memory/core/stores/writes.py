"""The bank's writes in SQL. Blocking; the bank runs it in threads. It knows no wire and no asyncio."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Engine, update
from sqlalchemy.dialects.postgresql import insert

from stillwing_memory.core.entities import Entity
from stillwing_memory.core.filing.rules import Scored, admit
from stillwing_memory.core.instructions import ChunkFiled, Instruction, InstructionBegun, RecalledBy, ThingMention
from stillwing_memory.core.keyframes import Keyframe, PutResult, Sighting
from stillwing_memory.core.stores import entity_sql, instruction_sql, keyframe_sql
from stillwing_memory.core.stores.connection import transaction
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.reads import chunk_filed
from stillwing_memory.core.stores.retention import Retention, make_room
from stillwing_memory.core.stores.schema import bank, keyframes
from stillwing_memory.core.stores.write_transaction import Write, writing


@dataclass(frozen=True, slots=True)
class Prepared:
    """A keyframe ready to be written: what was computed from it before the transaction began."""

    keyframe: Keyframe
    tokens: Sequence[str]
    embedding: Sequence[float] | None


class Writes:
    """What one tenant's bank is changed by. Every method is one transaction and raises StoreUnavailable."""

    def __init__(
        self,
        engine: Engine,
        *,
        gate_m: float,
        images: ImageStore | None,
        row_image_bytes: int,
        retention: Retention,
    ) -> None:
        self._engine = engine
        self._gate_m = gate_m
        self._images = images
        self._row_image_bytes = row_image_bytes
        self._retention = retention

    def ensure_tenant(self) -> None:
        """Make the tenant's row where it is missing."""
        with transaction(self._engine) as connection:
            connection.execute(insert(bank).values(revision=0).on_conflict_do_nothing())

    def put(self, prepared: Prepared) -> PutResult:
        """Store it, or return what is stored for this frame. Raises UnknownEntity, BankFull."""
        image_ref = self._keep_pixels(prepared.keyframe)
        freed: list[str] = []
        with writing(self._engine) as write:
            revision, stored = self._put(write, prepared, image_ref, freed)
            found = stored or keyframe_sql.load(write.connection, [revision], self._images)[revision]
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
        with transaction(self._engine) as connection:
            unnamed = [name for name in names if not keyframe_sql.is_named(connection, name)]
        for name in unnamed:
            self._images.delete(name)

    def _put(
        self, write: Write, prepared: Prepared, image_ref: str | None, freed: list[str]
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
        make_room(write, self._retention, revision, freed)
        image = replace(keyframe.frame.image, data=b"")
        return revision, replace(keyframe, frame=replace(keyframe.frame, image=image))

    def _see_all(self, write: Write, keyframe: Keyframe) -> tuple[Sighting, ...]:
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
        with writing(self._engine) as write:
            connection = write.connection
            entity_sql.check_mergeable(into_id, from_id)
            into_id = entity_sql.resolve(connection, into_id)
            from_id = entity_sql.resolve(connection, from_id)
            if into_id != from_id:
                entity_sql.merge(connection, into_id, from_id, write.next_revision())
            return entity_sql.load(connection, into_id)

    def set_embeddings(self, embeddings: dict[int, list[float]]) -> None:
        """Give keyframes, by revision, the vectors that an earlier similarity did not make. No change of the bank."""
        with transaction(self._engine) as connection:
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
        with writing(self._engine) as write:
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

    def _speak_of_all(self, write: Write, instruction: Instruction, wall_ns: int) -> dict[str, ThingMention]:
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

    def file_chunk(self, prepared: Prepared, mission_id: str, number: int, chunk: int, *, size: int) -> ChunkFiled:
        """File the chunk's best frame and let it join the active memory. Raises what `put` raises."""
        image_ref = self._keep_pixels(prepared.keyframe)
        freed: list[str] = []
        with writing(self._engine) as write:
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
            result = chunk_filed(
                connection, self._images, (mission_id, number), revision, write.revision, created=created
            )
        self._delete_pixels(freed)
        return result
