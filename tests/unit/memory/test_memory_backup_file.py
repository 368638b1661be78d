"""python -m pytest tests/unit/memory/test_memory_backup_file.py

The file of a backup: only what a backup writes is taken, whole, and nothing is written outside its folder.
"""

import hashlib
import io
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwing_common.errors import BackupFailed
from stillwing_memory.core.stores.backup_file import open_backup, write_backup

IMAGE = bytes(range(256)) * 9
DIGEST = hashlib.sha256(IMAGE).hexdigest()
NAME = f"images/0b5c-7e/{DIGEST[:2]}/{DIGEST}"


def member(name: str, data: bytes = b"", **changes: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for field, value in changes.items():
        setattr(info, field, value)
    return info, data


def packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


WHOLE = packed(member("bank.dump", b"PGDMP" * 300), member(NAME, IMAGE))


@pytest.fixture
def unpack(tmp_path: Path) -> Callable[[bytes], tuple[bytes, dict[str, bytes]]]:
    def work(data: bytes) -> tuple[bytes, dict[str, bytes]]:
        source = tmp_path / "bank.tar"
        source.write_bytes(data)
        into = tmp_path / "into"
        with open_backup(source) as backup:
            dump = backup.dump().read()
            backup.copy_images(into)
        images = {path.relative_to(into).as_posix(): path for path in into.rglob("*") if path.is_file()}
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in images.values())
        return dump, {name: path.read_bytes() for name, path in images.items()}

    return work


def test_what_is_written_is_read(tmp_path: Path, unpack: Callable[[bytes], tuple[bytes, dict[str, bytes]]]) -> None:
    images = tmp_path / "images"
    path = images / NAME.removeprefix("images/")
    path.parent.mkdir(parents=True)
    path.write_bytes(IMAGE)
    (path.parent / "tmpabcd").write_bytes(b"half of an im")  # somebody is writing it just now
    dump = tmp_path / "dump"
    dump.write_bytes(b"PGDMP" * 300)
    made = tmp_path / "made.tar"
    assert write_backup(made, dump, images) == made.stat().st_size
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert unpack(made.read_bytes()) == (b"PGDMP" * 300, {NAME.removeprefix("images/"): IMAGE})


BAD = {
    "up": member("../evil", b"x"),
    "up inside": member("images/../../evil", b"x"),
    "absolute": member("/tmp/evil", b"x"),
    "symbolic link": member("images/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "link of a good name": member(NAME, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": member(NAME, type=tarfile.LNKTYPE, linkname="bank.dump"),
    "device": member("images/device", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "pipe": member(NAME, type=tarfile.FIFOTYPE),
    "stranger": member("postgres/PG_VERSION", b"18"),
    "folder elsewhere": member("elsewhere", type=tarfile.DIRTYPE),
    "folder above": member("images/..", type=tarfile.DIRTYPE),
    "second dump": member("bank.dump", b"other"),
    "sparse": member(NAME, type=tarfile.GNUTYPE_SPARSE),
}


@pytest.mark.parametrize("what", BAD)
def test_what_no_backup_holds_is_refused(
    what: str, tmp_path: Path, unpack: Callable[[bytes], tuple[bytes, dict[str, bytes]]]
) -> None:
    with pytest.raises(BackupFailed):
        unpack(packed(member("bank.dump", b"PGDMP"), BAD[what]))
    assert {path.name for path in tmp_path.iterdir()} == {"bank.tar"}


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_tar_is_none(
    mode: str, tmp_path: Path, unpack: Callable[[bytes], tuple[bytes, dict[str, bytes]]]
) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as tar:  # type: ignore[call-overload]
        tar.addfile(*[member("bank.dump", b"x")[0], io.BytesIO(b"x")])
    with pytest.raises(BackupFailed):
        unpack(file.getvalue())


@pytest.mark.parametrize("cut", [1, 100, 512, 700, 1536, 2048, 2200, 3000, 4600, 5000, 5600])
def test_a_file_that_ends_early_is_refused(cut: int, unpack: Callable[[bytes], tuple[bytes, dict[str, bytes]]]) -> None:
    assert cut < 512 + 1536 + 512 + 2560 + 1024  # headers, contents and end of the two members
    with pytest.raises(BackupFailed):
        unpack(WHOLE[:cut])


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed), open_backup(tmp_path / "none.tar"):
        pass


@settings(suppress_health_check=list(HealthCheck))
@given(st.data())
def test_no_bytes_break_it(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    changed = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 6))):
        changed[data.draw(st.integers(0, 700) | st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "bank.tar").write_bytes(changed)
    try:
        with open_backup(folder / "bank.tar") as backup:
            backup.dump().read()
            backup.copy_images(folder / "into")
    except BackupFailed:
        pass
    assert {path.name for path in folder.iterdir()} <= {"bank.tar", "into"}
