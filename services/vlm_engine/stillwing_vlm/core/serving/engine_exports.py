"""The exports of an engine at work: files are read and written on a thread of their own.

It knows no tensors, no transports and nothing of what is in a session.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from stillwing_common.errors import ExportsOff
from stillwing_vlm.core.backend import Backend
from stillwing_vlm.core.memory.exports import ExportFolder, read_session, write_session
from stillwing_vlm.core.memory.session_state import SavedSession
from stillwing_vlm.core.results import ExportInfo

_T = TypeVar("_T")


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
