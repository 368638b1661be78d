"""What a bank asks of a database server of its own, and the one there is. It knows nothing of how it runs."""

import sys
from pathlib import Path
from typing import Protocol

from stillwing_common.errors import BackupFailed, StoreUnavailable

RESTORE = "restore.unfinished"
"""Where in a data folder a bank is restored before it is put in its place."""


class DatabaseServer(Protocol):
    """A PostgreSQL that its bank starts and stops. Methods block for seconds."""

    @property
    def dsn(self) -> str:
        """How its database is reached, while it runs."""

    def start(self) -> None:
        """Raises StoreInUse, StoreUnavailable."""

    def stop(self) -> None:
        """Stopping twice does nothing."""


def embedded_server(folder: Path) -> DatabaseServer:
    """The server that comes with this package, not started yet. Raises StoreUnavailable where it cannot run.

    Raises BackupFailed in a folder whose restore was cut short: an empty bank there would pass for the restored one.
    """
    if sys.platform == "win32":
        raise StoreUnavailable("the embedded server needs Linux or macOS; give a DSN of a PostgreSQL with pgvector")
    if (folder / RESTORE).exists() and not (folder / "postgres").exists():
        raise BackupFailed(f"a restore into {folder} was cut short; run it again, or delete {folder / RESTORE}")
    from stillwing_memory.core.stores.embedded import EmbeddedPostgres  # locks by fcntl, which Windows lacks

    return EmbeddedPostgres(folder)
