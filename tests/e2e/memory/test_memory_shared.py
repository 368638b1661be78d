"""python -m pytest tests/e2e/memory/test_memory_shared.py

Two services on one database: one is killed while both write, the other goes on, and nothing of either is lost.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from stillwing_common.errors import Unavailable
from stillwing_memory.client import RemoteMemoryBank
from stillwing_memory.core.keyframes import Keyframe
from stillwing_memory.core.stores.embedded import EmbeddedPostgres

pytestmark = pytest.mark.e2e


@pytest.fixture
def database() -> Iterator[EmbeddedPostgres]:
    """A server that belongs to neither service."""
    folder = Path(tempfile.mkdtemp(prefix="swm-"))
    server = EmbeddedPostgres(folder)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(folder)


def serve(dsn: str, log: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ, "STILLWING_MEMORY_LOG_FORMAT": "json", "STILLWING_MEMORY_DSN": dsn, "PYTHONUNBUFFERED": "1"
    }  # fmt: skip
    with log.open("wb") as file:
        return subprocess.Popen([sys.executable, "-m", "stillwing_memory", "--port", "0"], stderr=file, env=environment)


def address(log: Path) -> str:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        for line in log.read_text().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if event.get("event") == "rpc.serving":
                    return f"127.0.0.1:{event['port']}"
        time.sleep(0.05)
    raise AssertionError(log.read_text())


async def write(
    bank: RemoteMemoryBank,
    make: Callable[[int], Keyframe],
    numbers: range,
    done: set[int],
    progress: asyncio.Condition,
) -> None:
    for number in numbers:
        await bank.put_keyframe(make(number))
        done.add(number)
        async with progress:
            progress.notify_all()


async def test_a_second_bank_goes_on_when_the_first_is_killed(
    database: EmbeddedPostgres, make_keyframe: Callable[[int], Keyframe], tmp_path: Path
) -> None:
    logs = [tmp_path / "first.log", tmp_path / "second.log"]
    services = [serve(database.dsn, log) for log in logs]
    banks = [await RemoteMemoryBank.connect(await asyncio.to_thread(address, log)) for log in logs]
    acknowledged: tuple[set[int], set[int]] = (set(), set())
    progress = asyncio.Condition()
    writers = [
        asyncio.ensure_future(write(bank, make_keyframe, range(first, 100_000, 2), acknowledged[first], progress))
        for first, bank in enumerate(banks)
    ]
    try:
        async with asyncio.timeout(90):
            async with progress:
                await progress.wait_for(lambda: min(map(len, acknowledged)) >= 10)
            services[0].kill()
            with pytest.raises(Unavailable):
                await writers[0]
            reached = len(acknowledged[1])
            async with progress:
                await progress.wait_for(lambda: len(acknowledged[1]) >= reached + 10)
        writers[1].cancel()
        await asyncio.gather(*writers, return_exceptions=True)

        for number in acknowledged[0] | acknowledged[1]:
            assert (await banks[1].get_keyframe(f"drone/front/{number}")).caption == f"frame {number}"
        revision = (await banks[1].get_bank()).revision
        seen = []
        async for change in banks[1].watch_changes():
            seen.append(change.revision)
            if change.revision == revision:
                break
        assert seen == list(range(1, revision + 1))
    finally:
        for bank in banks:
            await bank.close()
        for service in services:
            service.terminate()
            service.wait(60)
