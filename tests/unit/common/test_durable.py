"""python -m pytest tests/unit/common/test_durable.py -v

Files that are replaced whole, and are on the disk before anybody is told so.
"""

import os
from pathlib import Path

import pytest

from stillwing_common.durable import flush_to_disk, replace_durably


def test_the_old_file_stands_until_the_new_one_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, unfinished = tmp_path / "kept", tmp_path / "kept.partial"
    path.write_text("old")
    unfinished.write_text("new")
    flushed: list[tuple[int, str]] = []
    new, folder = unfinished.stat().st_ino, tmp_path.stat().st_ino
    fsync = os.fsync

    def watched(handle: int) -> None:
        flushed.append((os.fstat(handle).st_ino, path.read_text()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    replace_durably(unfinished, path)
    assert flushed == [(new, "old"), (folder, "new")]
    assert not unfinished.exists()


def test_a_disk_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, unfinished = tmp_path / "kept", tmp_path / "kept.partial"
    path.write_text("old")
    unfinished.write_text("new")

    def full(handle: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        replace_durably(unfinished, path)
    assert path.read_text() == "old"


def test_what_is_not_there_cannot_be_flushed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        flush_to_disk(tmp_path / "nothing")
