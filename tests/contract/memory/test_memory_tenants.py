"""python -m pytest tests/contract/memory/test_memory_tenants.py

Tenants of one database see their own rows alone, whoever they connect as and whatever they ask.
"""

from collections.abc import AsyncIterator, Callable, Iterator

import psycopg
import pytest
from sqlalchemy import text

from stillwing_common.errors import InvalidInput, UnknownEntity, UnknownKeyframe
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.instructions import Instruction, ThingMention
from stillwing_memory.core.keyframes import ByEntity, ByText, Keyframe
from stillwing_memory.core.stores.connection import open_engine
from stillwing_memory.core.stores.schema import metadata

Make = Callable[..., Keyframe]


@pytest.fixture
def fleet_dsn(own_dsn: str) -> Iterator[str]:
    """A database of a role that is no superuser and owns its tables, as a fleet's administrator would give one."""
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE fleet LOGIN NOSUPERUSER NOBYPASSRLS")
        for table in (*metadata.tables, "alembic_version"):
            connection.execute(f"ALTER TABLE {table} OWNER TO fleet")
    yield own_dsn.replace("user=postgres", "user=fleet")
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("REASSIGN OWNED BY fleet TO postgres")
        connection.execute("DROP OWNED BY fleet")
        connection.execute("DROP ROLE fleet")


@pytest.fixture(params=["superuser", "owner of the tables"])
async def two(request: pytest.FixtureRequest, fleet_dsn: str) -> AsyncIterator[tuple[StoredBank, StoredBank, str]]:
    """Banks of two tenants on one database, and its DSN."""
    dsn = fleet_dsn if request.param != "superuser" else fleet_dsn.replace("user=fleet", "user=postgres")
    banks = [
        await StoredBank.open(BankConfig(dsn=dsn, tenant=tenant, similarity="token_overlap")) for tenant in ("a", "b")
    ]
    yield banks[0], banks[1], dsn
    for bank in banks:
        await bank.close()


async def test_nothing_of_one_reaches_the_other(two: tuple[StoredBank, StoredBank, str], make_keyframe: Make) -> None:
    ours, theirs, _ = two
    put = await ours.put_keyframe(make_keyframe(1, "red van", caption="a van", north_m=1.0))
    entity_id = put.keyframe.sightings[0].entity_id
    await ours.begin_instruction(Instruction("mis_1", 1, "the van", (ThingMention("red van"),)))

    info = await theirs.get_bank()
    assert (info.tenant, info.keyframes, info.entities, info.revision, info.image_bytes) == ("b", 0, 0, 0, 0)
    assert (await theirs.list_keyframes()).keyframes == () == (await theirs.list_entities()).entities
    assert await theirs.search_keyframes(ByText("van")) == () == await theirs.list_instructions("mis_1")
    for call in (theirs.get_keyframe("drone/front/1"), theirs.search_keyframes(ByEntity(entity_id))):
        with pytest.raises((UnknownKeyframe, UnknownEntity)):
            await call
    with pytest.raises(UnknownEntity):
        await theirs.merge_entities(entity_id, "ent_x")
    with pytest.raises(InvalidInput):
        await anext(theirs.watch_changes(1))


async def test_both_may_have_the_same_frames_and_missions(
    two: tuple[StoredBank, StoredBank, str], make_keyframe: Make
) -> None:
    ids = []
    for bank in two[:2]:
        put = await bank.put_keyframe(make_keyframe(1, "red van"))
        assert put.created and put.revision == 2
        begun = await bank.begin_instruction(Instruction("mis_1", 1, "the van", (ThingMention("red van"),)))
        assert begun.created and len(begun.memory) == 1
        ids.append(begun.entities[0].entity_id)
    assert ids[0] != ids[1]


async def test_the_database_itself_refuses(two: tuple[StoredBank, StoredBank, str], make_keyframe: Make) -> None:
    """Not the queries' politeness: statements that name the other tenant find and change nothing."""
    ours, _, dsn = two
    await ours.put_keyframe(make_keyframe(1, "red van"))
    engine = open_engine(dsn, "b")
    try:
        with engine.begin() as connection:
            for table in metadata.tables:
                assert connection.execute(text(f"SELECT count(*) FROM {table} WHERE tenant = 'a'")).scalar_one() == 0
            assert connection.execute(text("DELETE FROM sightings WHERE tenant = 'a'")).rowcount == 0
            assert connection.execute(text("UPDATE keyframes SET caption = 'x' WHERE tenant = 'a'")).rowcount == 0
        with pytest.raises(Exception, match="row-level security"), engine.begin() as connection:
            connection.execute(text("INSERT INTO changes (tenant, revision) VALUES ('a', 99)"))
    finally:
        engine.dispose()
    assert (await ours.get_keyframe("drone/front/1")).caption == ""


@pytest.mark.parametrize("tenant", ["", "a b", "a' OR '1", "x" * 64, "a\\ -c role=postgres", "ä"])
def test_a_tenant_is_a_plain_word(tenant: str) -> None:
    with pytest.raises(InvalidInput):
        BankConfig(tenant=tenant)
