"""What an instruction called its things, and what it said of them."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Instructions of before have no mentions."""
    op.execute("ALTER TABLE instructions ADD COLUMN mentions jsonb NOT NULL DEFAULT '[]'")


def downgrade() -> None:
    """What was said is lost."""
    op.execute("ALTER TABLE instructions DROP COLUMN mentions")
