"""python -m pytest tests/e2e/memory/test_memory_backup.py

A backup made while the service serves is restored elsewhere, and what cannot be is refused.
"""

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
    start: Callable[..., Any], folder: Path, make_keyframe: Callable[[int], Keyframe]
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
    await bank.put_keyframe(make_keyframe(2))  # after the backup: not in it
    await bank.close()

    again = command("backup", str(made), "--folder", str(folder))
    assert again.returncode == 1 and "there already" in again.stderr
    filled = command("restore", str(made), "--folder", str(folder))
    assert filled.returncode == 1 and "Traceback" not in filled.stderr

    other = folder.parent / "other"
    done = command("restore", str(made), "--folder", str(other))
    assert done.returncode == 0, done.stderr
    restored = start(other)
    bank = await RemoteMemoryBank.connect(restored.wait_serving())
    assert await bank.get_bank() == before
    assert (await bank.get_keyframe("drone/front/9", include_image=True)).frame.image == large
    assert (await bank.put_keyframe(make_keyframe(3))).created
    await bank.close()
    (folder.parent / "nothing.tar").write_text("no")
    assert "is no backup" in command("restore", str(folder.parent / "nothing.tar"), "--folder", str(other)).stderr
