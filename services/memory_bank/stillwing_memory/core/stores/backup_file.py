"""The file of a backup: a plain tar of the database's dump and, under `images/`, large images. It knows no database.

Whatever else a tar may hold (links, devices, other paths, sparse files, compression) is refused before anything of it
is written, and so is a file that ends early.
"""

import os
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stillwing_common.durable import flush_to_disk
from stillwing_common.errors import BackupFailed

_DUMP = "bank.dump"
_IMAGE = re.compile(r"images/(?:[0-9A-Za-z-]{1,64}/)?[0-9a-f]{2}/[0-9a-f]{64}", re.ASCII)
_END_BYTES = 1024
"""A tar ends with two blocks of zeros; without them it was cut, be it between two members."""
_UNREADABLE = (tarfile.TarError, OSError, ValueError, EOFError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class BackupFile:
    """A whole backup, open for reading."""

    _tar: tarfile.TarFile
    _dump: tarfile.TarInfo
    _images: tuple[tarfile.TarInfo, ...]

    def dump(self) -> IO[bytes]:
        """The database's dump."""
        return self._content(self._dump)

    def copy_images(self, folder: Path) -> None:
        """Write the images into `folder`; they are on disk when this returns. Raises OSError."""
        made = set()
        for member in self._images:
            path = folder / member.name.removeprefix("images/")
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                shutil.copyfileobj(self._content(member), file)
                file.flush()
                os.fsync(file.fileno())
            made |= {path.parent, *(one for one in path.parents if one.is_relative_to(folder))}
        for one in made:
            flush_to_disk(one)

    def _content(self, member: tarfile.TarInfo) -> IO[bytes]:
        content = self._tar.extractfile(member)
        assert content is not None  # it is a regular file
        return content


def write_backup(path: Path, dump: Path, images: Path | None) -> int:
    """Make the file `path`, which its owner alone may read; returns its size in bytes. Raises OSError."""
    with (
        os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file,
        tarfile.open(fileobj=file, mode="w") as tar,
    ):
        tar.add(dump, _DUMP, recursive=False)
        for image in sorted(images.rglob("*")) if images is not None else ():
            name = f"images/{image.relative_to(images).as_posix()}" if images is not None else ""
            if _IMAGE.fullmatch(name):  # what is still being written has another name
                tar.add(image, name, recursive=False)
    return path.stat().st_size


@contextmanager
def open_backup(source: Path) -> Iterator[BackupFile]:
    """Raises BackupFailed for what is no whole backup, before anything of it is used."""
    try:
        tar = tarfile.open(source, "r:")  # noqa: SIM115  closed below
    except _UNREADABLE as error:
        raise BackupFailed(f"{source} is no backup: {error}", file=source) from error
    with tar:
        yield _checked(source, tar)


def _checked(source: Path, tar: tarfile.TarFile) -> BackupFile:
    size = source.stat().st_size
    members: dict[str, tarfile.TarInfo] = {}
    end = 0
    try:
        for member in tar:
            end = member.offset_data + (0 if member.isdir() else -(-member.size // 512) * 512)
            if member.isdir() and member.name.partition("/")[0] == "images" and ".." not in member.name:
                continue
            plain = member.isreg() and not member.issparse() and member.size >= 0
            if not plain or member.name in members or not (member.name == _DUMP or _IMAGE.fullmatch(member.name)):
                raise BackupFailed(f"{source} is no backup: it holds {member.name[:200]!r}", file=source)
            members[member.name] = member
    except _UNREADABLE as error:
        raise BackupFailed(f"{source} is damaged, or no backup: {error}", file=source) from error
    if _DUMP not in members:
        raise BackupFailed(f"{source} is no backup: it holds no {_DUMP}", file=source)
    if size < end + _END_BYTES:
        raise BackupFailed(f"{source} is cut short: it ends after {size} bytes", file=source)
    dump = members.pop(_DUMP)
    return BackupFile(tar, dump, tuple(members.values()))
