"""One transaction that changes a tenant's bank, and what it counts. It knows nothing of what is changed.

Writes of one tenant are serialised by the lock on its row of `bank`, held from the first statement to the commit. So
revisions have no gaps, and one that is visible means that all below it are: a reader of the change log misses nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects.postgresql import insert

from stillwing_memory.core.stores.connection import transaction
from stillwing_memory.core.stores.schema import bank

CHANNEL = "stillwing_memory"
"""Where a commit that changed something is told."""

_TAKE = select(bank).with_for_update()
# One statement, so that those who wait for the row wait for one round trip less.
_MOVE_ON = text(
    "WITH moved AS (UPDATE bank SET revision = :revision, kept_keyframes = :kept_keyframes, "
    f"kept_image_bytes = :kept_image_bytes) SELECT pg_notify('{CHANNEL}', '')"
)


@dataclass(slots=True)
class Write:
    """How far the bank's revision is in this transaction, and how much the bank holds."""

    connection: Connection
    first_revision: int
    kept_keyframes: int
    kept_image_bytes: int
    revision: int

    def next_revision(self) -> int:
        """The revision of the next change."""
        self.revision += 1
        return self.revision


def ensure_tenant(engine: Engine) -> str:
    """Make the tenant's row where it is missing; returns the folder of its large images."""
    with transaction(engine) as connection:
        connection.execute(insert(bank).values(revision=0).on_conflict_do_nothing())
        return str(connection.execute(select(bank.c.image_folder)).scalar_one())


@contextmanager
def writing(engine: Engine) -> Iterator[Write]:
    """The bank's row is locked until the end; those who watch are told at the commit, if anything changed.

    Raises StoreUnavailable.
    """
    with transaction(engine) as connection:
        row = connection.execute(_TAKE).one()
        write = Write(connection, row.revision, row.kept_keyframes, row.kept_image_bytes, row.revision)
        yield write
        if write.revision != write.first_revision:
            connection.execute(
                _MOVE_ON,
                {
                    "revision": write.revision,
                    "kept_keyframes": write.kept_keyframes,
                    "kept_image_bytes": write.kept_image_bytes,
                },
            )
