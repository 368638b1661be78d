"""Whether a request says something that can be meant, looked at before it leaves.

It knows messages by their descriptors alone, and so those of every service.
"""

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from stillwing_common.errors import InvalidInput

MAX_WAIT_S = 1e9
"""Longest wait, about 32 years: clocks count no further in every place."""

Stub = TypeVar("Stub")

_FLOATS = (1, 2)
"""Types of fields: double, float."""


def check_request(request: Message) -> None:
    """Raises InvalidInput where a number in it is not finite, or a span of time negative: no request means that."""
    waiting = [(request, "")]
    while waiting:
        message, place = waiting.pop()
        if isinstance(message, Duration) and (message.seconds < 0 or message.nanos < 0):
            raise InvalidInput(f"{place} is negative", field=place)
        for field, value in message.ListFields():
            name = f"{place}.{field.name}" if place else field.name
            if field.message_type is not None:
                values = [value] if not field.is_repeated else value.values() if _is_map(field) else value
                waiting.extend((one, name) for one in values if isinstance(one, Message))
            elif field.type in _FLOATS and not all(map(math.isfinite, value if field.is_repeated else (value,))):
                raise InvalidInput(f"{name} is not a finite number", field=name)


def checked(stub: Stub) -> Stub:
    """For clients: a stub whose calls look at their request before it leaves. A bare one says wrong things, too."""
    return cast(Stub, _Checked(stub))


class _Checked:
    def __init__(self, stub: object) -> None:
        self._stub = stub

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._stub, name)

        def look_and_call(request: Any, **options: Any) -> Any:
            if isinstance(request, Message):
                check_request(request)
            return call(request, **options)

        return look_and_call


def check_wait(name: str, seconds: float) -> float:
    """The wait. Raises InvalidInput where it is no number, negative or endless."""
    if not isinstance(seconds, int | float) or not 0 <= seconds <= MAX_WAIT_S:
        raise InvalidInput(f"{name} is 0 to {MAX_WAIT_S:g} s, not {str(seconds)[:40]}", field=name)
    return seconds


def _is_map(field: object) -> bool:
    entry = getattr(field, "message_type", None)
    return bool(entry is not None and entry.GetOptions().map_entry)
