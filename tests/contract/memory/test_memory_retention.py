"""python -m pytest tests/contract/memory/test_memory_retention.py

Limits of what is held, and images too large for a row: nothing that was acknowledged goes without a word.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from stillwing_common.errors import (
    BankFull,
    ImageLost,
    ImageTooLarge,
    KeyframeForgotten,
    MissingExtra,
    StoreUnavailable,
)
from stillwing_common.types import Image
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.changes import Change
from stillwing_memory.core.changes import KeyframeForgotten as ForgottenChange
from stillwing_memory.core.instructions import Chunk, ChunkFrame, Instruction, ThingMention
from stillwing_memory.core.keyframes import ByText, Keyframe
from stillwing_memory.core.limits import Limits
from stillwing_memory.core.stores.retention import Retention

Make = Callable[..., Keyframe]


async def opened(dsn: str, retention: Retention | None = None, images: Path | None = None) -> StoredBank:
    """A bank that takes images above 2,000 bytes for large."""
    config = BankConfig(
        dsn=dsn,
        similarity="token_overlap",
        retention=retention or Retention(),
        images_url=str(images) if images else "",
        row_image_bytes=2_000,
        limits=Limits(max_image_bytes=100_000),
    )
    return await StoredBank.open(config)


async def changes(bank: StoredBank) -> list[Change]:
    revision = (await bank.get_bank()).revision
    found: list[Change] = []
    stream = bank.watch_changes()
    while len(found) < revision:
        found.append(await anext(stream))
    await stream.aclose()
    return found


async def test_a_full_bank_refuses_and_keeps_what_it_has(fresh_dsn: str, make_keyframe: Make) -> None:
    bank = await opened(fresh_dsn, Retention(max_keyframes=2))
    for number in (1, 2):
        await bank.put_keyframe(make_keyframe(number, f"thing {number}", caption="tree"))
    before = await bank.get_bank()
    with pytest.raises(BankFull) as caught:
        await bank.put_keyframe(make_keyframe(3, "thing 3", caption="tree"))
    assert caught.value.metadata["max_keyframes"] == "2"
    assert await bank.get_bank() == before
    assert not (await bank.put_keyframe(make_keyframe(1))).created
    await bank.close()


async def test_what_is_forgotten_is_told_and_keeps_all_but_its_pixels(fresh_dsn: str, make_keyframe: Make) -> None:
    bank = await opened(fresh_dsn, Retention(max_keyframes=2, forget=True))
    puts = [await bank.put_keyframe(make_keyframe(n, "tree", caption=f"tree {n}")) for n in (1, 2, 3)]
    assert (await bank.get_bank()).keyframes == 2
    gone = await bank.get_keyframe("drone/front/1")
    assert gone.forgotten and gone.caption == "tree 1" and gone.sightings == puts[0].keyframe.sightings
    with pytest.raises(KeyframeForgotten):
        await bank.get_keyframe("drone/front/1", include_image=True)
    found = await bank.search_keyframes(ByText("tree"))
    assert {one.keyframe.caption for one in found} == {"tree 2", "tree 3"}
    assert not (await bank.put_keyframe(make_keyframe(1))).created

    log = await changes(bank)
    assert [change.revision for change in log] == list(range(1, len(log) + 1))
    (told,) = [change for change in log if isinstance(change, ForgottenChange)]
    assert told.keyframe == gone
    await bank.close()


async def test_bytes_are_limited_too(fresh_dsn: str, make_keyframe: Make) -> None:
    size = len(make_keyframe(1).frame.image.data)
    bank = await opened(fresh_dsn, Retention(max_image_bytes=2 * size + size // 2, forget=True))
    for number in range(1, 6):
        await bank.put_keyframe(make_keyframe(number))
    info = await bank.get_bank()
    assert info.keyframes == 2 and info.image_bytes <= 2 * size + size // 2
    await bank.close()


@pytest.mark.parametrize("puts", ["mis_1", "mis_2"])
async def test_what_a_mission_has_in_sight_is_not_forgotten(fresh_dsn: str, make_keyframe: Make, puts: str) -> None:
    bank = await opened(fresh_dsn, Retention(max_keyframes=3, forget=True))
    await bank.begin_instruction(Instruction("mis_1", 1, "the van", (ThingMention("van"),)))
    await bank.file_chunk(Chunk("mis_1", 1, 1, (ChunkFrame(make_keyframe(1, caption="van")),)))
    for number in range(2, 8):
        await bank.put_keyframe(make_keyframe(number, mission_id=puts))
    assert not (await bank.get_keyframe("drone/front/1")).forgotten
    await bank.close()


async def test_what_the_mission_that_puts_has_in_sight_stays(fresh_dsn: str, make_keyframe: Make) -> None:
    bank = await opened(fresh_dsn, Retention(max_keyframes=2, forget=True))
    for number, mission_id in ((1, "mis_now"), (2, "mis_past")):
        await bank.begin_instruction(Instruction(mission_id, 1, f"thing {number}", (ThingMention(f"thing {number}"),)))
        keyframe = make_keyframe(number, f"thing {number}", mission_id=mission_id)
        await bank.file_chunk(Chunk(mission_id, 1, 1, (ChunkFrame(keyframe),)))
    for number in (3, 4, 5):
        await bank.put_keyframe(make_keyframe(number, mission_id="mis_now"))
    kept = [(await bank.get_keyframe(f"drone/front/{number}")).forgotten for number in range(1, 6)]
    assert kept == [False, True, True, True, False]
    await bank.close()


async def test_what_missions_of_the_past_had_in_sight_is_forgotten(fresh_dsn: str, make_keyframe: Make) -> None:
    """Nobody tells a bank that a mission is over: each would keep its last keyframes for good, until none fits."""
    bank = await opened(fresh_dsn, Retention(max_keyframes=2, forget=True))
    for number, thing in enumerate(("van", "tree", "gate", "house", "lamp"), 1):
        mission_id = f"mis_{number}"
        await bank.begin_instruction(Instruction(mission_id, 1, thing, (ThingMention(thing),)))
        keyframe = make_keyframe(number, thing, mission_id=mission_id)
        filed = await bank.file_chunk(Chunk(mission_id, 1, 1, (ChunkFrame(keyframe),)))
        assert filed.memory_frame_ids == (f"drone/front/{number}",)
    kept = [(await bank.get_keyframe(f"drone/front/{number}")).forgotten for number in range(1, 6)]
    assert kept == [True, True, True, False, False]
    # A mission that goes on after all has lost what it had in sight, and no more.
    again = await bank.file_chunk(Chunk("mis_1", 1, 2, (ChunkFrame(make_keyframe(6, mission_id="mis_1")),)))
    assert again.memory_frame_ids == ("drone/front/6",)
    assert (await bank.get_keyframe("drone/front/6", include_image=True)).frame.image.data
    await bank.close()


async def test_large_images_lie_by_content_outside_the_rows(
    fresh_dsn: str, tmp_path: Path, make_keyframe: Make, make_jpeg: Callable[..., Image]
) -> None:
    large = make_jpeg(1600, 1200)
    assert 2_000 < len(large.data) < 100_000
    without = await opened(fresh_dsn)
    with pytest.raises(ImageTooLarge):
        await without.put_keyframe(make_keyframe(1, image=large))
    await without.close()

    bank = await opened(fresh_dsn, Retention(max_keyframes=2, forget=True), tmp_path / "images")
    for number in (1, 2):
        await bank.put_keyframe(make_keyframe(number, image=large))
    assert (await bank.get_keyframe("drone/front/1", include_image=True)).frame.image == large
    (kept,) = [path for path in (tmp_path / "images").rglob("*") if path.is_file()]
    assert kept.read_bytes() == large.data
    await bank.put_keyframe(make_keyframe(3))
    assert kept.exists()  # frame 2 still shows it
    await bank.put_keyframe(make_keyframe(4))
    assert not kept.exists()

    await bank.put_keyframe(make_keyframe(5, image=large))
    kept.write_bytes(b"something else")
    with pytest.raises(ImageLost, match="not what was kept"):
        await bank.get_keyframe("drone/front/5", include_image=True)
    kept.unlink()
    with pytest.raises(ImageLost, match="there is no image"):
        await bank.get_keyframe("drone/front/5", include_image=True)
    assert (await bank.get_keyframe("drone/front/5")).frame.frame_id == "drone/front/5"
    (tmp_path / "images").rename(tmp_path / "unmounted")
    with pytest.raises(StoreUnavailable, match="there is no"):  # it may come back, so trying again may help
        await bank.get_keyframe("drone/front/5", include_image=True)
    await bank.close()


async def test_an_object_store_that_is_none_is_refused_at_once(fresh_dsn: str) -> None:
    with pytest.raises(MissingExtra):
        await StoredBank.open(BankConfig(dsn=fresh_dsn, images_url="nosuch://bucket"))


async def test_two_banks_of_one_tenant_keep_one_log(fresh_dsn: str, make_keyframe: Make) -> None:
    first, second = await opened(fresh_dsn), await opened(fresh_dsn)
    for number in range(1, 5):
        await (first if number % 2 else second).put_keyframe(make_keyframe(number))
    assert [one.revision for one in await changes(second)] == [1, 2, 3, 4]
    await first.close()
    assert (await second.put_keyframe(make_keyframe(9))).revision == 5
    await second.close()
