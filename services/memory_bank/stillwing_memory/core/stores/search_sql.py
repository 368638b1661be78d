"""Searches in SQL: each ranks keyframes as rows of (revision, score), best first, inside its caller's transaction.

It knows nothing of what a keyframe holds.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, any_, func, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import Text

from stillwing_common.types import PositionNed
from stillwing_memory.core.stores import entity_sql
from stillwing_memory.core.stores.keyframe_sql import of_mission, ranked
from stillwing_memory.core.stores.schema import keyframes, sightings

Rows = Sequence[Row[Any]]


def by_words(connection: Connection, words: Sequence[str], limit: int, mission_id: str) -> Rows:
    """By words in common: |a and b| / sqrt(|a| |b|)."""
    wanted = literal(list(words), ARRAY(Text))
    word = func.unnest(wanted).column_valued("word")
    common = select(func.count()).where(word == any_(keyframes.c.tokens)).correlate(keyframes).scalar_subquery()
    score = common / func.sqrt(func.cardinality(keyframes.c.tokens) * len(words))
    query = select(keyframes.c.revision, score.label("score")).where(keyframes.c.tokens.overlap(wanted))
    return ranked(connection, query, limit, mission_id)


def by_vector(connection: Connection, embedding: Sequence[float], limit: int, mission_id: str, breadth: int) -> Rows:
    """By cosine of the sentence embeddings; `breadth` is how many candidates the index looks at."""
    distance = keyframes.c.embedding.cosine_distance(embedding)
    query = of_mission(select(keyframes.c.revision, (1 - distance).label("score")), mission_id)
    query = query.where(keyframes.c.embedding.is_not(None)).order_by(distance).limit(limit)
    # A filter applied after the nearest neighbours leaves too few; the scan then goes on until it has enough.
    connection.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
    connection.execute(text(f"SET LOCAL hnsw.ef_search = {max(breadth, min(limit, 1000)):d}"))
    return connection.execute(query).all()


def by_entity(connection: Connection, entity_id: str, limit: int, mission_id: str) -> Rows:
    """By confidence of the sightings of one thing. Raises UnknownEntity."""
    score = func.max(sightings.c.confidence).label("score")
    query = (
        select(keyframes.c.revision, score)
        .join(sightings, sightings.c.keyframe_revision == keyframes.c.revision)
        .where(sightings.c.entity_id == entity_sql.resolve(connection, entity_id))
        .group_by(keyframes.c.tenant, keyframes.c.revision)
    )
    return ranked(connection, query, limit, mission_id)


def by_place(connection: Connection, near: PositionNed, limit: int, mission_id: str) -> Rows:
    """By distance from the camera: 1 / (1 + metres)."""
    north, east, down = keyframes.c.north_m, keyframes.c.east_m, keyframes.c.down_m
    squared = (
        func.power(north - near.north_m, 2) + func.power(east - near.east_m, 2) + func.power(down - near.down_m, 2)
    )
    score = (1 / (1 + func.sqrt(squared))).label("score")
    return ranked(connection, select(keyframes.c.revision, score).where(north.is_not(None)), limit, mission_id)


def by_time(connection: Connection, clock_id: str, from_ns: int, to_ns: int, limit: int, mission_id: str) -> Rows:
    """Captured from `from_ns` up to and without `to_ns` on one clock, newest first: 1 / (1 + s before the end)."""
    age_s = (to_ns - keyframes.c.capture_ns) / literal(1e9)
    query = select(keyframes.c.revision, (1 / (1 + age_s)).label("score")).where(
        keyframes.c.clock_id == clock_id, keyframes.c.capture_ns >= from_ns, keyframes.c.capture_ns < to_ns
    )
    return ranked(connection, query, limit, mission_id)
