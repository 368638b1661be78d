"""python -m pytest tests/e2e/memory/test_memory_crash_points.py

Whoever dies at whatever step: nothing acknowledged is lost, nothing is left over, nothing half-restored is served.
`tests/support/crash_points.py` says what a step is. The nightly run takes every step, two thousand of them.
"""

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import crash_points
import psycopg
import pytest
from run_profile import sized

from stillwing_memory.core.bank import StoredBank
from stillwing_memory.core.stores.backup import back_up
from stillwing_memory.core.stores.embedded import EmbeddedPostgres

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(sized(ci=300, nightly=3600))]

WRITES = sized(ci=("11", "37"), nightly=("1", "1"))
BANKS, ROUNDS = sized(ci=(1, 1), nightly=(4, 4))
"""Each bank has a database of its own, and so many orders in which it is written to."""
BACKUP = sized(ci=("3", "9"), nightly=("1", "1"))
RESTORE = sized(ci=("14", "31"), nightly=("1", "1"))


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server whose folder is short: a socket's path may have 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="swm-"))
    running = EmbeddedPostgres(folder / "m")
    running.start()
    yield running
    running.stop()
    shutil.rmtree(folder)


def died(*words: object) -> int:
    done = subprocess.run(
        [sys.executable, crash_points.__file__, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    count: int = json.loads(done.stdout.splitlines()[-1])["died"]
    return count


def fill(dsn: str, images: Path) -> None:
    async def work() -> None:
        bank = await StoredBank.open(crash_points.config(dsn, images))
        for number, data in enumerate(crash_points.LARGE):
            await bank.put_keyframe(crash_points.keyframe(f"mis_1/{number}", crash_points.picture(data)))
        await bank.close()

    asyncio.run(work())


def test_no_acknowledged_write_is_lost_at_any_step(server: EmbeddedPostgres, tmp_path: Path) -> None:
    def work(number: int) -> int:
        dsn = server.dsn.replace("dbname=stillwing", f"dbname=bank_{number}")
        return died("writes", dsn, tmp_path / f"images_{number}", *WRITES, number * ROUNDS, ROUNDS)

    with psycopg.connect(server.dsn.replace("dbname=stillwing", "dbname=postgres"), autocommit=True) as connection:
        for number in range(BANKS):
            connection.execute(f"CREATE DATABASE bank_{number} TEMPLATE stillwing")
    with ThreadPoolExecutor() as threads:
        assert sum(threads.map(work, range(BANKS))) >= sized(ci=2, nightly=2000)


def test_a_backup_is_whole_or_not_there_at_any_step(server: EmbeddedPostgres, tmp_path: Path) -> None:
    folder = server._folder
    fill(server.dsn, folder / "images")
    assert died("backup", folder, tmp_path / "bank.tar", *BACKUP) >= sized(ci=1, nightly=10)


def test_a_restore_is_whole_or_nothing_at_any_step(server: EmbeddedPostgres, tmp_path: Path) -> None:
    folder = server._folder
    fill(server.dsn, folder / "images")
    back_up(folder, "", tmp_path / "bank.tar")
    assert died("restore", tmp_path / "bank.tar", folder.parent / "r", *RESTORE) >= sized(ci=1, nightly=20)
