"""python -m pytest tests/contract/memory/test_memory_damage.py

A database whose files are damaged says so in one line; what of it is whole is still served.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from stillwing_common.errors import InternalFault, StoreDamaged
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.stores.connection import open_engine, transaction
from stillwing_memory.core.stores.embedded import EmbeddedPostgres


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="swm-"))
    yield made / "m"
    shutil.rmtree(made)


async def test_a_corrupt_page_is_an_error_of_its_own(folder: Path, make_keyframe: Callable[..., Keyframe]) -> None:
    config = BankConfig(folder=folder, similarity="token_overlap")
    bank = await StoredBank.open(config)
    await bank.put_keyframe(make_keyframe(1, "beacon"))
    await bank.close()

    server = EmbeddedPostgres(folder)
    server.start()
    with psycopg.connect(server.dsn) as connection:
        (page,) = connection.execute("SELECT pg_relation_filepath('entities')").fetchone()  # type: ignore[misc]
    server.stop()
    with (folder / "postgres" / str(page)).open("r+b") as file:
        file.seek(24)
        file.write(b"\xa5" * 4000)

    bank = await StoredBank.open(config)
    with pytest.raises(StoreDamaged) as caught:
        await bank.list_entities()
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
    assert (await bank.list_keyframes()).keyframes[0].frame.frame_id == "drone/front/1"
    await bank.close()


def test_what_else_a_database_refuses_is_one_line_too(fresh_dsn: str) -> None:
    engine = open_engine(fresh_dsn, "default")
    try:
        for statement in ("SELECT * FROM nothing", "SELECT 1/0", "INSERT INTO changes VALUES ('b', 1)"):
            with pytest.raises(InternalFault) as caught, transaction(engine) as connection:
                connection.exec_driver_sql(statement)
            assert "\n" not in str(caught.value) and caught.value.metadata["sqlstate"]
    finally:
        engine.dispose()
