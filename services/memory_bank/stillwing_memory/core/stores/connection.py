"""One engine on one DSN: pool, limits, migrations, and the errors of a database in words of ours.

It knows nothing of what is kept.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, exc, text

from stillwing_common.errors import (
    InternalFault,
    InvalidInput,
    StillwingError,
    StoreDamaged,
    StoreTooNew,
    StoreUnavailable,
)

POOL_SIZE = 8
_CONNECT_LIMIT_S = 10
_STATEMENT_LIMIT_MS = 30_000
_PING_AFTER_S = 1.0
# Any number that other programs on a shared server are unlikely to use; services that start together take turns.
_MIGRATION_LOCK = 7_214_003
# SQLSTATEs (PostgreSQL's appendix A): data or index corrupted, an internal error, a file of the database is missing.
_DAMAGE = ("XX", "58P01")

_log = logging.getLogger(__name__)


@contextmanager
def store_errors() -> Iterator[None]:
    """What a database and its driver raise, in words of ours and one line.

    Raises StoreUnavailable where it does not answer or breaks off, StoreDamaged, and InternalFault for the rest.
    """
    try:
        yield
    except (exc.SQLAlchemyError, psycopg.Error) as error:
        raise _in_our_words(error) from error


def _in_our_words(error: exc.SQLAlchemyError | psycopg.Error) -> StillwingError:
    cause = getattr(error, "orig", None) or error
    first_line = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:300]
    state = str(getattr(cause, "sqlstate", None) or "")
    if state.startswith(_DAMAGE):
        return StoreDamaged(first_line, sqlstate=state)
    if isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError | psycopg.OperationalError):
        return StoreUnavailable(first_line)
    _log.error("the database refused a statement: %s (%s)", first_line, state)
    return InternalFault(f"the database refused a statement: {first_line}", sqlstate=state)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction, committed at the end. Raises what `store_errors` does."""
    with store_errors(), engine.begin() as connection:
        yield connection


def connect_arguments(dsn: str, tenant: str = "") -> dict[str, str | int]:
    """What every connection is opened with, as libpq's keywords. Raises InvalidInput for a DSN that is none.

    A connection of a tenant sees and writes that tenant's rows alone.
    """
    try:
        given = psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.Error as error:
        # The driver's own words may hold a password.
        raise InvalidInput("the DSN cannot be read; libpq takes URLs and key=value pairs", field="dsn") from error
    options = f"{given.get('options') or ''} -c statement_timeout={_STATEMENT_LIMIT_MS}".strip()
    if tenant:
        options += f" -c stillwing.tenant={tenant}"
    known = {key: value for key, value in given.items() if value is not None}
    return {"connect_timeout": _CONNECT_LIMIT_S, "application_name": "stillwing-memory", **known, "options": options}


def open_engine(dsn: str, tenant: str = "") -> Engine:
    """A pool of connections; opens none yet. Without a tenant it may make tables, and read and write no row.

    Raises InvalidInput for a DSN that is none.
    """
    arguments = connect_arguments(dsn, tenant)

    def connect() -> psycopg.Connection[tuple[object, ...]]:
        connection = psycopg.connect(**arguments)  # type: ignore[arg-type]
        if tenant:
            _come_under_row_security(connection)
        return connection

    engine = create_engine(
        "postgresql+psycopg://",
        creator=connect,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=_CONNECT_LIMIT_S,
    )
    _ping_idle_connections(engine)
    return engine


def _ping_idle_connections(engine: Engine) -> None:
    """After the server was started again the pool's connections are dead: one that was idle is tried before its use.

    One that was in use a moment ago is not: trying it takes longer than what it is used for.
    """

    @event.listens_for(engine, "checkin")
    def returned(connection: Any, record: Any) -> None:
        record.info["returned_s"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def taken(connection: Any, record: Any, proxy: Any) -> None:
        returned_s = record.info.get("returned_s")
        if returned_s is None or time.monotonic() - returned_s < _PING_AFTER_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except psycopg.Error as error:
            raise exc.DisconnectionError from error


def _come_under_row_security(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Superusers and their like see all rows; a connection of theirs takes on a role that does not."""
    above = connection.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
    if above == (True,):
        connection.execute("SET ROLE stillwing_bank")
    connection.commit()


def migrate(engine: Engine) -> None:
    """Bring the tables to this version. Raises StoreTooNew, StoreDamaged, StoreUnavailable."""
    config = Config()
    # A percent sign would be read as the beginning of a variable.
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    try:
        with transaction(engine) as connection:
            # Building an index over a million rows takes minutes, and so may the wait for another's turn.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StoreTooNew(f"its tables are of a version that is not known here: {error}") from error
    except InternalFault as error:
        if isinstance(error, StoreDamaged):
            raise
        raise StoreUnavailable(
            f"the tables cannot be made: {error.detail}; the server needs the extension pgvector 0.8 or newer"
        ) from error


def server_version(connection: Connection) -> str:
    """As in "18.4"."""
    return str(connection.execute(text("SHOW server_version")).scalar_one())
