"""Watch conditions between the event loop, where they are set and heard, and the device, where they are asked.

It knows nothing of states, thresholds or trunks: `core.serving.watches` does.
"""

from collections.abc import Callable

from stillwing_common.errors import StillwingError, TooManyWatches, UnknownSession
from stillwing_vlm.core.base import WatchRequest
from stillwing_vlm.core.serving.machinery import Machinery
from stillwing_vlm.core.serving.scheduler import Request
from stillwing_vlm.core.serving.watches import Watches, WatchUnderWay
from stillwing_vlm.core.streams import RunningWatch


class Watching:
    """Sets the conditions of one session. Used on the event loop."""

    def __init__(
        self,
        watches: Watches,
        machinery: Machinery,
        submit: Callable[[Request], StillwingError | None],
        on_loop: Callable[..., None],
    ) -> None:
        """`submit` puts a request at the lane's end and says why not; `on_loop` calls a function on the loop."""
        self._watches = watches
        self._machinery = machinery
        self._submit = submit
        self._on_loop = on_loop
        self.count = 0

    def set(self, request: WatchRequest) -> RunningWatch:
        """See `Session.set_watch`."""
        under_way: list[WatchUnderWay] = []
        unwanted = False

        def remove() -> None:
            nonlocal unwanted
            unwanted = True
            for each in under_way:
                self._watches.remove(each)

        watch = RunningWatch(lambda: self._machinery.scheduler.call(remove))
        most = self._machinery.loaded.limits.max_watches
        if self.count >= most:
            watch.end(TooManyWatches(f"{self.count} are set, at most {most}", limit=most))
            return watch
        ready = self._machinery.workers.submit(self._machinery.loaded.preparer.watch, request)

        def end(error: Exception | None) -> None:
            self.count -= 1
            # A watch that ends with its session has not failed.
            watch.end(None if isinstance(error, UnknownSession) else error)

        def fail(error: Exception | None) -> None:
            self._on_loop(end, error)

        def run() -> None:
            prepared = ready.result()
            if unwanted:
                fail(None)
                return
            under_way.append(WatchUnderWay(request, prepared, lambda event: self._on_loop(watch.put, event), fail))
            self._watches.add(under_way[0])

        refusal = self._submit(Request(run, fail, ready))
        if refusal is None:
            self.count += 1
        else:
            watch.end(refusal)
        return watch
