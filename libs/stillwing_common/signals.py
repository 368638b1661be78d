"""SIGINT and SIGTERM end a process of ours by cancelling its work, which cleans up on its way out.

The block is entered before anything is announced, so that no signal meets a process without a handler. It knows nothing
of what the work is.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class SignalWatch:
    """Whether SIGINT or SIGTERM has come."""

    def __init__(self) -> None:
        self.came = False


@contextmanager
def end_on_signals() -> Iterator[SignalWatch]:
    """The first SIGINT or SIGTERM ends the block early and quietly; later ones wait for it to clean up.

    To be entered by a task on a running event loop, in the process's main thread.
    """
    task = asyncio.current_task()
    assert task is not None
    watch = SignalWatch()

    def end() -> None:
        if not watch.came:
            watch.came = True
            task.cancel()

    restore = _on_signals(asyncio.get_running_loop(), end)
    try:
        yield watch
    except asyncio.CancelledError:
        if not watch.came:
            raise
        task.uncancel()
    finally:
        restore()


def _on_signals(loop: asyncio.AbstractEventLoop, call: Callable[[], Any]) -> Callable[[], None]:
    """Call on the loop at SIGINT or SIGTERM; returns what undoes it."""
    before: dict[signal.Signals, Any] = {}

    def handle(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(call)

    for number in _SIGNALS:
        try:
            loop.add_signal_handler(number, call)
        except NotImplementedError:  # Windows' event loops have no signal handlers of their own
            before[number] = signal.signal(number, handle)

    def restore() -> None:
        for number in _SIGNALS:
            if number in before:
                signal.signal(number, before[number])
            else:
                loop.remove_signal_handler(number)

    return restore
