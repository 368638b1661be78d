"""One embedded server for the module, an empty database for each test, and the bank in process and over the wire."""

import io
import itertools
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from PIL import Image as PilImage

from stillwing_common.types import Frame, Image, ImageEncoding, Pose, PositionNed, Quaternion, Stamp
from stillwing_memory.client import RemoteMemoryBank
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_memory.core.protocol import MemoryBank
from stillwing_memory.core.stores.connection import migrate, open_engine
from stillwing_memory.core.stores.embedded import EmbeddedPostgres
from stillwing_memory.server import registration
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings

_numbers = itertools.count()

_EMPTY_ALL = """
DO $$ DECLARE names text; BEGIN
  SELECT string_agg(quote_ident(tablename), ', ') INTO names FROM pg_tables
  WHERE schemaname = 'public' AND tablename <> 'alembic_version';
  EXECUTE 'TRUNCATE ' || names;
END $$
"""


def jpeg(width_px: int = 64, height_px: int = 48, shade: int = 0) -> Image:
    """A JPEG of one grey."""
    file = io.BytesIO()
    PilImage.new("RGB", (width_px, height_px), (shade % 256,) * 3).save(file, "JPEG")
    return Image(ImageEncoding.JPEG, width_px, height_px, file.getvalue())


def keyframe(
    number: int,
    *labels: str | Sighting,
    caption: str = "",
    mission_id: str = "mis_1",
    clock_id: str = "clock_1",
    north_m: float | None = None,
    image: Image | None = None,
) -> Keyframe:
    """Keyframe `number` of camera front; a label alone is a sighting without an id."""
    pose = None if north_m is None else Pose(PositionNed(north_m, 0.0, -2.0), Quaternion(1.0, 0.0, 0.0, 0.0))
    return Keyframe(
        frame=Frame(
            f"drone/front/{number}",
            "front",
            Stamp(number * 1_000_000_000 + 7, clock_id),
            pose,
            image or jpeg(shade=number),
            90.0,
        ),
        sightings=tuple(Sighting(one) if isinstance(one, str) else one for one in labels),
        caption=caption,
        mission_id=mission_id,
        score=number / 8,
        vehicle_id="drone",
    )


@pytest.fixture(scope="session")
def make_keyframe() -> Callable[..., Keyframe]:
    return keyframe


@pytest.fixture(scope="session")
def make_jpeg() -> Callable[..., Image]:
    return jpeg


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server of the tests' own; its path is short, because a socket's path may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="swm-"))
    server = EmbeddedPostgres(folder)
    server.start()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        # What survives a crash is tested elsewhere; here each test has a database, and syncing them takes seconds.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def tables(postgres: EmbeddedPostgres) -> str:
    """The DSN of a database with tables, which tests use one after the other."""
    engine = open_engine(postgres.dsn)
    migrate(engine)
    engine.dispose()
    return postgres.dsn


@pytest.fixture
def fresh_dsn(tables: str) -> str:
    """An empty bank. Emptying one database takes milliseconds; making and dropping one for each test took seconds."""
    with psycopg.connect(tables, autocommit=True) as connection:
        connection.execute(_EMPTY_ALL)
    return tables


@pytest.fixture
def own_dsn(postgres: EmbeddedPostgres, tables: str) -> Iterator[str]:
    """A database that a test may spoil."""
    admin = postgres.dsn.replace("dbname=stillwing", "dbname=postgres")
    name = f"test_{next(_numbers)}"
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE stillwing")
    yield postgres.dsn.replace("dbname=stillwing", f"dbname={name}")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
async def stored(fresh_dsn: str) -> AsyncIterator[StoredBank]:
    bank = await StoredBank.open(BankConfig(dsn=fresh_dsn, similarity="token_overlap"))
    yield bank
    await bank.close()


@pytest.fixture(params=["in process", "over the wire"])
async def bank(stored: StoredBank, request: pytest.FixtureRequest) -> AsyncIterator[MemoryBank]:
    """The same store as a library and behind a real server."""
    if request.param == "in process":
        yield stored
        return
    server = RpcServer([registration(stored)], ServerSettings(), on_drain=stored.end_streams)
    port = await server.start()
    await server.set_serving()
    remote = await RemoteMemoryBank.connect(f"127.0.0.1:{port}")
    yield remote
    await remote.close()
    await server.drain()
