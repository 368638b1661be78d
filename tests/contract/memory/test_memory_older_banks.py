"""python -m pytest tests/contract/memory/test_memory_older_banks.py

A bank that an earlier version filled, brought to this one: names and words are spelt anew, large images stay readable.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config

from stillwing_common.types import Image, Stamp
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.keyframes import ByText, Keyframe, Sighting
from stillwing_memory.core.stores import connection as connection_module
from stillwing_memory.core.stores.connection import open_engine
from stillwing_memory.core.stores.retention import Retention

_FILL = """
INSERT INTO bank (tenant, revision, kept_keyframes, kept_image_bytes) VALUES ('{0}', 4, 2, 10);
INSERT INTO entities (tenant, entity_id, revision, label, names, aliases, merged_ids, last_seen_ns, last_seen_clock_id)
VALUES
  ('{0}', 'ent_1', 1, 'crate C++', '{{"crate c"}}', '{{}}', '{{}}', 7, 'clock_1'),
  ('{0}', 'ent_2', 2, 'gate A', '{{"gate","house"}}', '{{"The House ★"}}', '{{}}', 7, 'clock_1');
INSERT INTO keyframes (tenant, revision, frame_id, clock_id, capture_ns, vehicle_id, camera_id, mission_id, caption,
  score, put_wall_ns, encoding, width_px, height_px, image, image_bytes, image_ref, tokens)
VALUES
  ('{0}', 3, 'drone/front/1', 'clock_1', 7, 'drone', 'front', 'mis_1', '海辺の赤い灯台', 0, 1, 'jpeg', 64, 48, NULL, 5,
   '{1}', '{{"海辺の赤い灯台"}}'),
  ('{0}', 4, 'drone/front/2', 'clock_1', 8, 'drone', 'front', 'mis_1', 'a tree', 0, 1, 'jpeg', 64, 48, '\\xffd8', 5,
   NULL, '{{"tree"}}');
INSERT INTO sightings (tenant, keyframe_revision, place, entity_id, track_id, label, confidence)
VALUES ('{0}', 4, 0, 'ent_1', '', 'crate C++', 1);
INSERT INTO changes (tenant, revision) VALUES ('{0}', 3), ('{0}', 4);
INSERT INTO instructions (tenant, mission_id, number, body, tokens, entity_ids, recalled_by, begin_wall_ns)
VALUES ('{0}', 'mis_1', 1, 'to C++', '{{"c","to"}}', '{{}}', 'nothing', 1);
"""


@pytest.fixture
def image(make_jpeg: object) -> Image:
    return make_jpeg(shade=5)  # type: ignore[operator]


@pytest.fixture(params=["superuser", "owner of the tables"])
def old_dsn(own_dsn: str, request: pytest.FixtureRequest, tmp_path: Path, image: Image) -> Iterator[str]:
    """Two tenants' rows as revision 0004 had them, and the older layout of large images, which both share."""
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    config = Config()
    config.set_main_option("script_location", str(Path(connection_module.__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    engine = open_engine(own_dsn)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
    engine.dispose()
    digest = hashlib.sha256(image.data).hexdigest()
    kept = tmp_path / "images" / digest[:2] / digest
    kept.parent.mkdir(parents=True)
    kept.write_bytes(image.data)
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        for tenant in ("a", "b"):
            connection.execute(_FILL.format(tenant, digest).encode())
        if request.param == "superuser":
            yield own_dsn
            return
        connection.execute("CREATE ROLE fleet LOGIN NOSUPERUSER NOBYPASSRLS")
        connection.execute("GRANT ALL ON SCHEMA public TO fleet")
        for (table,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            connection.execute(f"ALTER TABLE {table} OWNER TO fleet".encode())
    yield own_dsn.replace("user=postgres", "user=fleet")
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("REASSIGN OWNED BY fleet TO postgres")
        connection.execute("DROP OWNED BY fleet")
        connection.execute("DROP ROLE fleet")


async def test_an_older_bank_is_spelt_anew(old_dsn: str, tmp_path: Path, image: Image, make_keyframe: object) -> None:
    for tenant in ("b", "a"):
        bank = await StoredBank.open(
            BankConfig(
                dsn=old_dsn,
                similarity="token_overlap",
                tenant=tenant,
                images_url=str(tmp_path / "images"),
                retention=Retention(max_keyframes=2, forget=True),
            )
        )
        # Labels that the old rules took for one another are told apart, by what each thing was called.
        for name, entity_id in (("crate C++", "ent_1"), ("gate A", "ent_2"), ("house ★", "ent_2")):
            assert [one.entity_id for one in (await bank.list_entities(name=name)).entities] == [entity_id]
        for name in ("crate C", "crate C#", "gate", "house", "house ☆"):
            assert (await bank.list_entities(name=name)).entities == ()
        # A part of a name in a script without spaces is found, and so are words of a sighting's label.
        (match,) = await bank.search_keyframes(ByText("灯台"))
        assert match.keyframe.frame.frame_id == "drone/front/1"
        (match,) = await bank.search_keyframes(ByText("C++"))
        assert match.keyframe.frame.frame_id == "drone/front/2"
        # The file that both tenants have from before stays, whoever lets it go.
        first = await bank.get_keyframe("drone/front/1", include_image=True)
        assert first.frame.image.data == image.data and first.frame.capture == Stamp(7, "clock_1")
        new: Keyframe = make_keyframe(9, Sighting("crate C++"))  # type: ignore[operator]
        assert (await bank.put_keyframe(new)).keyframe.sightings[0].entity_id == "ent_1"
        assert (await bank.get_keyframe("drone/front/1")).forgotten
        await bank.close()
