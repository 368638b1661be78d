"""The bank of this process: checks, similarity, paging and streams over one PostgreSQL store.

Blocking work runs in one small pool of threads, one transaction a call; the event loop only waits. It knows no wire.
"""

import asyncio
import logging
import re
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine

from stillwing_common.errors import BadPageToken, InvalidInput, StoreUnavailable
from stillwing_memory.core.changes import Change
from stillwing_memory.core.checks import (
    check_chunk,
    check_id,
    check_image,
    check_instruction,
    check_keyframe,
    check_position,
    check_text,
    check_times,
)
from stillwing_memory.core.entities import Entity, EntityPage
from stillwing_memory.core.filing.evidence import choose_keyframe, text_of
from stillwing_memory.core.instructions import Chunk, ChunkFiled, Instruction, InstructionBegun, InstructionRecord
from stillwing_memory.core.keyframes import (
    ByEntity,
    ByPlace,
    ByText,
    ByTime,
    Keyframe,
    KeyframePage,
    Match,
    PutResult,
    Query,
)
from stillwing_memory.core.limits import Limits
from stillwing_memory.core.paging import make_token, read_token
from stillwing_memory.core.protocol import BankInfo
from stillwing_memory.core.scoring import choose_scorer
from stillwing_memory.core.stores import search_sql
from stillwing_memory.core.stores.connection import POOL_SIZE, migrate, open_engine
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.large_images import LargeImages
from stillwing_memory.core.stores.notifications import Bell
from stillwing_memory.core.stores.reads import Reads
from stillwing_memory.core.stores.retention import Retention
from stillwing_memory.core.stores.server import DatabaseServer, embedded_server
from stillwing_memory.core.stores.write_transaction import CHANNEL, ensure_tenant
from stillwing_memory.core.stores.writes import Prepared, Writes
from stillwing_memory.core.text import Similarity, choose_similarity, tokens

T = TypeVar("T")

_DEFAULT_KEYFRAMES = 50
_DEFAULT_ENTITIES = 100
_DEFAULT_MATCHES = 10
_CHANGES_AT_ONCE = 100
_EMBED_AT_ONCE = 64

_TENANT = re.compile(r"[A-Za-z0-9_-]{1,63}", re.ASCII)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BankConfig:
    """Where the bank keeps things and how it compares.

    `dsn` "" runs an embedded server in `folder`. `tenant` is whose rows this bank sees and writes; several tenants
    share one database. `match_gate_m`: two placed things of one name farther apart are two. `similarity`: auto, minilm
    or token_overlap; `scorer`: similarity, attention or newest. Images above `row_image_bytes` go to `images_url`
    (folder or URL; "": `folder`/images with the embedded server, else they are refused). `memory_frames` is how many
    keyframes an instruction has in sight; the best of an earlier instruction are recalled from `least_likeness` on.
    `search_breadth` is how many candidates the vector index looks at.
    """

    folder: Path = Path(".stillwing/memory")
    dsn: str = ""
    similarity: str = "auto"
    match_gate_m: float = 5.0
    tenant: str = "default"
    scorer: str = "similarity"
    images_url: str = ""
    row_image_bytes: int = 256 * 1024
    memory_frames: int = 3
    least_likeness: float = 0.3
    search_breadth: int = 100
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not _TENANT.fullmatch(self.tenant):
            raise InvalidInput("a tenant is 1 to 63 letters, digits, - or _", tenant=self.tenant[:80])
        if not 1 <= self.memory_frames <= 16 or not 1 <= self.search_breadth <= 1000:
            raise InvalidInput("memory_frames is 1 to 16, search_breadth 1 to 1000")
        if not self.match_gate_m > 0:
            raise InvalidInput("match_gate_m is above 0", match_gate_m=self.match_gate_m)


class StoredBank:
    """A `MemoryBank`. Made by `open`."""

    def __init__(
        self,
        config: BankConfig,
        server: DatabaseServer | None,
        engine: Engine,
        similarity: Similarity,
        bell: Bell,
        images: ImageStore | None,
        image_folder: str,
    ) -> None:
        self._config = config
        self._limits = config.limits
        self._server = server
        self._engine = engine
        self._similarity = similarity
        self._bell = bell
        self._scorer = choose_scorer(config.scorer, similarity)
        self._images = images
        self._reads = Reads(engine, images)
        self._large = LargeImages(engine, images, image_folder, config.row_image_bytes)
        self._writes = Writes(
            engine,
            gate_m=config.match_gate_m,
            images=images,
            large=self._large,
            retention=config.retention,
        )
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="memory-store")
        self._closed = False

    @classmethod
    async def open(cls, config: BankConfig) -> Self:
        """Start or reach the store and bring its tables to this version.

        Raises StoreUnavailable, StoreTooNew, StoreDamaged, StoreInUse, MissingExtra, UnknownBackend. Takes seconds on
        a new folder.
        """
        images = await asyncio.to_thread(_images, config)
        similarity = await asyncio.to_thread(choose_similarity, config.similarity)
        server: DatabaseServer | None = None
        engine: Engine | None = None
        bell: Bell | None = None
        try:
            if not config.dsn:
                server = embedded_server(config.folder)
                await _uninterrupted(server.start)
            dsn = server.dsn if server else config.dsn
            await _uninterrupted(_migrate, dsn)
            engine = open_engine(dsn, config.tenant)
            bell = Bell(dsn, CHANNEL)
            await bell.start()
            image_folder = await asyncio.to_thread(ensure_tenant, engine)
            opened = cls(config, server, engine, similarity, bell, images, image_folder)
            await opened._run(opened._large.sweep)
            await opened._embed_what_is_not()
        except BaseException:
            if bell is not None:
                await bell.close()
            if engine is not None:
                engine.dispose()
            if server is not None:
                await _uninterrupted(server.stop)
            raise
        _log.info("texts are compared by %s, in the %s store", similarity.name, "embedded" if server else "given")
        return opened

    async def end_streams(self) -> None:
        """End every `watch_changes`, now and from now on; reads and writes go on."""
        await self._bell.close()

    async def close(self) -> None:
        """Let the store go; streams end, an embedded server is stopped. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        await self._bell.close()
        await _uninterrupted(self._shut)

    def _shut(self) -> None:
        self._threads.shutdown(wait=True)
        self._engine.dispose()
        if self._server is not None:
            self._server.stop()

    async def get_bank(self) -> BankInfo:
        """See `MemoryBank`."""
        version, frames, things, revision, image_bytes = await self._run(self._reads.counts)
        kind = "embedded" if self._server else "dsn"
        return BankInfo(
            kind, version, self._similarity.name, frames, things, revision,
            self._config.tenant, self._scorer.name, image_bytes,
        )  # fmt: skip

    async def put_keyframe(self, keyframe: Keyframe) -> PutResult:
        """See `MemoryBank`."""
        check_keyframe(keyframe, self._limits)

        return await self._run(lambda: self._writes.put(self._prepared(keyframe)))

    def _prepared(self, keyframe: Keyframe) -> Prepared:
        """Checks the pixels and computes what is kept beside the keyframe; takes milliseconds."""
        most = self._limits.max_image_bytes if self._images else self._config.row_image_bytes
        check_image(keyframe.frame.image, self._limits, most)
        text = text_of(keyframe)
        vectors = self._similarity.embed([text])
        stamped = replace(keyframe, put_wall_ns=time.time_ns(), forgotten=False)
        return Prepared(stamped, tokens(text), vectors[0] if vectors else None)

    async def get_keyframe(self, frame_id: str, *, clock_id: str = "", include_image: bool = False) -> Keyframe:
        """See `MemoryBank`."""
        check_id("frame_id", frame_id, self._limits, required=True)
        check_id("clock_id", clock_id, self._limits)
        return await self._run(lambda: self._reads.get(frame_id, clock_id, include_image=include_image))

    async def list_keyframes(self, *, page_size: int = 0, page_token: str = "", mission_id: str = "") -> KeyframePage:
        """See `MemoryBank`."""
        check_id("mission_id", mission_id, self._limits)
        before = _revision(read_token(page_token, "keyframes", mission_id)) if page_token else None
        size = self._page_size(page_size, _DEFAULT_KEYFRAMES)
        found = await self._run(lambda: self._reads.list_keyframes(before, size + 1, mission_id))
        page = found[:size]
        token = make_token("keyframes", mission_id, str(page[-1][0])) if len(found) > size else ""
        return KeyframePage(tuple(keyframe for _, keyframe in page), token)

    async def search_keyframes(
        self, query: Query, *, limit: int = 0, mission_id: str = "", include_image: bool = False
    ) -> tuple[Match, ...]:
        """See `MemoryBank`."""
        check_id("mission_id", mission_id, self._limits)
        size = self._page_size(limit, _DEFAULT_MATCHES)
        if include_image:
            size = min(size, self._limits.max_results_with_images)
        find: Callable[[Connection], search_sql.Rows]
        match query:
            case ByText(text):
                check_text("text", text, self._limits.max_query_chars)
                wanted = tokens(text)
                if not wanted:
                    raise InvalidInput("the text holds no words", field="text")
                vectors = await self._run(lambda: self._similarity.embed([text]))
                breadth = self._config.search_breadth
                find = (
                    partial(search_sql.by_words, words=wanted, limit=size, mission_id=mission_id)
                    if vectors is None
                    else partial(
                        search_sql.by_vector, embedding=vectors[0], limit=size, mission_id=mission_id, breadth=breadth
                    )
                )
            case ByEntity(entity_id):
                check_id("entity_id", entity_id, self._limits, required=True)
                find = partial(search_sql.by_entity, entity_id=entity_id, limit=size, mission_id=mission_id)
            case ByPlace(near):
                check_position("near", near)
                find = partial(search_sql.by_place, near=near, limit=size, mission_id=mission_id)
            case ByTime(clock_id, from_ns, to_ns):
                check_id("clock_id", clock_id, self._limits)
                check_times(from_ns, to_ns)
                find = partial(
                    search_sql.by_time,
                    clock_id=clock_id, from_ns=from_ns, to_ns=to_ns, limit=size, mission_id=mission_id,
                )  # fmt: skip
        return tuple(await self._run(lambda: self._reads.search(find, include_image=include_image)))

    async def list_entities(self, *, page_size: int = 0, page_token: str = "", name: str = "") -> EntityPage:
        """See `MemoryBank`."""
        check_text("name", name, self._limits.max_label_chars)
        after = read_token(page_token, "entities", name) if page_token else ""
        if not after.isascii() or not after.isprintable():  # no id of a thing, and no text for the database
            raise BadPageToken
        size = self._page_size(page_size, _DEFAULT_ENTITIES)
        found = await self._run(lambda: self._reads.list_entities(after, size + 1, name))
        page = tuple(found[:size])
        return EntityPage(page, make_token("entities", name, page[-1].entity_id) if len(found) > size else "")

    async def merge_entities(self, into_entity_id: str, from_entity_id: str) -> Entity:
        """See `MemoryBank`."""
        check_id("into_entity_id", into_entity_id, self._limits, required=True)
        check_id("from_entity_id", from_entity_id, self._limits, required=True)
        return await self._run(lambda: self._writes.merge(into_entity_id, from_entity_id))

    async def begin_instruction(self, instruction: Instruction, *, include_image: bool = False) -> InstructionBegun:
        """See `MemoryBank`."""
        check_instruction(instruction, self._limits)

        def work() -> InstructionBegun:
            vectors = self._similarity.embed([instruction.text])
            return self._writes.begin_instruction(
                instruction,
                tokens=tokens(instruction.text),
                embedding=vectors[0] if vectors else None,
                wall_ns=time.time_ns(),
                size=self._config.memory_frames,
                least_likeness=self._config.least_likeness,
                include_image=include_image,
            )

        return await self._run(work)

    async def file_chunk(self, chunk: Chunk) -> ChunkFiled:
        """See `MemoryBank`."""
        check_chunk(chunk, self._limits)
        return await self._run(lambda: self._file_chunk(chunk))

    def _file_chunk(self, chunk: Chunk) -> ChunkFiled:
        key = (chunk.mission_id, chunk.instruction, chunk.number)
        before = self._reads.filed_chunk(*key)
        if before is not None:
            return before
        entities = self._reads.instruction_things(chunk.mission_id, chunk.instruction)
        prepared = self._prepared(choose_keyframe(chunk, entities, self._scorer))
        return self._writes.file_chunk(prepared, *key, size=self._config.memory_frames)

    async def list_instructions(self, mission_id: str) -> tuple[InstructionRecord, ...]:
        """See `MemoryBank`."""
        check_id("mission_id", mission_id, self._limits, required=True)
        return tuple(await self._run(lambda: self._reads.instruction_records(mission_id)))

    async def watch_changes(self, after_revision: int = 0) -> AsyncGenerator[Change, None]:
        """See `MemoryBank`."""
        reached = (await self.get_bank()).revision
        if not 0 <= after_revision <= reached:
            raise InvalidInput(
                f"revision {after_revision} is not of this bank, which is at {reached}", revision=after_revision
            )
        last = after_revision
        while True:
            rings = self._bell.rings
            while found := await self._run(partial(self._reads.changes_after, last, _CHANGES_AT_ONCE)):
                for change in found:
                    yield change
                    last = change.revision
            if not await self._bell.wait(rings):
                return

    def _page_size(self, wanted: int, default: int) -> int:
        if wanted < 0:
            raise InvalidInput("a page size is not negative", page_size=wanted)
        return min(wanted or default, self._limits.max_page_size)

    async def _embed_what_is_not(self) -> None:
        """Keyframes that were put under another similarity get their vectors now, or text search would miss them."""

        def work() -> int:
            batch = self._reads.without_embedding(_EMBED_AT_ONCE)
            vectors = self._similarity.embed([text_of(keyframe) for _, keyframe in batch]) if batch else None
            if not vectors:
                return 0
            self._writes.set_embeddings({revision: v for (revision, _), v in zip(batch, vectors, strict=True)})
            return len(batch)

        while count := await self._run(work):
            _log.info("gave %d older keyframes their sentence embeddings", count)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the bank is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _images(config: BankConfig) -> ImageStore | None:
    url = config.images_url or ("" if config.dsn else str(config.folder.expanduser().resolve() / "images"))
    return ImageStore(url) if url else None


def _migrate(dsn: str) -> None:
    engine = open_engine(dsn)
    try:
        migrate(engine)
    finally:
        engine.dispose()


def _revision(text: str) -> int:
    if not text.isdecimal() or len(text) > 19 or (revision := int(text)) >= 2**63:
        raise BadPageToken
    return revision


async def _uninterrupted(work: Callable[..., None], *arguments: object) -> None:
    """Run blocking work in a thread; a caller that is cancelled waits for it, because it may not be left half done."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
