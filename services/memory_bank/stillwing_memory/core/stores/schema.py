"""The tables, as queries use them. The migrations make them; a test keeps both alike. No code here runs at import.

A keyframe's key is the revision at which it was put, so that "newest first" and the change log need no other order.
"""

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from stillwing_memory.core.text import EMBEDDING_DIMENSIONS

metadata = MetaData()

bank = Table(
    "bank",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("revision", BigInteger, nullable=False),
)

keyframes = Table(
    "keyframes",
    metadata,
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
    Column("image", LargeBinary, nullable=False),
    Column("tokens", ARRAY(Text), nullable=False),
    Column("embedding", HALFVEC(EMBEDDING_DIMENSIONS)),
    UniqueConstraint("frame_id", "clock_id", name="keyframes_frame"),
)

entities = Table(
    "entities",
    metadata,
    Column("entity_id", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("label", Text, nullable=False),
    Column("names", ARRAY(Text), nullable=False),
    Column("aliases", ARRAY(Text), nullable=False),
    Column("merged_ids", ARRAY(Text), nullable=False),
    Column("merged_into", Text, ForeignKey("entities.entity_id")),
    Column("last_seen_ns", BigInteger, nullable=False),
    Column("last_seen_clock_id", Text, nullable=False),
    Column("north_m", Double),
    Column("east_m", Double),
    Column("down_m", Double),
)

sightings = Table(
    "sightings",
    metadata,
    Column("keyframe_revision", BigInteger, ForeignKey("keyframes.revision"), primary_key=True),
    Column("place", SmallInteger, primary_key=True, autoincrement=False),
    Column("entity_id", Text, ForeignKey("entities.entity_id"), nullable=False),
    Column("track_id", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("box", ARRAY(Double)),
    Column("confidence", Double, nullable=False),
    Column("north_m", Double),
    Column("east_m", Double),
    Column("down_m", Double),
)

changes = Table(
    "changes",
    metadata,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    # The entity as it was after this change; null: the keyframe of this revision was put.
    Column("entity", JSONB(none_as_null=True)),
)
