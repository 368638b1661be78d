"""Exports of one session: those asked for, and those that come by themselves.

The device's thread only copies; the file is written on the engine's thread for exports. It knows nothing of what is in
a session or a file.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future

from stillwing_vlm.core.memory.session_state import SavedSession
from stillwing_vlm.core.requests import PeriodicExport
from stillwing_vlm.core.results import ExportInfo
from stillwing_vlm.core.serving.engine_exports import EngineExports
from stillwing_vlm.core.serving.quotas import Resource
from stillwing_vlm.core.serving.scheduler import Request
from stillwing_vlm.core.serving.session_lane import SessionLane
from stillwing_vlm.core.serving.under_way import FutureUnderWay

_log = logging.getLogger("stillwing.vlm.exports")


class ExportUnderWay(FutureUnderWay[ExportInfo]):
    """One export, until its file is written."""

    def __init__(self, lane: SessionLane, name: str, save: Callable[[], SavedSession]) -> None:
        super().__init__(lane)
        self._exports = lane.machinery.exports
        self._name = name
        self._save = save

    def _begin(self) -> None:
        self._exports.check(self._name)
        self._hold(Resource.EXPORTS)
        self._lane.submit(Request(self._run, self.fail, heavy=True, deadline_s=self._lane.due_s()))

    def _run(self) -> None:
        self._exports.write(self._name, self._save()).add_done_callback(self._written)

    def _written(self, writing: "Future[ExportInfo]") -> None:
        error = self._lane.gone() if writing.cancelled() else writing.exception()
        if error is None:
            self.finish(writing.result())
        else:
            self.fail(error)


class PeriodicExports:
    """A session's export every so many chunks. Used on the device's thread.

    While one is being written none is begun, so that a slow disk never makes copies pile up.
    """

    def __init__(self, exports: EngineExports, how: PeriodicExport, save: Callable[[], SavedSession]) -> None:
        self._exports = exports
        self._how = how
        self._save = save
        self._chunks = 0
        self._writing: Future[ExportInfo] | None = None

    def appended(self) -> None:
        """Another chunk is in the trunk."""
        self._chunks += 1
        if self._chunks < self._how.every_chunks or not (self._writing is None or self._writing.done()):
            return
        self._chunks = 0
        try:
            self._writing = self._exports.write(self._how.name, self._save())
        except Exception:
            # The stream goes on without: what it is for is worth more than its insurance.
            _log.exception("no copy of a session could be made for export %s", self._how.name)
            return
        self._writing.add_done_callback(self._report)

    def _report(self, writing: "Future[ExportInfo]") -> None:
        error = None if writing.cancelled() else writing.exception()
        if error is not None:
            _log.error("export %s was not written: %s", self._how.name, error)
