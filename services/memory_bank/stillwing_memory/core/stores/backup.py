"""A whole bank into one file and back: the database's own dump and the images beside it, in one tar.

The database may go on serving while it is dumped; a dump is one moment of it. It knows nothing of keyframes.
"""

import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from stillwing_common.durable import replace_durably
from stillwing_common.errors import BackupFailed, StoreInUse
from stillwing_memory.core.stores.binaries import find_binaries
from stillwing_memory.core.stores.connection import migrate, open_engine
from stillwing_memory.core.stores.embedded import DATABASE, EmbeddedPostgres

_DUMP = "bank.dump"
_IMAGES = "images"


def back_up(folder: Path, dsn: str, to: Path) -> int:
    """Write the bank into the file `to`, which is whole or not there; returns its size in bytes.

    `dsn` "" backs up the embedded bank in `folder`, whether its service runs or not, with its images; those of a DSN
    are its object store's business. Raises BackupFailed, StoreUnavailable.
    """
    if to.exists():
        raise BackupFailed(f"{to} is there already; name another file", file=to)
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=".backup-") as made:
        dump, unfinished = Path(made) / _DUMP, Path(made) / "bank.tar"
        with _reachable(folder, dsn) as target:
            # The dump first: every image it names was on disk before its row was.
            _run("pg_dump", ["--format=custom", "--no-owner", f"--file={dump}", f"--dbname={target}"])
        with tarfile.open(unfinished, "w") as tar:
            tar.add(dump, _DUMP)
            if not dsn and (folder / _IMAGES).is_dir():
                tar.add(folder / _IMAGES, _IMAGES)
        size = unfinished.stat().st_size
        replace_durably(unfinished, to)
    return size


def restore(source: Path, folder: Path, dsn: str) -> None:
    """Bring a backup into an empty bank. Raises BackupFailed for a bank that is not empty, or a file that is none."""
    try:
        tar = tarfile.open(source)  # noqa: SIM115  closed below
    except (OSError, tarfile.TarError) as error:
        raise BackupFailed(f"{source} is no backup: {error}", file=source) from error
    with tar, tempfile.TemporaryDirectory(prefix="stillwing-restore-") as made:
        if _DUMP not in tar.getnames():
            raise BackupFailed(f"{source} is no backup: it holds no {_DUMP}", file=source)
        tar.extractall(made, filter="data")
        with _alone(folder, dsn) as target:
            _prepare(target)
            whole_or_nothing = ["--no-owner", "--single-transaction", "--exit-on-error"]
            _run("pg_restore", [*whole_or_nothing, f"--dbname={target}", f"{made}/{_DUMP}"])
            engine = open_engine(target)
            try:
                migrate(engine)
            finally:
                engine.dispose()
        if not dsn and (Path(made) / _IMAGES).is_dir():
            _copy_images(Path(made) / _IMAGES, folder / _IMAGES)


@contextmanager
def _reachable(folder: Path, dsn: str) -> Iterator[str]:
    """A DSN of the bank: of the service that runs on the folder, else of a server started for this."""
    if dsn:
        yield dsn
        return
    if not (folder / "postgres" / "PG_VERSION").is_file():
        raise BackupFailed(f"{folder} holds no bank", folder=folder)
    server = EmbeddedPostgres(folder)
    try:
        server.start()
    except StoreInUse:
        yield make_conninfo(host=str(folder.resolve() / "postgres"), user="postgres", dbname=DATABASE)
        return
    try:
        yield server.dsn
    finally:
        server.stop()


@contextmanager
def _alone(folder: Path, dsn: str) -> Iterator[str]:
    if dsn:
        yield dsn
        return
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        yield server.dsn
    finally:
        server.stop()


_ROLE = """
DO $$ BEGIN
  CREATE ROLE stillwing_bank NOLOGIN;
EXCEPTION WHEN duplicate_object OR insufficient_privilege THEN NULL;
END $$
"""


def _prepare(dsn: str) -> None:
    """Roles are no part of a dump. Raises BackupFailed for a database that holds a bank already."""
    with psycopg.connect(dsn) as connection:
        connection.execute(_ROLE)
        if connection.execute("SELECT to_regclass('keyframes')").fetchone() != (None,):
            raise BackupFailed("there is a bank here already; restore into an empty folder or database")


def _run(program: str, arguments: Sequence[str]) -> None:
    done = subprocess.run(
        [str(find_binaries() / program), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        raise BackupFailed(f"{program}: {' | '.join(done.stderr.strip().splitlines()[-3:])}")


def _copy_images(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path.is_file():
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())
