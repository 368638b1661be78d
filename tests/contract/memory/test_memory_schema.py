"""python -m pytest tests/contract/memory/test_memory_schema.py

The migrations make the tables that the queries think they use.
"""

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from stillwing_common.errors import InvalidInput, StoreTooNew, StoreUnavailable
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.stores.connection import migrate, open_engine
from stillwing_memory.core.stores.schema import metadata


def test_the_migrations_make_what_the_queries_use(fresh_dsn: str) -> None:
    engine = open_engine(fresh_dsn)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    engine.dispose()
    # Indexes are the migrations' business: no query names one.
    assert [difference for difference in differences if difference[0] != "remove_index"] == []


def test_pixels_lie_apart_from_their_rows_and_are_not_compressed(fresh_dsn: str) -> None:
    engine = open_engine(fresh_dsn)
    query = "SELECT attstorage FROM pg_attribute WHERE attrelid = 'keyframes'::regclass AND attname = 'image'"
    with engine.connect() as connection:
        assert connection.execute(text(query)).scalar_one() == "e"
    engine.dispose()


async def test_services_that_start_together_take_turns(own_dsn: str) -> None:
    engine = open_engine(own_dsn)
    with engine.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE"))
        connection.execute(text("CREATE SCHEMA public"))
    engine.dispose()
    banks = await asyncio.gather(*(StoredBank.open(BankConfig(dsn=own_dsn)) for _ in range(4)))
    assert [(await bank.get_bank()).revision for bank in banks] == [0] * 4
    for bank in banks:
        await bank.close()


def test_tables_of_a_later_version_are_left_alone(own_dsn: str) -> None:
    engine = open_engine(own_dsn)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match="not known here"):
        migrate(engine)
    engine.dispose()


async def test_a_dsn_that_is_none_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInput) as caught:
        await StoredBank.open(BankConfig(dsn="sesame"))
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["host=/nowhere dbname=x", "postgresql://127.0.0.1:1/x"])
async def test_a_dsn_that_leads_nowhere_is_an_error_that_says_so(dsn: str) -> None:
    with pytest.raises(StoreUnavailable):
        await StoredBank.open(BankConfig(dsn=dsn))
