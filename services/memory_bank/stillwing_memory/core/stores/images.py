"""Pixels too large for a row, by content: a local folder, or any object store that fsspec can reach.

An image is named by the SHA-256 of its bytes, so writing it twice changes nothing, and it is whole and on disk before
any row names it. It knows nothing of keyframes or databases.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from stillwing_common.durable import replace_durably
from stillwing_common.errors import MissingExtra, StoreUnavailable
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

    def put(self, data: bytes) -> str:
        """Keep the bytes; returns their name. On disk when this returns. Raises StoreUnavailable."""
        name = hashlib.sha256(data).hexdigest()
        path = self._path(name)
        try:
            if self._local:
                _write_durably(Path(path), data)
            elif not self._files.exists(path):
                self._files.pipe_file(path, data)
        except self._failures as error:
            raise StoreUnavailable(f"the image cannot be kept: {error}", image=name) from error
        return name

    def get(self, name: str) -> bytes:
        """What was kept under this name. Raises StoreUnavailable for bytes that are gone or were changed."""
        try:
            data = bytes(self._files.cat_file(self._path(name)))
        except self._failures as error:
            raise StoreUnavailable(f"the image {name} cannot be read: {error}", image=name) from error
        if hashlib.sha256(data).hexdigest() != name:
            raise StoreUnavailable(f"the image {name} is not what was kept", image=name)
        return data

    def delete(self, name: str) -> None:
        """Let the bytes go; what is gone already stays gone. Raises StoreUnavailable."""
        try:
            self._files.rm_file(self._path(name))
        except FileNotFoundError:
            return
        except self._failures as error:
            raise StoreUnavailable(f"the image {name} cannot be deleted: {error}", image=name) from error

    def _path(self, name: str) -> str:
        return f"{self._root}/{name[:2]}/{name}"


def _write_durably(path: Path, data: bytes) -> None:
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, unfinished = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        replace_durably(Path(unfinished), path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
