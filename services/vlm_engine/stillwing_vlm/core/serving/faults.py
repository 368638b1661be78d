"""What becomes of an error that nobody foresaw: an end with a reason for whoever asked, and a line in the log.

It knows nothing of what broke.
"""

import logging
from collections.abc import Callable
from typing import Any

from stillwing_common.errors import InternalFault, StillwingError

_log = logging.getLogger("stillwing.vlm.faults")


def fault_of(error: BaseException) -> StillwingError:
    """The error as one that callers may see: itself, or an internal fault caused by it."""
    if isinstance(error, StillwingError):
        return error
    fault = InternalFault(type(error).__name__)
    fault.__cause__ = error
    return fault


def unfailing(act: Callable[..., object], *arguments: Any) -> None:
    """Do it; where it breaks, that is logged, and what comes after it for others is still done."""
    try:
        act(*arguments)
    except BaseException:  # a library's panic is no Exception
        _log.exception("it broke")
