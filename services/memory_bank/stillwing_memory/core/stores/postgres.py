"""The bank's reads and writes in SQL. Blocking; the bank runs it in threads. It knows no wire and no asyncio.

Writes are serialised by the lock on the one row of `bank`, held from the first statement to the commit. So revisions
have no gaps, and one that is visible means that all below it are: a reader of the change log misses nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, Row, RowMapping, Select, any_, func, literal, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.types import Text

from stillwing_common.errors import UnknownKeyframe
from stillwing_common.types import PositionNed
from stillwing_memory.core.base import Change, Entity, EntityChanged, Keyframe, KeyframePut, Match, PutResult, Sighting
from stillwing_memory.core.stores import entity_sql
from stillwing_memory.core.stores.connection import server_version, store_errors
from stillwing_memory.core.stores.rows import (
    entity_from_json,
    keyframe_columns,
    position_columns,
    read_entity,
    read_keyframe,
)
from stillwing_memory.core.stores.schema import bank, changes, entities, keyframes, sightings

CHANNEL = "stillwing_memory"

_HEAVY = ("image", "tokens", "embedding")
_LIGHT = [column for column in keyframes.c if column.name not in _HEAVY]


class PostgresStore:
    """Everything the bank keeps. Every method is one transaction and raises StoreUnavailable."""

    def __init__(self, engine: Engine, *, gate_m: float) -> None:
        self._engine = engine
        self._gate_m = gate_m

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with store_errors(), self._engine.begin() as connection:
            yield connection

    # Writes

    def put(self, keyframe: Keyframe, *, tokens: Sequence[str], embedding: Sequence[float] | None) -> PutResult:
        """Store it, or return what is stored for this frame. Raises UnknownEntity."""
        frame = keyframe.frame
        with self._transaction() as connection:
            revision = _lock_revision(connection)
            known = connection.execute(
                select(keyframes.c.revision).where(
                    keyframes.c.frame_id == frame.frame_id, keyframes.c.clock_id == frame.capture.clock_id
                )
            ).scalar_one_or_none()
            if known is not None:
                return PutResult(_load(connection, [known])[known], revision, created=False)
            seen, revision = self._see_all(connection, keyframe, revision)
            revision += 1
            stored = replace(keyframe, sightings=seen)
            connection.execute(
                insert(keyframes).values(
                    revision=revision, tokens=list(tokens), embedding=embedding, **keyframe_columns(stored)
                )
            )
            if seen:
                connection.execute(insert(sightings), _sighting_rows(revision, seen))
            connection.execute(insert(changes).values(revision=revision))
            _set_revision(connection, revision)
        image = replace(frame.image, data=b"")
        return PutResult(replace(stored, frame=replace(frame, image=image)), revision, created=True)

    def _see_all(self, connection: Connection, keyframe: Keyframe, revision: int) -> tuple[tuple[Sighting, ...], int]:
        """Give every sighting its thing; returns them with the revision reached."""
        capture = keyframe.frame.capture
        ids = [entity_sql.resolve(connection, one.entity_id) if one.entity_id else None for one in keyframe.sightings]
        taken = {entity_id for entity_id in ids if entity_id}
        seen = []
        for sighting, given_id in zip(keyframe.sightings, ids, strict=True):
            revision += 1
            entity_id = given_id or entity_sql.find(connection, sighting, taken=taken, gate_m=self._gate_m)
            if entity_id is None:
                entity_id = entity_sql.mint(connection, sighting, capture, revision)
            else:
                entity_sql.see_again(connection, entity_id, sighting, capture, revision)
            taken.add(entity_id)
            seen.append(replace(sighting, entity_id=entity_id))
        return tuple(seen), revision

    def merge(self, into_id: str, from_id: str) -> Entity:
        """Make one thing of two. Raises UnknownEntity, InvalidInput."""
        with self._transaction() as connection:
            revision = _lock_revision(connection)
            entity_sql.check_mergeable(into_id, from_id)
            into_id = entity_sql.resolve(connection, into_id)
            from_id = entity_sql.resolve(connection, from_id)
            if into_id != from_id:
                entity_sql.merge(connection, into_id, from_id, revision + 1)
                _set_revision(connection, revision + 1)
            return entity_sql.load(connection, into_id)

    def set_embeddings(self, embeddings: dict[int, list[float]]) -> None:
        """Give keyframes, by revision, the vectors that an earlier similarity did not make. No change of the bank."""
        with self._transaction() as connection:
            for revision, embedding in embeddings.items():
                connection.execute(
                    update(keyframes).where(keyframes.c.revision == revision).values(embedding=embedding)
                )

    # Reads

    def counts(self) -> tuple[str, int, int, int]:
        """Server version, keyframes, entities, revision."""
        with self._transaction() as connection:
            version = server_version(connection)
            revision = connection.execute(select(bank.c.revision)).scalar_one()
            frames = connection.execute(select(func.count()).select_from(keyframes)).scalar_one()
            things = connection.execute(
                select(func.count()).select_from(entities).where(entities.c.merged_into.is_(None))
            ).scalar_one()
            return version, frames, things, revision

    def get(self, frame_id: str, clock_id: str, *, include_image: bool) -> Keyframe:
        """One keyframe, the newest filed if no clock is named. Raises UnknownKeyframe."""
        query = select(keyframes.c.revision).where(keyframes.c.frame_id == frame_id)
        if clock_id:
            query = query.where(keyframes.c.clock_id == clock_id)
        with self._transaction() as connection:
            revision = connection.execute(query.order_by(keyframes.c.revision.desc()).limit(1)).scalar_one_or_none()
            if revision is None:
                raise UnknownKeyframe(frame_id=frame_id, clock_id=clock_id)
            return _load(connection, [revision], include_image=include_image)[revision]

    def list_keyframes(self, before_revision: int | None, limit: int, mission_id: str) -> list[tuple[int, Keyframe]]:
        """Keyframes with their revisions, newest first."""
        query = _of_mission(select(keyframes.c.revision), mission_id)
        if before_revision is not None:
            query = query.where(keyframes.c.revision < before_revision)
        with self._transaction() as connection:
            found = list(connection.execute(query.order_by(keyframes.c.revision.desc()).limit(limit)).scalars())
            loaded = _load(connection, found)
            return [(revision, loaded[revision]) for revision in found]

    def list_entities(self, after_id: str, limit: int) -> list[Entity]:
        """Things that were not merged away, by id, which is the order of their making."""
        query = select(entities).where(entities.c.merged_into.is_(None), entities.c.entity_id > after_id)
        with self._transaction() as connection:
            rows = connection.execute(query.order_by(entities.c.entity_id).limit(limit)).mappings()
            return [read_entity(row) for row in rows]

    def changes_after(self, revision: int, limit: int) -> list[Change]:
        """The next changes, oldest first."""
        query = select(changes).where(changes.c.revision > revision).order_by(changes.c.revision).limit(limit)
        with self._transaction() as connection:
            rows = connection.execute(query).all()
            loaded = _load(connection, [row.revision for row in rows if row.entity is None])
            return [
                KeyframePut(row.revision, loaded[row.revision])
                if row.entity is None
                else EntityChanged(row.revision, entity_from_json(row.entity))
                for row in rows
            ]

    def without_embedding(self, limit: int) -> list[tuple[int, Keyframe]]:
        """Keyframes that have no vector yet."""
        query = select(keyframes.c.revision).where(keyframes.c.embedding.is_(None)).limit(limit)
        with self._transaction() as connection:
            return list(_load(connection, list(connection.execute(query).scalars())).items())

    # Searches

    def search_words(self, words: Sequence[str], limit: int, mission_id: str, include_image: bool) -> list[Match]:
        """By words in common: |a and b| / sqrt(|a| |b|)."""
        wanted = literal(list(words), ARRAY(Text))
        word = func.unnest(wanted).column_valued("word")
        common = select(func.count()).where(word == any_(keyframes.c.tokens)).correlate(keyframes).scalar_subquery()
        score = common / func.sqrt(func.cardinality(keyframes.c.tokens) * len(words))
        query = select(keyframes.c.revision, score.label("score")).where(keyframes.c.tokens.overlap(wanted))
        with self._transaction() as connection:
            return _search(connection, query, limit, mission_id, include_image)

    def search_vector(
        self, embedding: Sequence[float], limit: int, mission_id: str, include_image: bool
    ) -> list[Match]:
        """By cosine of the sentence embeddings."""
        distance = keyframes.c.embedding.cosine_distance(embedding)
        query = _of_mission(select(keyframes.c.revision, (1 - distance).label("score")), mission_id)
        query = query.where(keyframes.c.embedding.is_not(None)).order_by(distance).limit(limit)
        with self._transaction() as connection:
            # A filter applied after the nearest neighbours leaves too few; the scan then goes on until it has enough.
            connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
            return _matches(connection, connection.execute(query).all(), include_image)

    def search_entity(self, entity_id: str, limit: int, mission_id: str, include_image: bool) -> list[Match]:
        """By confidence of the sightings of one thing. Raises UnknownEntity."""
        score = func.max(sightings.c.confidence).label("score")
        query = (
            select(keyframes.c.revision, score)
            .join(sightings, sightings.c.keyframe_revision == keyframes.c.revision)
            .group_by(keyframes.c.revision)
        )
        with self._transaction() as connection:
            query = query.where(sightings.c.entity_id == entity_sql.resolve(connection, entity_id))
            return _search(connection, query, limit, mission_id, include_image)

    def search_place(self, near: PositionNed, limit: int, mission_id: str, include_image: bool) -> list[Match]:
        """By distance from the camera: 1 / (1 + metres)."""
        north, east, down = keyframes.c.north_m, keyframes.c.east_m, keyframes.c.down_m
        squared = (
            func.power(north - near.north_m, 2) + func.power(east - near.east_m, 2) + func.power(down - near.down_m, 2)
        )
        score = (1 / (1 + func.sqrt(squared))).label("score")
        query = select(keyframes.c.revision, score).where(north.is_not(None))
        with self._transaction() as connection:
            return _search(connection, query, limit, mission_id, include_image)


def _search(
    connection: Connection, query: Select[Any], limit: int, mission_id: str, include_image: bool
) -> list[Match]:
    """Runs a query of (revision, score): best first, the newer first among equals."""
    ranked = _of_mission(query, mission_id).order_by(text("score DESC"), keyframes.c.revision.desc()).limit(limit)
    return _matches(connection, connection.execute(ranked).all(), include_image)


def _of_mission(query: Select[Any], mission_id: str) -> Select[Any]:
    return query.where(keyframes.c.mission_id == mission_id) if mission_id else query


def _matches(connection: Connection, ranked: Sequence[Row[Any]], include_image: bool) -> list[Match]:
    loaded = _load(connection, [row.revision for row in ranked], include_image=include_image)
    return [Match(loaded[row.revision], float(row.score)) for row in ranked]


def _lock_revision(connection: Connection) -> int:
    """The bank's revision, which nobody else can change until this transaction ends."""
    return int(connection.execute(select(bank.c.revision).with_for_update()).scalar_one())


def _set_revision(connection: Connection, revision: int) -> None:
    """The last statement of a write; those who watch are told at the commit."""
    connection.execute(update(bank).values(revision=revision))
    connection.execute(text(f"NOTIFY {CHANNEL}"))


def _sighting_rows(revision: int, seen: Sequence[Sighting]) -> list[dict[str, Any]]:
    return [
        {
            "keyframe_revision": revision,
            "place": place,
            "entity_id": sighting.entity_id,
            "track_id": sighting.track_id,
            "label": sighting.label,
            "box": list(sighting.box) if sighting.box else None,
            "confidence": sighting.confidence,
            **position_columns(sighting.position_ned_m),
        }
        for place, sighting in enumerate(seen)
    ]


def _load(connection: Connection, revisions: Sequence[int], *, include_image: bool = False) -> dict[int, Keyframe]:
    """Keyframes with their sightings, by revision."""
    if not revisions:
        return {}
    columns = [*_LIGHT, keyframes.c.image] if include_image else _LIGHT
    rows = connection.execute(select(*columns).where(keyframes.c.revision.in_(revisions))).mappings().all()
    of_keyframe: dict[int, list[RowMapping]] = {row["revision"]: [] for row in rows}
    query = select(sightings).where(sightings.c.keyframe_revision.in_(revisions)).order_by(sightings.c.place)
    for sighting in connection.execute(query).mappings():
        of_keyframe[sighting["keyframe_revision"]].append(sighting)
    return {row["revision"]: read_keyframe(row, of_keyframe[row["revision"]]) for row in rows}
