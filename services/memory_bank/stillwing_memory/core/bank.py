"""The bank of this process: checks, similarity, paging and streams over one PostgreSQL store.

Blocking work runs in one small pool of threads, one transaction a call; the event loop only waits. It knows no wire.
"""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from sqlalchemy import Engine

from stillwing_common.errors import BadPageToken, InvalidInput, StoreUnavailable
from stillwing_memory.core.base import (
    BankInfo,
    ByEntity,
    ByPlace,
    ByText,
    Change,
    Entity,
    EntityPage,
    Keyframe,
    KeyframePage,
    Limits,
    Match,
    PutResult,
    Query,
)
from stillwing_memory.core.checks import check_id, check_image, check_keyframe, check_position, check_text
from stillwing_memory.core.paging import make_token, read_token
from stillwing_memory.core.stores.connection import POOL_SIZE, migrate, open_engine
from stillwing_memory.core.stores.notifications import Bell
from stillwing_memory.core.stores.postgres import CHANNEL, PostgresStore
from stillwing_memory.core.text import Similarity, choose_similarity, tokens

if TYPE_CHECKING:
    from stillwing_memory.core.stores.embedded import EmbeddedPostgres

T = TypeVar("T")

_DEFAULT_KEYFRAMES = 50
_DEFAULT_ENTITIES = 100
_DEFAULT_MATCHES = 10
_CHANGES_AT_ONCE = 100
_EMBED_AT_ONCE = 64

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BankConfig:
    """Where the bank keeps things and how it compares.

    `dsn` "" runs an embedded server in `folder`. `match_gate_m`: two placed things of one name farther apart are two.
    `similarity`: auto, minilm or token_overlap.
    """

    folder: Path = Path(".stillwing/memory")
    dsn: str = ""
    similarity: str = "auto"
    match_gate_m: float = 5.0
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.match_gate_m > 0:
            raise InvalidInput("match_gate_m is above 0", match_gate_m=self.match_gate_m)


class StoredBank:
    """A `MemoryBank`. Made by `open`."""

    def __init__(
        self, config: BankConfig, server: "EmbeddedPostgres | None", engine: Engine, similarity: Similarity, bell: Bell
    ) -> None:
        self._config = config
        self._limits = config.limits
        self._server = server
        self._engine = engine
        self._similarity = similarity
        self._bell = bell
        self._store = PostgresStore(engine, gate_m=config.match_gate_m)
        self._threads = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="memory-store")
        self._closed = False

    @classmethod
    async def open(cls, config: BankConfig) -> Self:
        """Start or reach the store and bring its tables to this version.

        Raises StoreUnavailable, StoreInUse, MissingExtra, UnknownBackend. Takes seconds on a new folder.
        """
        similarity = await asyncio.to_thread(choose_similarity, config.similarity)
        server: EmbeddedPostgres | None = None
        engine: Engine | None = None
        bell: Bell | None = None
        try:
            if not config.dsn:
                server = _embedded(config.folder)
                await _uninterrupted(server.start)
            dsn = server.dsn if server else config.dsn
            engine = open_engine(dsn)
            await _uninterrupted(migrate, engine)
            bell = Bell(dsn, CHANNEL)
            await bell.start()
            opened = cls(config, server, engine, similarity, bell)
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
        version, frames, things, revision = await self._run(self._store.counts)
        kind = "embedded" if self._server else "dsn"
        return BankInfo(kind, version, self._similarity.name, frames, things, revision)

    async def put_keyframe(self, keyframe: Keyframe) -> PutResult:
        """See `MemoryBank`."""
        check_keyframe(keyframe, self._limits)

        def work() -> PutResult:
            check_image(keyframe.frame.image, self._limits)
            text = _text_of(keyframe)
            vectors = self._similarity.embed([text])
            stamped = replace(keyframe, put_wall_ns=time.time_ns())
            return self._store.put(stamped, tokens=tokens(text), embedding=vectors[0] if vectors else None)

        return await self._run(work)

    async def get_keyframe(self, frame_id: str, *, clock_id: str = "", include_image: bool = False) -> Keyframe:
        """See `MemoryBank`."""
        check_id("frame_id", frame_id, self._limits, required=True)
        check_id("clock_id", clock_id, self._limits)
        return await self._run(lambda: self._store.get(frame_id, clock_id, include_image=include_image))

    async def list_keyframes(self, *, page_size: int = 0, page_token: str = "", mission_id: str = "") -> KeyframePage:
        """See `MemoryBank`."""
        check_id("mission_id", mission_id, self._limits)
        before = _revision(read_token(page_token, "keyframes", mission_id)) if page_token else None
        size = self._page_size(page_size, _DEFAULT_KEYFRAMES)
        found = await self._run(lambda: self._store.list_keyframes(before, size + 1, mission_id))
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
        rest = (size, mission_id, include_image)
        match query:
            case ByText(text):
                check_text("text", text, self._limits.max_query_chars)
                wanted = tokens(text)
                if not wanted:
                    raise InvalidInput("the text holds no words", field="text")
                return tuple(await self._run(lambda: self._search_text(text, wanted, *rest)))
            case ByEntity(entity_id):
                check_id("entity_id", entity_id, self._limits, required=True)
                return tuple(await self._run(lambda: self._store.search_entity(entity_id, *rest)))
            case ByPlace(near):
                check_position("near", near)
                return tuple(await self._run(lambda: self._store.search_place(near, *rest)))

    def _search_text(
        self, text: str, wanted: list[str], limit: int, mission_id: str, include_image: bool
    ) -> list[Match]:
        vectors = self._similarity.embed([text])
        if vectors is None:
            return self._store.search_words(wanted, limit, mission_id, include_image)
        return self._store.search_vector(vectors[0], limit, mission_id, include_image)

    async def list_entities(self, *, page_size: int = 0, page_token: str = "") -> EntityPage:
        """See `MemoryBank`."""
        after = read_token(page_token, "entities", "") if page_token else ""
        size = self._page_size(page_size, _DEFAULT_ENTITIES)
        found = await self._run(lambda: self._store.list_entities(after, size + 1))
        page = tuple(found[:size])
        return EntityPage(page, make_token("entities", "", page[-1].entity_id) if len(found) > size else "")

    async def merge_entities(self, into_entity_id: str, from_entity_id: str) -> Entity:
        """See `MemoryBank`."""
        check_id("into_entity_id", into_entity_id, self._limits, required=True)
        check_id("from_entity_id", from_entity_id, self._limits, required=True)
        return await self._run(lambda: self._store.merge(into_entity_id, from_entity_id))

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
            while found := await self._run(partial(self._store.changes_after, last, _CHANGES_AT_ONCE)):
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
            batch = self._store.without_embedding(_EMBED_AT_ONCE)
            vectors = self._similarity.embed([_text_of(keyframe) for _, keyframe in batch]) if batch else None
            if not vectors:
                return 0
            self._store.set_embeddings({revision: v for (revision, _), v in zip(batch, vectors, strict=True)})
            return len(batch)

        while count := await self._run(work):
            _log.info("gave %d older keyframes their sentence embeddings", count)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreUnavailable("the bank is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _embedded(folder: Path) -> "EmbeddedPostgres":
    if sys.platform == "win32":
        raise StoreUnavailable("the embedded server needs Linux or macOS; give a DSN of a PostgreSQL with pgvector")
    from stillwing_memory.core.stores.embedded import EmbeddedPostgres

    return EmbeddedPostgres(folder)


def _text_of(keyframe: Keyframe) -> str:
    return ". ".join([keyframe.caption, *(sighting.label for sighting in keyframe.sightings)])


def _revision(text: str) -> int:
    if not text.isdecimal():
        raise BadPageToken
    return int(text)


async def _uninterrupted(work: Callable[..., None], *arguments: object) -> None:
    """Run blocking work in a thread; a caller that is cancelled waits for it, because it may not be left half done."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
