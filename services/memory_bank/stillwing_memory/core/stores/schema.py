"""The tables, as queries use them. The migrations make them; a test keeps both alike. No code here runs at import.

A keyframe's key is the revision at which it was put, so that "newest first" and the change log need no other order.
No query names a tenant: the database fills the column in and shows only rows of the connection's tenant.
"""

from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from stillwing_memory.core.text import EMBEDDING_DIMENSIONS

metadata = MetaData()


def _tenant() -> Column[str]:
    return Column("tenant", Text, primary_key=True, server_default=text("current_setting('stillwing.tenant')"))


bank = Table(
    "bank",
    metadata,
    _tenant(),
    Column("revision", BigInteger, nullable=False),
    # Keyframes that have their pixels, and the bytes of those: what retention limits.
    Column("kept_keyframes", BigInteger, nullable=False, server_default=text("0")),
    Column("kept_image_bytes", BigInteger, nullable=False, server_default=text("0")),
    # Where large images of this tenant of this database lie, and nobody else's.
    Column("image_folder", Text, nullable=False, server_default=text("(gen_random_uuid())::text")),
)

# Files that may be on disk without a row that names them; see `large_images`.
loose_images = Table("loose_images", metadata, _tenant(), Column("image_ref", Text, primary_key=True))

keyframes = Table(
    "keyframes",
    metadata,
    _tenant(),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("frame_id", Text, nullable=False),
    Column("clock_id", Text, nullable=False),
    Column("capture_ns", BigInteger, nullable=False),
    Column("vehicle_id", Text, nullable=False),
    Column("camera_id", Text, nullable=False),
    Column("mission_id", Text, nullable=False),
    Column("north_m", Double),
    Column("east_m", Double),
    Column("down_m", Double),
    Column("orientation_wxyz", ARRAY(Double)),
    Column("hfov_deg", Double),
    Column("caption", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("put_wall_ns", BigInteger, nullable=False),
    Column("encoding", Text, nullable=False),
    Column("width_px", Integer, nullable=False),
    Column("height_px", Integer, nullable=False),
    Column("image", LargeBinary),
    Column("image_bytes", BigInteger, nullable=False),
    Column("image_ref", Text),
    Column("instruction", Integer, nullable=False),
    Column("chunk", Integer, nullable=False),
    Column("place", Integer, nullable=False),
    Column("forgotten_revision", BigInteger),
    Column("tokens", ARRAY(Text), nullable=False),
    Column("embedding", HALFVEC(EMBEDDING_DIMENSIONS)),
    UniqueConstraint("tenant", "frame_id", "clock_id", name="keyframes_frame"),
)

entities = Table(
    "entities",
    metadata,
    _tenant(),
    Column("entity_id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("names", ARRAY(Text), nullable=False),
    Column("aliases", ARRAY(Text), nullable=False),
    Column("merged_ids", ARRAY(Text), nullable=False),
    Column("merged_into", Text),
    Column("kind", Text, nullable=False),
    Column("attributes", JSONB, nullable=False),
    Column("last_seen_ns", BigInteger, nullable=False),
    Column("last_seen_clock_id", Text, nullable=False),
    Column("north_m", Double),
    Column("east_m", Double),
    Column("down_m", Double),
    ForeignKeyConstraint(["tenant", "merged_into"], ["entities.tenant", "entities.entity_id"]),
)

sightings = Table(
    "sightings",
    metadata,
    _tenant(),
    Column("keyframe_revision", BigInteger, primary_key=True, autoincrement=False),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("entity_id", Text, nullable=False),
    Column("track_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("box", ARRAY(Double)),
    Column("confidence", Double, nullable=False),
    Column("north_m", Double),
    Column("east_m", Double),
    Column("down_m", Double),
    ForeignKeyConstraint(["tenant", "keyframe_revision"], ["keyframes.tenant", "keyframes.revision"]),
    ForeignKeyConstraint(["tenant", "entity_id"], ["entities.tenant", "entities.entity_id"]),
)

changes = Table(
    "changes",
    metadata,
    _tenant(),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    # The entity as it was after this change; null: the keyframe of this revision was put, or another was forgotten.
    Column("entity", JSONB(none_as_null=True)),
    Column("forgotten_keyframe", BigInteger),
)

instructions = Table(
    "instructions",
    metadata,
    _tenant(),
    Column("mission_id", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("tokens", ARRAY(Text), nullable=False),
    Column("embedding", HALFVEC(EMBEDDING_DIMENSIONS)),
    Column("entity_ids", ARRAY(Text), nullable=False),
    Column("mentions", JSONB, nullable=False),
    Column("recalled_by", Text, nullable=False),
    Column("begin_wall_ns", BigInteger, nullable=False),
)


def _of_instruction(name: str, *columns: Column[Any]) -> Table:
    """A table of rows that belong to one instruction and point to one keyframe."""
    return Table(
        name,
        metadata,
        _tenant(),
        Column("mission_id", Text, primary_key=True),
        Column("instruction", Integer, primary_key=True, autoincrement=False),
        *columns,
        ForeignKeyConstraint(
            ["tenant", "mission_id", "instruction"],
            ["instructions.tenant", "instructions.mission_id", "instructions.number"],
        ),
        ForeignKeyConstraint(["tenant", "keyframe_revision"], ["keyframes.tenant", "keyframes.revision"]),
    )


filed_chunks = _of_instruction(
    "filed_chunks",
    Column("chunk", Integer, primary_key=True, autoincrement=False),
    Column("keyframe_revision", BigInteger, nullable=False),
    Column("score", Double, nullable=False),
)

active = _of_instruction(
    "active",
    Column("keyframe_revision", BigInteger, primary_key=True, autoincrement=False),
    Column("score", Double, nullable=False),
)

# What the active memory of an instruction began with, best first.
recalls = _of_instruction(
    "recalls",
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("keyframe_revision", BigInteger, nullable=False),
)
