"""Keyframes, sightings, entities and the log of changes."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_UP = """
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE bank (
  id smallint PRIMARY KEY CHECK (id = 1),
  revision bigint NOT NULL
);
INSERT INTO bank VALUES (1, 0);

CREATE TABLE keyframes (
  revision bigint PRIMARY KEY,
  frame_id text NOT NULL,
  clock_id text NOT NULL,
  capture_ns bigint NOT NULL,
  vehicle_id text NOT NULL,
  camera_id text NOT NULL,
  mission_id text NOT NULL,
  north_m double precision,
  east_m double precision,
  down_m double precision,
  orientation_wxyz double precision[],
  hfov_deg double precision,
  caption text NOT NULL,
  score double precision NOT NULL,
  put_wall_ns bigint NOT NULL,
  encoding text NOT NULL,
  width_px integer NOT NULL,
  height_px integer NOT NULL,
  image bytea NOT NULL,
  tokens text[] NOT NULL,
  embedding halfvec(384),
  CONSTRAINT keyframes_frame UNIQUE (frame_id, clock_id)
);
-- JPEG and PNG do not compress again; out of line, so that reads without pixels touch none.
ALTER TABLE keyframes ALTER COLUMN image SET STORAGE EXTERNAL;
CREATE INDEX keyframes_mission ON keyframes (mission_id, revision DESC);
CREATE INDEX keyframes_tokens ON keyframes USING gin (tokens);
CREATE INDEX keyframes_embedding ON keyframes USING hnsw (embedding halfvec_cosine_ops);

CREATE TABLE entities (
  entity_id text PRIMARY KEY,
  revision bigint NOT NULL,
  label text NOT NULL,
  names text[] NOT NULL,
  aliases text[] NOT NULL,
  merged_ids text[] NOT NULL,
  merged_into text REFERENCES entities,
  last_seen_ns bigint NOT NULL,
  last_seen_clock_id text NOT NULL,
  north_m double precision,
  east_m double precision,
  down_m double precision
);
CREATE INDEX entities_names ON entities USING gin (names) WHERE merged_into IS NULL;

CREATE TABLE sightings (
  keyframe_revision bigint NOT NULL REFERENCES keyframes,
  place smallint NOT NULL,
  entity_id text NOT NULL REFERENCES entities,
  track_id text NOT NULL,
  label text NOT NULL,
  box double precision[],
  confidence double precision NOT NULL,
  north_m double precision,
  east_m double precision,
  down_m double precision,
  PRIMARY KEY (keyframe_revision, place)
);
CREATE INDEX sightings_entity ON sightings (entity_id);

CREATE TABLE changes (
  revision bigint PRIMARY KEY,
  entity jsonb
);
"""


def upgrade() -> None:
    """Make everything."""
    op.execute(_UP)


def downgrade() -> None:
    """Drop everything but the extension, which others may use."""
    op.execute("DROP TABLE changes, sightings, entities, keyframes, bank")
