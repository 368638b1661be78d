"""python -m pytest tests/e2e/memory/test_memory_kill.py

Nothing acknowledged is lost, whoever is killed while keyframes are written; nothing is left behind on a proper end.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from stillwing_common.errors import Unavailable
from stillwing_memory.client import RemoteMemoryBank
from stillwing_memory.core.keyframes import Keyframe, PutResult

pytestmark = pytest.mark.e2e

Make = Callable[[int], Keyframe]
Start = Callable[..., Any]


async def write_until_it_breaks(
    bank: RemoteMemoryBank, make_keyframe: Make, acknowledged: dict[int, PutResult], enough: asyncio.Event
) -> None:
    """Four writers at once; what was acknowledged is noted the moment it was."""

    async def one(first: int) -> None:
        for number in range(first, 100_000, 4):
            acknowledged[number] = await bank.put_keyframe(make_keyframe(number))
            if len(acknowledged) >= 40:
                enough.set()

    await asyncio.gather(*(one(first) for first in range(4)))


async def check_whole(bank: RemoteMemoryBank, make_keyframe: Make, acknowledged: dict[int, PutResult]) -> None:
    """All that was acknowledged is there, pixels and all, and the log of changes has no gap."""
    for number, result in acknowledged.items():
        stored = await bank.get_keyframe(f"drone/front/{number}", include_image=True)
        assert stored.frame == make_keyframe(number).frame
        assert stored.sightings == result.keyframe.sightings
    info = await bank.get_bank()
    assert info.keyframes >= len(acknowledged)
    assert info.entities == 5
    revisions = []
    async for change in bank.watch_changes():
        revisions.append(change.revision)
        if change.revision == info.revision:
            break
    assert revisions == list(range(1, info.revision + 1))


@pytest.mark.parametrize("victims", ["service", "both"])
async def test_nothing_acknowledged_is_lost_with_the_service(start: Start, make_keyframe: Make, victims: str) -> None:
    service = start()
    bank = await RemoteMemoryBank.connect(service.wait_serving())
    acknowledged: dict[int, PutResult] = {}
    enough = asyncio.Event()
    writers = asyncio.ensure_future(write_until_it_breaks(bank, make_keyframe, acknowledged, enough))
    await asyncio.wait_for(enough.wait(), 60)
    if victims == "both":
        service.postmaster().kill()
    service.process.kill()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(writers, 30)
    await bank.close()
    service.process.wait()

    again = start()
    bank = await RemoteMemoryBank.connect(again.wait_serving())
    await check_whole(bank, make_keyframe, acknowledged)
    assert not (await bank.put_keyframe(make_keyframe(0))).created
    assert (await bank.put_keyframe(make_keyframe(999_999))).created
    await bank.close()


async def test_nothing_acknowledged_is_lost_with_the_database(start: Start, make_keyframe: Make) -> None:
    service = start()
    bank = await RemoteMemoryBank.connect(service.wait_serving())
    acknowledged: dict[int, PutResult] = {}
    enough = asyncio.Event()
    writers = asyncio.ensure_future(write_until_it_breaks(bank, make_keyframe, acknowledged, enough))
    await asyncio.wait_for(enough.wait(), 60)
    stream = bank.watch_changes((await bank.get_bank()).revision)
    service.postmaster().kill()
    with pytest.raises(Unavailable) as caught:
        await asyncio.wait_for(writers, 30)
    assert caught.value.reason == "STORE_UNAVAILABLE"

    await asyncio.to_thread(service.wait_event, "the database server is back")
    assert service.process.poll() is None
    put = await bank.put_keyframe(make_keyframe(999_999))
    acknowledged[999_999] = put
    await check_whole(bank, make_keyframe, acknowledged)
    # A reader that was waiting all the while hears of it too, or is told to resume.
    with suppress(Unavailable):
        async for change in stream:
            if change.revision >= put.revision:
                break
    await stream.aclose()
    await bank.close()


async def test_a_database_dies_with_its_killed_service(start: Start) -> None:
    service = start()
    service.wait_serving()
    assert service.postgres()
    service.process.kill()
    service.process.wait()
    service.wait_no_postgres()


async def test_a_database_that_was_left_all_the_same_is_stopped(start: Start, make_keyframe: Make) -> None:
    service = start()
    bank = await RemoteMemoryBank.connect(service.wait_serving())
    await bank.put_keyframe(make_keyframe(1))
    await bank.close()
    left = service.postmaster()
    (guard,) = service.guards()
    guard.kill()
    service.process.kill()
    service.process.wait()
    assert service.alive(left)

    again = start()
    bank = await RemoteMemoryBank.connect(again.wait_serving())
    assert not service.alive(left)
    assert (await bank.get_bank()).keyframes == 1
    await bank.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_proper_end_leaves_nothing_behind(start: Start, make_keyframe: Make, how: signal.Signals) -> None:
    service = start()
    bank = await RemoteMemoryBank.connect(service.wait_serving())
    await bank.put_keyframe(make_keyframe(1))
    stream = bank.watch_changes(2)
    waiting = asyncio.ensure_future(anext(stream, None))
    guards = service.guards()
    await asyncio.sleep(0.2)

    assert await asyncio.to_thread(service.signal, how) == 0
    assert service.postgres() == []
    assert not any(service.alive(guard) for guard in guards)
    assert not (service.folder / "postgres" / "postmaster.pid").exists()
    assert await asyncio.wait_for(waiting, 5) is None
    await bank.close()


async def test_a_folder_has_one_service(start: Start) -> None:
    first = start()
    target = first.wait_serving()
    second = start()
    assert await asyncio.to_thread(second.process.wait, 60) == 1
    assert str(first.process.pid) in second.text()
    assert "Another memory bank has this data folder" in second.text()
    bank = await RemoteMemoryBank.connect(target)
    assert (await bank.get_bank()).store == "embedded"
    await bank.close()


async def test_a_stale_pid_of_a_stranger_is_no_hindrance(start: Start) -> None:
    service = start()
    service.wait_serving()
    pid_file = service.folder / "postgres" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    assert service.signal(signal.SIGTERM) == 0
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))

    start().wait_serving()
    assert psutil.pid_exists(os.getpid())


async def test_a_death_while_the_data_folder_is_made_is_no_hindrance(start: Start, new_folder: Path) -> None:
    unfinished = new_folder / "postgres.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("18\n")
    start(new_folder).wait_serving()
    assert not unfinished.exists()


@pytest.mark.parametrize("name", ["long" * 40, 'it\'s, a 100% "strange" näme'], ids=["long", "strange"])
async def test_a_folder_may_have_any_name(start: Start, new_folder: Path, make_keyframe: Make, name: str) -> None:
    service = start(new_folder / name)
    bank = await RemoteMemoryBank.connect(service.wait_serving())
    assert (await bank.put_keyframe(make_keyframe(1))).created
    await bank.close()
    assert service.signal(signal.SIGTERM) == 0


def test_a_folder_that_cannot_be_is_an_error_that_names_it(start: Start, new_folder: Path) -> None:
    new_folder.write_text("a file where the folder should be")
    service = start(new_folder / "inside")
    assert service.process.wait(60) == 1
    assert "The store does not answer" in service.text()
    assert str(new_folder / "inside") in service.text()
    assert "Traceback" not in service.text()
