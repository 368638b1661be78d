"""How a command that went wrong ends: one line for people and an exit code. It prints nothing itself.

What was foreseen is a `StillwingError`. What the operating system refuses, a full disk or a file that may not be
written, is told in its words. Anything else is a fault of Stillwing and is called one: no library's exception is ever
an answer to what somebody typed.
"""

import errno
import os
from dataclasses import dataclass

from stillwing_common.errors import StillwingError

FAULT = 70
"""Exit code of what nobody foresaw; EX_SOFTWARE of sysexits.h."""
TRACEBACK = "STILLWING_TRACEBACK"
"""Set in the environment, faults are shown with their traceback."""


@dataclass(frozen=True, slots=True)
class Ending:
    """What is printed and how the process ends."""

    text: str
    exit_code: int


def ending_of(error: Exception) -> Ending | None:
    """The ending of a command that raised; None where the exception is to go on: a pipe that was closed, for one."""
    if isinstance(error, StillwingError):
        return Ending(printable(str(error)), 1)
    if os.environ.get(TRACEBACK) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        return None
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename is not None else ""
        return Ending(printable(f"{name}{error.strerror}"), 1)
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return Ending(
        printable(f"this is a fault of Stillwing's own ({what}); {TRACEBACK}=1 in the environment shows where"), FAULT
    )


def printable(text: str) -> str:
    """The text on one line, with escapes for what a terminal obeys or cannot show."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
