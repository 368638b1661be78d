"""Rows of several tenants kept apart by the database; instructions, filed chunks and active memory; retention."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("bank", "keyframes", "entities", "sightings", "changes", "instructions", "filed_chunks", "active", "recalls")

_UP = """
ALTER TABLE sightings DROP CONSTRAINT sightings_keyframe_revision_fkey, DROP CONSTRAINT sightings_entity_id_fkey;
ALTER TABLE entities DROP CONSTRAINT entities_merged_into_fkey;

ALTER TABLE bank ADD COLUMN tenant text NOT NULL DEFAULT 'default';
ALTER TABLE bank
  DROP COLUMN id,
  ADD PRIMARY KEY (tenant),
  ADD COLUMN kept_keyframes bigint NOT NULL DEFAULT 0,
  ADD COLUMN kept_image_bytes bigint NOT NULL DEFAULT 0;

ALTER TABLE keyframes
  ADD COLUMN tenant text NOT NULL DEFAULT 'default',
  ADD COLUMN instruction integer NOT NULL DEFAULT 0,
  ADD COLUMN chunk integer NOT NULL DEFAULT 0,
  ADD COLUMN place integer NOT NULL DEFAULT 0,
  ADD COLUMN image_bytes bigint,
  ADD COLUMN image_ref text,
  ADD COLUMN forgotten_revision bigint,
  ALTER COLUMN image DROP NOT NULL,
  DROP CONSTRAINT keyframes_pkey,
  DROP CONSTRAINT keyframes_frame;
UPDATE keyframes SET image_bytes = length(image);
UPDATE bank SET (kept_keyframes, kept_image_bytes) =
  (SELECT count(*), coalesce(sum(image_bytes), 0) FROM keyframes);
ALTER TABLE keyframes
  ALTER COLUMN image_bytes SET NOT NULL,
  ADD PRIMARY KEY (tenant, revision),
  ADD CONSTRAINT keyframes_frame UNIQUE (tenant, frame_id, clock_id);
DROP INDEX keyframes_mission;
CREATE INDEX keyframes_mission ON keyframes (tenant, mission_id, revision DESC);
CREATE INDEX keyframes_capture ON keyframes (tenant, clock_id, capture_ns);
CREATE INDEX keyframes_kept ON keyframes (tenant, revision) WHERE forgotten_revision IS NULL;

ALTER TABLE entities
  ADD COLUMN tenant text NOT NULL DEFAULT 'default',
  ADD COLUMN kind text NOT NULL DEFAULT '',
  ADD COLUMN attributes jsonb NOT NULL DEFAULT '[]',
  DROP CONSTRAINT entities_pkey;
ALTER TABLE entities ADD PRIMARY KEY (tenant, entity_id);
ALTER TABLE entities ADD FOREIGN KEY (tenant, merged_into) REFERENCES entities;

ALTER TABLE sightings ADD COLUMN tenant text NOT NULL DEFAULT 'default', DROP CONSTRAINT sightings_pkey;
ALTER TABLE sightings
  ADD PRIMARY KEY (tenant, keyframe_revision, place),
  ADD FOREIGN KEY (tenant, keyframe_revision) REFERENCES keyframes,
  ADD FOREIGN KEY (tenant, entity_id) REFERENCES entities;
DROP INDEX sightings_entity;
CREATE INDEX sightings_entity ON sightings (tenant, entity_id);

ALTER TABLE changes
  ADD COLUMN tenant text NOT NULL DEFAULT 'default',
  ADD COLUMN forgotten_keyframe bigint,
  DROP CONSTRAINT changes_pkey;
ALTER TABLE changes ADD PRIMARY KEY (tenant, revision);

CREATE TABLE instructions (
  tenant text NOT NULL,
  mission_id text NOT NULL,
  number integer NOT NULL,
  body text NOT NULL,
  tokens text[] NOT NULL,
  embedding halfvec(384),
  entity_ids text[] NOT NULL,
  recalled_by text NOT NULL,
  begin_wall_ns bigint NOT NULL,
  PRIMARY KEY (tenant, mission_id, number)
);

CREATE TABLE filed_chunks (
  tenant text NOT NULL,
  mission_id text NOT NULL,
  instruction integer NOT NULL,
  chunk integer NOT NULL,
  keyframe_revision bigint NOT NULL,
  score double precision NOT NULL,
  PRIMARY KEY (tenant, mission_id, instruction, chunk),
  FOREIGN KEY (tenant, mission_id, instruction) REFERENCES instructions,
  FOREIGN KEY (tenant, keyframe_revision) REFERENCES keyframes
);

CREATE TABLE active (
  tenant text NOT NULL,
  mission_id text NOT NULL,
  instruction integer NOT NULL,
  keyframe_revision bigint NOT NULL,
  score double precision NOT NULL,
  PRIMARY KEY (tenant, mission_id, instruction, keyframe_revision),
  FOREIGN KEY (tenant, mission_id, instruction) REFERENCES instructions,
  FOREIGN KEY (tenant, keyframe_revision) REFERENCES keyframes
);

CREATE TABLE recalls (
  tenant text NOT NULL,
  mission_id text NOT NULL,
  instruction integer NOT NULL,
  place smallint NOT NULL,
  keyframe_revision bigint NOT NULL,
  PRIMARY KEY (tenant, mission_id, instruction, place),
  FOREIGN KEY (tenant, mission_id, instruction) REFERENCES instructions,
  FOREIGN KEY (tenant, keyframe_revision) REFERENCES keyframes
);

-- The role that a service takes on where it connects as somebody who is above row-level security.
DO $$ BEGIN
  CREATE ROLE stillwing_bank NOLOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation OR insufficient_privilege THEN NULL;
END $$;
"""

_GRANT = """
DO $$ BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO stillwing_bank', current_schema());
  GRANT SELECT, INSERT, UPDATE, DELETE ON {tables} TO stillwing_bank;
EXCEPTION WHEN undefined_object OR insufficient_privilege THEN NULL;
END $$;
"""

# Forced, so that the owner of the tables is held to it too. The setting is read once a statement, not once a row.
_TENANT_ONLY = """
ALTER TABLE {table} ALTER COLUMN tenant SET DEFAULT current_setting('stillwing.tenant');
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON {table} USING (tenant = (SELECT current_setting('stillwing.tenant')));
"""


def upgrade() -> None:
    """Everything that is here becomes the tenant "default"'s."""
    op.execute(_UP)
    op.execute(_GRANT.format(tables=", ".join(_TABLES)))
    for table in _TABLES:
        op.execute(_TENANT_ONLY.format(table=table))


def downgrade() -> None:
    """There is no way back to one tenant."""
    raise NotImplementedError("restore a backup that an earlier version made")
