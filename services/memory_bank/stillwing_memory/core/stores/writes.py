"""The bank's writes in SQL. Blocking; the bank runs it in threads. It knows no wire and no asyncio."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from sqlalchemy import Engine, update

from stillwing_memory.core.entities import Entity
from stillwing_memory.core.filing.rules import Scored, admit
from stillwing_memory.core.instructions import ChunkFiled, Instruction, InstructionBegun, RecalledBy, ThingMention
from stillwing_memory.core.keyframes import Keyframe, PutResult, Sighting
from stillwing_memory.core.stores import entity_sql, instruction_sql, keyframe_sql
from stillwing_memory.core.stores.connection import transaction
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.large_images import LargeImages
from stillwing_memory.core.stores.reads import chunk_filed
from stillwing_memory.core.stores.retention import Retention, make_room
from stillwing_memory.core.stores.schema import keyframes
from stillwing_memory.core.stores.write_transaction import Write, writing

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A keyframe ready to be written: what was computed from it before the transaction began."""

    keyframe: Keyframe
    tokens: Sequence[str]
    embedding: Sequence[float] | None


class Writes:
    """What one tenant's bank is changed by. Every method is one transaction and raises what `store_errors` does."""

    def __init__(
        self,
        engine: Engine,
        *,
        gate_m: float,
        images: ImageStore | None,
        large: LargeImages,
        retention: Retention,
    ) -> None:
        self._engine = engine
        self._gate_m = gate_m
        self._images = images
        self._large = large
        self._retention = retention

    def put(self, prepared: Prepared) -> PutResult:
        """Store it, or return what is stored for this frame. Raises UnknownEntity, BankFull."""

        def work(write: Write, image_ref: str | None) -> tuple[PutResult, bool]:
            revision, stored, loose = self._put(write, prepared, image_ref)
            found = stored or keyframe_sql.load(write.connection, [revision], self._images)[revision]
            return PutResult(found, write.revision, created=stored is not None), loose

        return self._with_pixels(prepared.keyframe, work)

    def _with_pixels(self, keyframe: Keyframe, work: Callable[[Write, str | None], tuple[Result, bool]]) -> Result:
        """Run `work` in one transaction with the image on disk; it says whether that or another is loose after it."""
        while True:
            image_ref = self._large.keep(keyframe)
            with writing(self._engine) as write:
                if image_ref is not None and not self._large.name(write.connection, image_ref):
                    continue  # a sweep took it between the two
                result, loose = work(write, image_ref)
            if loose:
                self._large.sweep()
            return result

    def _put(self, write: Write, prepared: Prepared, image_ref: str | None) -> tuple[int, Keyframe | None, bool]:
        """The revision, the keyframe as stored if it is new, and whether an image may be loose now."""
        known = keyframe_sql.find(write.connection, prepared.keyframe)
        if known is not None:
            if image_ref is not None:
                self._large.let_go(write.connection, image_ref)
            return known, None, image_ref is not None
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
        freed = make_room(write, self._retention, revision)
        for one in freed:
            self._large.let_go(write.connection, one)
        image = replace(keyframe.frame.image, data=b"")
        return revision, replace(keyframe, frame=replace(keyframe.frame, image=image)), bool(freed)

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

        def work(write: Write, image_ref: str | None) -> tuple[ChunkFiled, bool]:
            connection = write.connection
            instruction_sql.require(connection, mission_id, number)
            revision = instruction_sql.filed(connection, mission_id, number, chunk)
            created, loose = revision is None, False
            if revision is None:
                revision, _, loose = self._put(write, prepared, image_ref)
                score = prepared.keyframe.score
                instruction_sql.add_filed(connection, mission_id, number, chunk, revision, score)
                before = instruction_sql.read_active(connection, mission_id, number)
                after = admit(before, Scored(str(revision), score), size)
                if after != tuple(before):
                    instruction_sql.set_active(connection, mission_id, number, after)
            elif image_ref is not None:
                self._large.let_go(connection, image_ref)
                loose = True
            key = (mission_id, number)
            return chunk_filed(connection, self._images, key, revision, write.revision, created=created), loose

        return self._with_pixels(prepared.keyframe, work)
