"""Single keys from the terminal, as they are pressed. Knows nothing of what they mean."""

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator

from stillwing_common.errors import InvalidInput

_POLL_S = 0.02


@contextlib.contextmanager
def keys(on_key: Callable[[str], None]) -> Iterator[None]:
    """Call `on_key` on the event loop for each key; `InvalidInput` where stdin is no terminal."""
    if not sys.stdin.isatty():
        raise InvalidInput("the keyboard needs a terminal; fly a script instead: stillwing record --script FILE")
    with _windows_keys(on_key) if sys.platform == "win32" else _unix_keys(on_key):
        yield


@contextlib.contextmanager
def _unix_keys(on_key: Callable[[str], None]) -> Iterator[None]:
    import termios
    import tty

    fileno = sys.stdin.fileno()
    before = termios.tcgetattr(fileno)
    loop = asyncio.get_running_loop()

    def read() -> None:
        for key in sys.stdin.read(1):
            on_key(key)

    tty.setcbreak(fileno)
    loop.add_reader(fileno, read)
    try:
        yield
    finally:
        loop.remove_reader(fileno)
        termios.tcsetattr(fileno, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _windows_keys(on_key: Callable[[str], None]) -> Iterator[None]:
    import importlib

    msvcrt = importlib.import_module("msvcrt")

    async def poll() -> None:
        while True:
            while msvcrt.kbhit():
                on_key(msvcrt.getwch())
            await asyncio.sleep(_POLL_S)

    task = asyncio.get_running_loop().create_task(poll())
    try:
        yield
    finally:
        task.cancel()
