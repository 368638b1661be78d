"""python -m pytest tests/contract/memory/test_memory_shared_images.py

Where two rows show one large image, letting one go takes nothing from the other, whoever comes first.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from stillwing_common.errors import StoreUnavailable
from stillwing_common.types import Image
from stillwing_memory.core.bank import BankConfig, StoredBank
from stillwing_memory.core.instructions import Chunk, ChunkFrame, Instruction
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.stores.images import ImageStore
from stillwing_memory.core.stores.large_images import BACKUP_LOCK
from stillwing_memory.core.stores.retention import Retention

Make = Callable[..., Keyframe]


@pytest.fixture
def large(make_jpeg: Callable[..., Image]) -> Image:
    return make_jpeg(640, 480, 90)


@pytest.fixture
def opened(fresh_dsn: str, tmp_path: Path) -> Callable[..., object]:
    async def begin(tenant: str = "default", most: int = 1) -> StoredBank:
        return await StoredBank.open(
            BankConfig(
                dsn=fresh_dsn,
                similarity="token_overlap",
                tenant=tenant,
                retention=Retention(max_keyframes=most, forget=True),
                images_url=str(tmp_path / "images"),
                row_image_bytes=2_000,
            )
        )

    return begin


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "images").rglob("*") if path.is_file()]


def notes(dsn: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("SELECT image_ref FROM loose_images").fetchall()


async def pixels(bank: StoredBank, number: int) -> Image:
    return (await bank.get_keyframe(f"drone/front/{number}", include_image=True)).frame.image


async def test_tenants_do_not_share_files(
    opened: Callable[..., object], tmp_path: Path, make_keyframe: Make, large: Image
) -> None:
    ours, theirs = [await opened(tenant) for tenant in ("a", "b")]  # type: ignore[misc]
    for bank in (ours, theirs):
        await bank.put_keyframe(make_keyframe(1, image=large))
    assert len(files(tmp_path)) == 2
    await ours.put_keyframe(make_keyframe(2))  # ours lets its own go
    assert len(files(tmp_path)) == 1
    assert await pixels(theirs, 1) == large
    await ours.close()
    await theirs.close()


async def test_databases_do_not_share_files(
    opened: Callable[..., object], own_dsn: str, tmp_path: Path, make_keyframe: Make, large: Image
) -> None:
    ours: StoredBank = await opened()  # type: ignore[misc]
    with psycopg.connect(own_dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE bank, keyframes, sightings, changes, filed_chunks, active, recalls")
    config = BankConfig(
        dsn=own_dsn, similarity="token_overlap", images_url=str(tmp_path / "images"), row_image_bytes=2_000
    )
    theirs = await StoredBank.open(config)
    for bank in (ours, theirs):
        await bank.put_keyframe(make_keyframe(1, image=large))
    await ours.put_keyframe(make_keyframe(2))
    assert await pixels(theirs, 1) == large
    await ours.close()
    await theirs.close()


@pytest.mark.parametrize("how", ["put", "file_chunk"])
async def test_what_is_put_again_while_it_is_forgotten_stays(
    opened: Callable[..., object],
    tmp_path: Path,
    make_keyframe: Make,
    large: Image,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    """The put sees the file, then another put forgets the last keyframe that shows it and deletes the file."""
    bank: StoredBank = await opened()  # type: ignore[misc]
    await bank.begin_instruction(Instruction("mis_1", 1, "-"))
    await bank.put_keyframe(make_keyframe(1, image=large))
    loop, put = asyncio.get_running_loop(), ImageStore.put
    came_between: list[object] = []

    def put_late(self: ImageStore, folder: str, data: bytes) -> str:
        name = put(self, folder, data)
        if not came_between:
            came_between.append(None)
            asyncio.run_coroutine_threadsafe(bank.put_keyframe(make_keyframe(2)), loop).result(30)
            assert files(tmp_path) == []
        return name

    monkeypatch.setattr(ImageStore, "put", put_late)
    again = make_keyframe(3, image=large)
    if how == "put":
        assert (await bank.put_keyframe(again)).created
    else:
        assert (await bank.file_chunk(Chunk("mis_1", 1, 1, (ChunkFrame(again),)))).created
    assert came_between
    assert await pixels(bank, 3) == large
    await bank.close()


async def test_many_at_once_lose_nothing(
    opened: Callable[..., object], fresh_dsn: str, tmp_path: Path, make_keyframe: Make, make_jpeg: Callable[..., Image]
) -> None:
    banks: list[StoredBank] = [await opened(most=3) for _ in range(2)]  # type: ignore[misc]
    images = [make_jpeg(640, 480, shade) for shade in (40, 90)]

    async def one(first: int) -> None:
        for number in range(first, 48, 4):
            await banks[number % 2].put_keyframe(make_keyframe(number, image=images[number // 3 % 2]))

    await asyncio.gather(*(one(first) for first in range(4)))
    kept = [one for one in (await banks[0].list_keyframes()).keyframes if not one.forgotten]
    assert len(kept) == 3
    shown = {(await pixels(banks[0], int(one.frame.frame_id.rpartition("/")[2]))).data for one in kept}
    assert {path.read_bytes() for path in files(tmp_path)} == shown
    assert notes(fresh_dsn) == []
    for bank in banks:
        await bank.close()


async def test_a_frame_that_is_forgotten_and_put_again_leaves_no_file(
    opened: Callable[..., object], fresh_dsn: str, tmp_path: Path, make_keyframe: Make, large: Image
) -> None:
    bank: StoredBank = await opened()  # type: ignore[misc]
    for keyframe in (make_keyframe(1, image=large), make_keyframe(2), make_keyframe(1, image=large)):
        await bank.put_keyframe(keyframe)
    assert (await bank.get_keyframe("drone/front/1")).forgotten
    assert files(tmp_path) == [] == notes(fresh_dsn)
    await bank.close()


async def test_what_cannot_be_deleted_now_is_deleted_at_the_next_start(
    opened: Callable[..., object],
    fresh_dsn: str,
    tmp_path: Path,
    make_keyframe: Make,
    large: Image,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: ImageStore, name: str) -> None:
        raise StoreUnavailable("the disk is away")

    bank: StoredBank = await opened()  # type: ignore[misc]
    await bank.put_keyframe(make_keyframe(1, image=large))
    with monkeypatch.context() as away:
        away.setattr(ImageStore, "delete", refuse)
        assert (await bank.put_keyframe(make_keyframe(2))).created  # acknowledged all the same
    await bank.close()
    assert len(files(tmp_path)) == 1 == len(notes(fresh_dsn))
    await (await opened()).close()  # type: ignore[misc]
    assert files(tmp_path) == [] == notes(fresh_dsn)


async def test_nothing_is_deleted_while_a_backup_copies(
    opened: Callable[..., object], fresh_dsn: str, tmp_path: Path, make_keyframe: Make, large: Image
) -> None:
    bank: StoredBank = await opened()  # type: ignore[misc]
    await bank.put_keyframe(make_keyframe(1, image=large))
    with psycopg.connect(fresh_dsn, autocommit=True) as copying:
        copying.execute(f"SELECT pg_advisory_lock_shared({BACKUP_LOCK})".encode())
        await bank.put_keyframe(make_keyframe(2))
        assert len(files(tmp_path)) == 1
    await bank.put_keyframe(make_keyframe(3, image=large))
    await bank.put_keyframe(make_keyframe(4))
    assert files(tmp_path) == [] == notes(fresh_dsn)
    await bank.close()
