"""python -m pytest tests/e2e/memory/test_memory_backup.py

A backup made while the service serves is restored elsewhere, and what cannot be is refused.
"""

import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stillwing_memory.client import RemoteMemoryBank
from stillwing_memory.core.keyframes import Keyframe

pytestmark = pytest.mark.e2e


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stillwing_memory", *words], capture_output=True, text=True, timeout=120
    )


async def test_a_backup_of_a_serving_bank_is_restored_whole(
    start: Callable[..., Any],
    folder: Path,
    make_keyframe: Callable[[int], Keyframe],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service = start()
    bank = await RemoteMemoryBank.connect(service.wait_serving())
    frame = make_keyframe(9).frame
    large = replace(frame.image, data=frame.image.data + bytes(300_000))  # what follows a JPEG's end is kept with it
    for keyframe in (make_keyframe(1), replace(make_keyframe(9), frame=replace(frame, image=large))):
        await bank.put_keyframe(keyframe)
    before = await bank.get_bank()
    made = folder.parent / "bank.tar"
    done = command("backup", str(made), "--folder", str(folder))
    assert done.returncode == 0 and "Next: stillwing-memory restore" in done.stdout, done.stderr
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    await bank.put_keyframe(make_keyframe(2))  # after the backup: not in it
    await bank.close()

    again = command("backup", str(made), "--folder", str(folder))
    assert again.returncode == 1 and "there already" in again.stderr
    filled = command("restore", str(made), "--folder", str(folder))
    assert filled.returncode == 1 and "Traceback" not in filled.stderr

    other = folder.parent / "other"
    temporary = folder.parent / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    done = command("--folder", str(other), "restore", str(made))  # flags of the service are the command's, too
    assert done.returncode == 0, done.stderr
    assert list(temporary.iterdir()) == []
    monkeypatch.undo()
    assert sorted(path.name for path in other.iterdir()) == ["images", "lock", "postgres"]
    assert sorted(path.name for path in folder.parent.glob(".*")) == []
    restored = start(other)
    bank = await RemoteMemoryBank.connect(restored.wait_serving())
    assert await bank.get_bank() == before
    assert (await bank.get_keyframe("drone/front/9", include_image=True)).frame.image == large
    assert (await bank.put_keyframe(make_keyframe(3))).created
    await bank.close()
    (folder.parent / "nothing.tar").write_text("no")
    assert "is no backup" in command("restore", str(folder.parent / "nothing.tar"), "--folder", str(other)).stderr


async def test_a_folder_whose_restore_was_cut_short_is_not_served_as_an_empty_bank(
    start: Callable[..., Any], new_folder: Path
) -> None:
    (new_folder / "restore.unfinished").mkdir(parents=True)
    service = start(new_folder)
    assert service.process.wait(60) == 1
    assert "was cut short; run it again" in service.text()
    assert "Traceback" not in service.text()


def test_a_backup_looks_where_the_service_does_and_says_where_that_is(new_folder: Path) -> None:
    for words in (("--folder", str(new_folder), "backup", "x.tar"), ("backup", "x.tar", "--folder", str(new_folder))):
        done = command(*words)
        assert done.returncode == 1
        assert f"{new_folder} holds no bank" in done.stderr
