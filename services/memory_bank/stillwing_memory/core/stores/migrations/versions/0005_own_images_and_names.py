"""A folder of its own for each tenant's large images; names and words as the rules of this version spell them."""

from collections.abc import Callable, Sequence

from alembic import op
from sqlalchemy import Connection, text

from stillwing_memory.core.text import normalise, tokens

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_AT_ONCE = 500

_UP = """
ALTER TABLE bank ADD COLUMN image_folder text NOT NULL DEFAULT gen_random_uuid()::text;
CREATE TABLE loose_images (
  tenant text NOT NULL DEFAULT current_setting('stillwing.tenant'),
  image_ref text NOT NULL,
  PRIMARY KEY (tenant, image_ref)
);
ALTER TABLE loose_images ENABLE ROW LEVEL SECURITY;
ALTER TABLE loose_images FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_only ON loose_images USING (tenant = (SELECT current_setting('stillwing.tenant')));
DO $$ BEGIN
  GRANT SELECT, INSERT, UPDATE, DELETE ON loose_images TO stillwing_bank;
EXCEPTION WHEN undefined_object OR insufficient_privilege THEN NULL;
END $$;
"""

_SPELT = ("entities", "keyframes", "instructions", "sightings")

_LABELS = "SELECT tenant, entity_id, names, label, aliases FROM entities ORDER BY tenant, entity_id"
_CAPTIONS = """
SELECT tenant, revision, tokens, caption, ARRAY(
  SELECT label FROM sightings
  WHERE sightings.tenant = keyframes.tenant AND keyframe_revision = keyframes.revision ORDER BY place
) AS labels FROM keyframes WHERE forgotten_revision IS NULL ORDER BY tenant, revision
"""
_BODIES = "SELECT tenant, mission_id, number, tokens, body FROM instructions ORDER BY tenant, mission_id, number"


def upgrade() -> None:
    """Rewrites rows of every tenant whose names or words are spelt otherwise now, and no other."""
    op.execute(_UP)
    connection = op.get_bind()
    # Forced, row-level security hides every tenant's rows from the owner of the tables, too.
    for table in _SPELT:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    _respell(
        connection, _LABELS, "UPDATE entities SET names = :new WHERE tenant = :a AND entity_id = :b",
        lambda label, aliases: list(dict.fromkeys(normalise(one) for one in (label, *aliases))),
        keys=2,
    )  # fmt: skip
    _respell(
        connection, _CAPTIONS, "UPDATE keyframes SET tokens = :new WHERE tenant = :a AND revision = :b",
        lambda caption, labels: tokens(". ".join([caption, *labels])),
        keys=2,
    )  # fmt: skip
    _respell(
        connection, _BODIES,
        "UPDATE instructions SET tokens = :new WHERE tenant = :a AND mission_id = :b AND number = :c",
        tokens,
        keys=3,
    )  # fmt: skip
    for table in _SPELT:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def _respell(connection: Connection, query: str, write: str, spell: Callable[..., Sequence[str]], *, keys: int) -> None:
    """Rows are `keys` columns of a key, the spelling of before, and what the new one is made of."""
    rows = connection.execute(text(query).execution_options(yield_per=_AT_ONCE))
    for part in rows.partitions():
        changed = []
        for row in part:
            key, before, made_of = row[:keys], row[keys], row[keys + 1 :]
            new = list(spell(*made_of))
            if new != list(before):
                changed.append({**dict(zip("abc", key, strict=False)), "new": new})
        if changed:
            connection.execute(text(write), changed)


def downgrade() -> None:
    """Names and words stay as they are; large images named by their folder would not be found."""
    raise NotImplementedError("restore a backup that an earlier version made")
