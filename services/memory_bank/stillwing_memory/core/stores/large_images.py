"""Large images and the rows that name them: neither a row without its file, nor for long a file without a row.

    put      the name is noted as loose and committed, the file is written, the row names it and the note goes
    forget   the row lets the name go and it is noted as loose, in one transaction; then the file is deleted
    sweep    under the tenant's lock, each loose name that no row has is deleted with its note

Whoever dies in between leaves a note, and the next sweep looks after it. A sweep may delete a file that somebody has
just written and not named yet, who therefore looks again under the lock. A backup holds off all sweeps while it copies.
"""

import logging

from sqlalchemy import Connection, Engine, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from stillwing_common.errors import StoreUnavailable
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.stores import keyframe_sql
from stillwing_memory.core.stores.connection import transaction
from stillwing_memory.core.stores.images import ImageStore, image_name
from stillwing_memory.core.stores.schema import loose_images
from stillwing_memory.core.stores.write_transaction import writing

BACKUP_LOCK = 7_214_004
"""An advisory lock of the database: shared by whoever copies images, exclusive for whoever deletes them."""

_AT_ONCE = 16

_log = logging.getLogger(__name__)


class LargeImages:
    """Those of one tenant, in `folder` of `images`; only what is larger than `row_image_bytes` lies there."""

    def __init__(self, engine: Engine, images: ImageStore | None, folder: str, row_image_bytes: int) -> None:
        self._engine = engine
        self._images = images
        self._folder = folder
        self._row_image_bytes = row_image_bytes

    def keep(self, keyframe: Keyframe) -> str | None:
        """Have a large image on disk before any row names it; returns its name. None: it belongs into the row."""
        data = keyframe.frame.image.data
        if self._images is None or len(data) <= self._row_image_bytes:
            return None
        with transaction(self._engine) as connection:
            _note(connection, image_name(self._folder, data))
        return self._images.put(self._folder, data)

    def name(self, connection: Connection, image_ref: str) -> bool:
        """Whether a row may name the image, in this transaction, which holds the lock; False: put it once more."""
        if self._images is None or not self._images.holds(image_ref):
            return False
        connection.execute(delete(loose_images).where(loose_images.c.image_ref == image_ref))
        return True

    def let_go(self, connection: Connection, image_ref: str) -> None:
        """A row stops naming it. Only what lies in this bank's own folder is ever deleted."""
        if image_ref.startswith(f"{self._folder}/"):
            _note(connection, image_ref)

    def sweep(self) -> None:
        """Delete what is loose. Files that cannot be deleted now stay noted. Raises what `transaction` does."""
        while self._images is not None and self._sweep(self._images):
            continue

    def _sweep(self, images: ImageStore) -> bool:
        """True if there may be more."""
        with writing(self._engine) as write:
            connection = write.connection
            if not connection.execute(text(f"SELECT pg_try_advisory_xact_lock({BACKUP_LOCK})")).scalar_one():
                return False
            loose = list(connection.execute(select(loose_images.c.image_ref).limit(_AT_ONCE)).scalars())
            for image_ref in loose:
                try:
                    if not keyframe_sql.is_named(connection, image_ref):
                        images.delete(image_ref)
                except StoreUnavailable as error:
                    _log.warning("%s; it is tried again later", error)
                    return False
                connection.execute(delete(loose_images).where(loose_images.c.image_ref == image_ref))
        return len(loose) == _AT_ONCE


def _note(connection: Connection, image_ref: str) -> None:
    connection.execute(insert(loose_images).values(image_ref=image_ref).on_conflict_do_nothing())
