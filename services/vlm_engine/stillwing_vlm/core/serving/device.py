"""The one thread that owns the device: it turns the scheduler while there is work and sleeps while there is none.

It knows nothing of what a turn does.
"""

import logging
import threading

from stillwing_vlm.core.serving.scheduler import Scheduler

_log = logging.getLogger("stillwing.vlm.device")


class DeviceThread:
    """Turns a scheduler from its making until `stop`."""

    def __init__(self, scheduler: Scheduler, name: str = "device") -> None:
        self._scheduler = scheduler
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its present work. Lanes are to be closed first. Blocks."""
        self._scheduler.stop()
        self._thread.join()

    def _loop(self) -> None:
        while self._scheduler.wait():
            try:
                self._scheduler.turn()
            except BaseException:  # one broken request must not take every session's device away
                _log.exception("a turn broke")
