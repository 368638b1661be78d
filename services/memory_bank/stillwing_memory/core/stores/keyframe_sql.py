"""Keyframes in SQL: inserted, loaded with their sightings, ranked, forgotten. Each runs in its caller's transaction.

It knows nothing of what an instruction is, of connections or of threads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    RowMapping,
    Select,
    Subquery,
    bindparam,
    delete,
    func,
    select,
    text,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from stillwing_common.errors import StoreUnavailable
from stillwing_memory.core.keyframes import Keyframe, Match, Sighting
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.rows import keyframe_columns, position_columns, read_keyframe
from stillwing_memory.core.stores.schema import active, changes, instructions, keyframes, sightings

# Made once: to make them anew for each keyframe takes longer than to send them.
_ADD, _SEE, _LOG = insert(keyframes), insert(sightings), insert(changes)
_FIND = select(keyframes.c.revision).where(
    keyframes.c.frame_id == bindparam("frame_id"), keyframes.c.clock_id == bindparam("clock_id")
)
_HEAVY = ("image", "tokens", "embedding")
_LIGHT = [column for column in keyframes.c if column.name not in _HEAVY]


def find(connection: Connection, keyframe: Keyframe) -> int | None:
    """The revision at which this frame was put, or None."""
    frame = keyframe.frame
    return connection.execute(
        _FIND, {"frame_id": frame.frame_id, "clock_id": frame.capture.clock_id}
    ).scalar_one_or_none()


def add(
    connection: Connection,
    keyframe: Keyframe,
    revision: int,
    *,
    image_ref: str | None,
    tokens: Sequence[str],
    embedding: Sequence[float] | None,
) -> None:
    """One keyframe whose sightings have their ids; its pixels in the row unless `image_ref` names them."""
    row = {
        "revision": revision,
        "tokens": list(tokens),
        "embedding": embedding,
        "image": None if image_ref else keyframe.frame.image.data,
        "image_ref": image_ref,
        **keyframe_columns(keyframe),
    }
    connection.execute(_ADD, row)
    if keyframe.sightings:
        connection.execute(_SEE, _sighting_rows(revision, keyframe.sightings))
    connection.execute(_LOG, {"revision": revision})


def load(
    connection: Connection, revisions: Sequence[int], images: ImageStore | None, *, include_image: bool = False
) -> dict[int, Keyframe]:
    """Keyframes with their sightings, by revision."""
    if not revisions:
        return {}
    columns = [*_LIGHT, keyframes.c.image] if include_image else _LIGHT
    rows = connection.execute(select(*columns).where(keyframes.c.revision.in_(revisions))).mappings().all()
    of_keyframe: dict[int, list[RowMapping]] = {row["revision"]: [] for row in rows}
    query = select(sightings).where(sightings.c.keyframe_revision.in_(revisions)).order_by(sightings.c.place)
    for sighting in connection.execute(query).mappings():
        of_keyframe[sighting["keyframe_revision"]].append(sighting)
    loaded = {row["revision"]: read_keyframe(row, of_keyframe[row["revision"]]) for row in rows}
    if include_image:
        for row in rows:
            if row["image_ref"] is not None and row["forgotten_revision"] is None:
                loaded[row["revision"]] = _with_pixels(loaded[row["revision"]], row["image_ref"], images)
    return loaded


def _with_pixels(keyframe: Keyframe, name: str, images: ImageStore | None) -> Keyframe:
    if images is None:
        raise StoreUnavailable("this bank was not told where its large images are; give images_url", image=name)
    return replace(keyframe, frame=replace(keyframe.frame, image=replace(keyframe.frame.image, data=images.get(name))))


def of_mission(query: Select[Any], mission_id: str) -> Select[Any]:
    """Only keyframes of one mission; all for ""."""
    return query.where(keyframes.c.mission_id == mission_id) if mission_id else query


def ranked(connection: Connection, query: Select[Any], limit: int, mission_id: str) -> Sequence[Row[Any]]:
    """Runs a query of (revision, score): best first, the newer first among equals, nothing that was forgotten."""
    query = of_mission(query, mission_id).where(keyframes.c.forgotten_revision.is_(None))
    return connection.execute(query.order_by(text("score DESC"), keyframes.c.revision.desc()).limit(limit)).all()


def matches(
    connection: Connection, rows: Sequence[Row[Any]], images: ImageStore | None, include_image: bool
) -> list[Match]:
    """Rows of (revision, score) as results."""
    loaded = load(connection, [row.revision for row in rows], images, include_image=include_image)
    return [Match(loaded[row.revision], float(row.score)) for row in rows]


def _newest_instructions() -> Subquery:
    """The mission and number of each mission's newest instruction."""
    return (
        select(instructions.c.mission_id, func.max(instructions.c.number).label("number"))
        .group_by(instructions.c.mission_id)
        .subquery()
    )


def oldest_to_forget(connection: Connection, limit: int, put: int) -> list[Mapping[str, Any]]:
    """Keyframes with pixels that may go so that the keyframe of revision `put` stays, the first to go first.

    The oldest come first that no mission's newest instruction has in sight, then the oldest that another mission has:
    nobody tells a bank that a mission is over.
    """
    newest = _newest_instructions()
    in_sight = select(active.c.keyframe_revision, active.c.mission_id).join(
        newest, (active.c.mission_id == newest.c.mission_id) & (active.c.instruction == newest.c.number)
    )
    by_any = in_sight.with_only_columns(active.c.keyframe_revision)
    mission_id = select(keyframes.c.mission_id).where(keyframes.c.revision == put).scalar_subquery()
    by_this = by_any.where(active.c.mission_id == mission_id)
    query = (
        select(keyframes.c.revision, keyframes.c.image_bytes, keyframes.c.image_ref)
        .where(
            keyframes.c.forgotten_revision.is_(None),
            keyframes.c.revision != put,
            keyframes.c.revision.not_in(by_this),
        )
        .order_by(keyframes.c.revision.in_(by_any), keyframes.c.revision)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def forget(connection: Connection, revision: int, at_revision: int) -> None:
    """Take a keyframe's pixels and its place in searches and in sight, and log it as the change `at_revision`."""
    connection.execute(
        update(keyframes)
        .where(keyframes.c.revision == revision)
        .values(image=None, embedding=None, tokens=[], forgotten_revision=at_revision)
    )
    newest = _newest_instructions()
    connection.execute(
        delete(active).where(
            active.c.keyframe_revision == revision,
            tuple_(active.c.mission_id, active.c.instruction).in_(select(newest.c.mission_id, newest.c.number)),
        )
    )
    connection.execute(insert(changes).values(revision=at_revision, forgotten_keyframe=revision))


def is_named(connection: Connection, image_ref: str) -> bool:
    """Whether any keyframe still has these pixels."""
    query = select(keyframes.c.revision).where(
        keyframes.c.image_ref == image_ref, keyframes.c.forgotten_revision.is_(None)
    )
    return connection.execute(query.limit(1)).scalar_one_or_none() is not None


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
