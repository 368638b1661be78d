"""Pixels too large for a row, by content: a local folder, or any object store that fsspec can reach.

An image is named by a folder of its bank's own and the SHA-256 of its bytes, "<folder>/<sha-256>", so writing it twice
changes nothing, no bank's file is another's, and it is whole and on disk before any row names it. It knows nothing of
keyframes or databases.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from stillwing_common.durable import flush_to_disk, replace_durably
from stillwing_common.errors import ImageLost, MissingExtra, StillwingError, StoreUnavailable
from stillwing_common.extras import install_command


class ImageStore:
    """Bytes by name, under one folder or URL ("/data/images", "s3://bucket/images"). Called from any thread."""

    def __init__(self, url: str) -> None:
        """Raises MissingExtra for a URL whose package is not installed."""
        import fsspec
        from fsspec.implementations.local import LocalFileSystem

        try:
            self._files: Any
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise MissingExtra(
                f"images under {url} cannot be reached: {error}; for s3:// run: {install_command('s3')}", url=url
            ) from error
        self._local = isinstance(self._files, LocalFileSystem)
        # What an object store's client fails with, where it is not reached or has no credentials, is its own affair.
        self._failures: type[Exception] = OSError if self._local else Exception

    def put(self, folder: str, data: bytes) -> str:
        """Keep the bytes; returns their name. On disk when this returns. Raises StoreUnavailable."""
        name = image_name(folder, data)
        path = self._path(name)
        try:
            if self._local:
                _write_durably(Path(self._root), Path(path), data)
            elif not self._files.exists(path):
                self._files.pipe_file(path, data)
        except self._failures as error:
            raise StoreUnavailable(f"the image cannot be kept: {error}", image=name) from error
        return name

    def holds(self, name: str) -> bool:
        """Whether something is kept under this name. Raises StoreUnavailable."""
        try:
            return bool(self._files.exists(self._path(name)))
        except self._failures as error:
            raise StoreUnavailable(f"the image {name} cannot be looked for: {error}", image=name) from error

    def get(self, name: str) -> bytes:
        """What was kept under this name. Raises ImageLost for bytes that are gone or changed, StoreUnavailable."""
        try:
            data = bytes(self._files.cat_file(self._path(name)))
        except FileNotFoundError as error:
            raise self._not_there(name) from error
        except self._failures as error:
            raise StoreUnavailable(f"the image {name} cannot be read: {error}", image=name) from error
        if hashlib.sha256(data).hexdigest() != name.rpartition("/")[2]:
            raise ImageLost(f"the image {name} is not what was kept", image=name)
        return data

    def _not_there(self, name: str) -> StillwingError:
        """A disk that is not mounted and a bucket that is not there hold no image at all: they may come back."""
        whole = self._root if self._local else self._root.partition("/")[0]
        try:
            if not self._files.exists(whole):
                return StoreUnavailable(f"the image {name} cannot be read: there is no {whole}", image=name)
        except self._failures as error:
            return StoreUnavailable(f"the image {name} cannot be read: {error}", image=name)
        return ImageLost(f"there is no image {name}", image=name)

    def delete(self, name: str) -> None:
        """Let the bytes go; what is gone already stays gone. Raises StoreUnavailable."""
        try:
            path = self._path(name)
            if self._local:
                # A writer that was killed leaves its unfinished file; one that still writes begins anew.
                for unfinished in Path(path).parent.glob(f"{Path(path).name}.*"):
                    unfinished.unlink(missing_ok=True)
            self._files.rm_file(path)
        except FileNotFoundError:
            return
        except self._failures as error:
            raise StoreUnavailable(f"the image {name} cannot be deleted: {error}", image=name) from error

    def _path(self, name: str) -> str:
        # Names of before banks had folders of their own are the digest alone.
        folder, _, digest = name.rpartition("/")
        return "/".join(part for part in (self._root, folder, digest[:2], digest) if part)


def image_name(folder: str, data: bytes) -> str:
    """What these bytes are kept as by the bank with this folder."""
    return f"{folder}/{hashlib.sha256(data).hexdigest()}"


def _write_durably(root: Path, path: Path, data: bytes) -> None:
    """The file, and the names of all folders down to it, are on disk when this returns, whoever made them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # What is there is read, too: bytes that a disk has changed must not pass for the ones that are put now.
    while not path.exists() or path.read_bytes() != data:
        handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            replace_durably(Path(unfinished), path)
        except FileNotFoundError:
            continue  # deleted with the image it was to be
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    folder = path.parent
    while folder != root.parent.parent and folder != folder.parent:
        flush_to_disk(folder)
        folder = folder.parent
