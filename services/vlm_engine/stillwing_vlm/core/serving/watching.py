"""Watch conditions between the event loop, where they are set and heard, and the device, where they are asked.

It knows nothing of states, thresholds or trunks: `core.serving.watches` does.
"""

from stillwing_common.errors import UnknownSession
from stillwing_vlm.core.requests import WatchRequest
from stillwing_vlm.core.results import WatchEvent
from stillwing_vlm.core.serving.quotas import Resource
from stillwing_vlm.core.serving.scheduler import Request
from stillwing_vlm.core.serving.session_lane import SessionLane
from stillwing_vlm.core.serving.under_way import UnderWay
from stillwing_vlm.core.serving.watches import Condition, Watches
from stillwing_vlm.core.streams import RunningWatch


class WatchUnderWay(UnderWay[None]):
    """One condition, from its setting until it is asked no more; what is heard of it comes by `watch`."""

    def __init__(self, lane: SessionLane, watches: Watches, request: WatchRequest) -> None:
        super().__init__(lane)
        self.watch = RunningWatch(lambda: lane.on_device(self._remove))
        self._watches = watches
        self._request = request
        self._condition: Condition | None = None
        self._unwanted = False

    def _begin(self) -> None:
        self._hold(Resource.WATCHES)
        ready = self._lane.prepare(self._lane.preparer.watch, self._request, self._lane.briefing)

        def run() -> None:
            prepared = ready.result()
            if self._unwanted:
                self.finish(None)
                return
            self._condition = Condition(self._request, prepared, self._changed, self._ended)
            self._watches.add(self._condition)

        self._lane.submit(Request(run, self._ended, ready))

    def _changed(self, event: WatchEvent) -> None:
        self._lane.on_loop(self.watch.put, event)

    def _ended(self, error: Exception | None) -> None:
        # A watch that ends with its session has not failed.
        if error is None or isinstance(error, UnknownSession):
            self.finish(None)
        else:
            self.fail(error)

    def _remove(self) -> None:
        self._unwanted = True
        if self._condition is not None:
            self._condition.end()

    def _tell(self, result: None, error: Exception | None) -> None:
        self.watch.end(error)
