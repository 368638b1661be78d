"""Exports beside an engine at work: the device's thread only copies, files are read and written on another.

It knows no tensors, no transports and nothing of what is in a session.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from stillwing_common.errors import ExportsOff
from stillwing_vlm.core.backend import Backend
from stillwing_vlm.core.base import ExportInfo, PeriodicExport
from stillwing_vlm.core.memory.exports import ExportFolder, read_session, write_session
from stillwing_vlm.core.memory.session_state import SavedSession

_T = TypeVar("_T")
_log = logging.getLogger("stillwing.vlm.exports")


class EngineExports:
    """The exports of one engine; without a folder every use is refused with ExportsOff."""

    def __init__(self, backend: Backend, folder: ExportFolder | None) -> None:
        self._backend = backend
        self._folder = folder
        # One thread: two files written at once are each written at half the speed.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="export")

    def check(self, name: str) -> None:
        """Raises ExportsOff, InvalidInput for a name that is none."""
        self._kept.path(name)

    async def list(self) -> list[ExportInfo]:
        """What there is, oldest first."""
        return await self._call(self._kept.infos)

    async def delete(self, name: str) -> None:
        """Deleting what is gone succeeds."""
        await self._call(partial(self._kept.delete, name))

    async def read(self, name: str) -> SavedSession:
        """Raises UnknownExport, ExportUnusable."""
        folder = self._kept
        return await self._call(lambda: read_session(self._backend, folder.existing_path(name)))

    def write(self, name: str, saved: SavedSession) -> "Future[ExportInfo]":
        """Write a copy. Any thread."""
        folder = self._kept

        def write() -> ExportInfo:
            size = write_session(self._backend, folder.path_to_write(name), saved)
            return ExportInfo(name, size, saved.state.saved_wall_ns, saved.state.last_frame_id)

        return self._thread.submit(write)

    def close(self) -> None:
        """Wait until what is being written is written."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    @property
    def _kept(self) -> ExportFolder:
        if self._folder is None:
            raise ExportsOff("STILLWING_VLM_EXPORTS_DIR names it")
        return self._folder

    async def _call(self, function: Callable[[], _T]) -> _T:
        return await asyncio.wrap_future(self._thread.submit(function))


class PeriodicExports:
    """A session's export every so many chunks. Used on the device's thread.

    While one is being written none is begun, so that a slow disk never makes copies pile up.
    """

    def __init__(self, exports: EngineExports, wanted: PeriodicExport, save: Callable[[], SavedSession]) -> None:
        self._exports = exports
        self._wanted = wanted
        self._save = save
        self._chunks = 0
        self._writing: Future[ExportInfo] | None = None

    def appended(self) -> None:
        """Another chunk is in the trunk."""
        self._chunks += 1
        if self._chunks < self._wanted.every_chunks or not (self._writing is None or self._writing.done()):
            return
        self._chunks = 0
        try:
            self._writing = self._exports.write(self._wanted.name, self._save())
        except Exception:
            # The stream goes on without: what it is for is worth more than its insurance.
            _log.exception("no copy of a session could be made for export %s", self._wanted.name)
            return
        self._writing.add_done_callback(self._ended)

    def _ended(self, writing: "Future[ExportInfo]") -> None:
        error = None if writing.cancelled() else writing.exception()
        if error is not None:
            _log.error("export %s was not written: %s", self._wanted.name, error)
