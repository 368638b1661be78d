"""A whole bank into one file and back: the database's own dump and the images beside it.

The database may go on serving while it is dumped; a dump is one moment of it, and no image that it names is deleted
before it is copied. A restore is built beside the bank's place and put there by one rename, so that whoever dies in
between leaves no bank, and the next restore begins anew. It knows nothing of keyframes.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg
from psycopg.conninfo import make_conninfo

from stillwing_common.durable import flush_to_disk, replace_durably
from stillwing_common.errors import BackupFailed, StoreInUse
from stillwing_memory.core.stores.backup_file import BackupFile, open_backup, write_backup
from stillwing_memory.core.stores.binaries import find_binaries
from stillwing_memory.core.stores.connection import connect_arguments, migrate, open_engine, store_errors
from stillwing_memory.core.stores.embedded import DATABASE, EmbeddedPostgres
from stillwing_memory.core.stores.folder_lock import take_folder_lock
from stillwing_memory.core.stores.large_images import BACKUP_LOCK
from stillwing_memory.core.stores.server import RESTORE

_IMAGES = "images"
_DATA = "postgres"


def back_up(folder: Path, dsn: str, to: Path, *, with_images: bool = True) -> int:
    """Write the bank into the file `to`, which is whole or not there; returns its size in bytes.

    `dsn` "" backs up the embedded bank in `folder`, whether its service runs or not, with the images in it; images
    that lie elsewhere are their store's business. Raises BackupFailed, StoreUnavailable, StoreDamaged.
    """
    folder = folder.expanduser().resolve()
    if to.exists():
        raise BackupFailed(f"{to} is there already; name another file", file=to)
    images = folder / _IMAGES
    with _file_errors(), _workplace(to) as made:
        dump, unfinished = made / "bank.dump", made / "bank.tar"
        with _reachable(folder, dsn) as target, _connected(target) as copying:
            copying.execute(f"SELECT pg_advisory_lock_shared({BACKUP_LOCK})".encode())
            # The dump first: every image it names was on disk before its row was, and none is deleted meanwhile.
            _run("pg_dump", ["--format=custom", "--no-owner", f"--file={dump}", f"--dbname={target}"])
            size = write_backup(unfinished, dump, images if with_images and not dsn and images.is_dir() else None)
            copying.execute("SELECT 1")  # without the connection there was no lock
        replace_durably(unfinished, to)
    return size


def restore(source: Path, folder: Path, dsn: str) -> None:
    """Bring a backup into an empty bank, whole or not at all.

    Raises BackupFailed for a bank that is not empty, or a file that is no whole backup; StoreInUse, StoreUnavailable.
    """
    with _file_errors(), open_backup(source) as backup:
        if dsn:
            _fill(dsn, backup)
            return
        folder = folder.expanduser().resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with take_folder_lock(folder):
            if (folder / _DATA).exists():
                raise BackupFailed(_NOT_EMPTY, folder=folder)
            _build(backup, folder)


def _build(backup: BackupFile, folder: Path) -> None:
    """The bank is in its place with the last rename."""
    beside = folder / RESTORE
    server = EmbeddedPostgres(beside)
    server.discard()
    try:
        server.start()
        try:
            _fill(server.dsn, backup)
        finally:
            server.stop()  # which writes all of it to the disk
        (beside / _IMAGES).mkdir()
        backup.copy_images(beside / _IMAGES)
        (folder / _IMAGES).mkdir(exist_ok=True)
        for one in sorted((beside / _IMAGES).iterdir()):
            # There is no bank here: what is in the way is of a restore that was cut short.
            shutil.rmtree(folder / _IMAGES / one.name, ignore_errors=True)
            one.rename(folder / _IMAGES / one.name)
        flush_to_disk(folder / _IMAGES)
        flush_to_disk(beside / _DATA)
        flush_to_disk(folder)
        (beside / _DATA).rename(folder / _DATA)
        flush_to_disk(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def _file_errors() -> Iterator[None]:
    """A full disk, a folder that nobody may write to."""
    try:
        yield
    except OSError as error:
        raise BackupFailed(f"{error.filename or 'a file'}: {error.strerror or error}") from error


@contextmanager
def _workplace(to: Path) -> Iterator[Path]:
    """A folder beside `to` that its owner alone may enter; what a killed backup left there is deleted."""
    to.parent.mkdir(parents=True, exist_ok=True)
    made = to.parent / f".{to.name}.unfinished"
    made.mkdir(mode=0o700, exist_ok=True)
    with take_folder_lock(made):
        for one in made.iterdir():
            if one.name != "lock":
                one.unlink()
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _reachable(folder: Path, dsn: str) -> Iterator[str]:
    """A DSN of the bank: of the service that runs on the folder, else of a server started for this."""
    if dsn:
        yield dsn
        return
    if not (folder / _DATA / "PG_VERSION").is_file():
        raise BackupFailed(f"{folder} holds no bank; name its folder with --folder", folder=folder)
    server = EmbeddedPostgres(folder)
    try:
        server.start()
    except StoreInUse:
        yield make_conninfo(host=str(folder / _DATA), user="postgres", dbname=DATABASE)
        return
    try:
        yield server.dsn
    finally:
        server.stop()


_NOT_EMPTY = "there is a bank here already; restore into an empty folder or database"

_ROLE = """
DO $$ BEGIN
  CREATE ROLE stillwing_bank NOLOGIN;
EXCEPTION WHEN duplicate_object OR insufficient_privilege THEN NULL;
END $$
"""


@contextmanager
def _connected(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with store_errors(), psycopg.connect(**connect_arguments(dsn), autocommit=True) as connection:  # type: ignore[arg-type]
        yield connection


def _fill(dsn: str, backup: BackupFile) -> None:
    """The dump into an empty database in one transaction, then its tables to this version in another."""
    with _connected(dsn) as connection:
        connection.execute(_ROLE)  # roles are no part of a dump
        if connection.execute("SELECT to_regclass('keyframes')").fetchone() != (None,):
            raise BackupFailed(_NOT_EMPTY)
    _run("pg_restore", ["--no-owner", "--single-transaction", "--exit-on-error", f"--dbname={dsn}"], backup)
    engine = open_engine(dsn)
    try:
        migrate(engine)
    finally:
        engine.dispose()


def _run(program: str, arguments: Sequence[str], backup: BackupFile | None = None) -> None:
    """Run a program of PostgreSQL, which reads the backup's dump if there is one. Raises BackupFailed."""
    command = [str(find_binaries() / program), *arguments]
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if backup is None else subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process:
            if backup is not None and process.stdin is not None:
                _feed(process.stdin, backup)
        if process.returncode != 0:
            said.seek(0)
            raise BackupFailed(f"{program}: {' | '.join(said.read().strip().splitlines()[-3:])}")


def _feed(stdin: IO[bytes], backup: BackupFile) -> None:
    try:
        with stdin:
            shutil.copyfileobj(backup.dump(), stdin)
    except BrokenPipeError:
        return  # the program has ended and says why
