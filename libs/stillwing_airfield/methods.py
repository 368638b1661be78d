"""The method table: every call airfield answers, and what a request comes to, error strings included.

123 calls exist in the real server; those that flying and seeing need are here, and any other gets the real server's
answer for a function it does not have. It knows no socket.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from stillwing_airfield import wire
from stillwing_airfield.calls.binding import CallFailed, bindings_of
from stillwing_airfield.calls.flight import FlightCalls
from stillwing_airfield.calls.segments import Segments
from stillwing_airfield.calls.state import StateCalls
from stillwing_airfield.calls.world import WorldCalls
from stillwing_airfield.flight.tasks import MotionRefused
from stillwing_airfield.sim import Airfield
from stillwing_common.errors import StillwingError

_log = logging.getLogger("airfield")
_ENCODERS = 4


class Refused(Exception):
    """A call that failed; the text is the error to send."""


class Methods:
    """Calls of one simulator by name. Thread-safe; no call blocks for longer than a few physics steps."""

    def __init__(self, airfield: Airfield) -> None:
        self._pool = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="airfield-encode")
        segments = Segments(airfield.scene.objects)
        groups = (
            FlightCalls(airfield),
            StateCalls(airfield, segments),
            WorldCalls(airfield, segments, self._pool),
        )
        self._table = {binding.name: binding for group in groups for binding in bindings_of(group)}

    @property
    def names(self) -> list[str]:
        """Every call there is, sorted."""
        return sorted(self._table)

    def close(self) -> None:
        """Wait for images being encoded."""
        self._pool.shutdown()

    def call(self, request: wire.Request) -> "Any | Future[Any]":
        """The call's result, or a future of it. Raises `Refused`; a future's exception goes through `explain`."""
        count = len(request.params)
        binding = self._table.get(request.method)
        if binding is None:
            raise Refused(wire.unknown_function(request.method, count))
        if len(binding.readers) != count:
            raise Refused(wire.wrong_arity(request.method, len(binding.readers), count))
        try:
            arguments = [read(value) for read, value in zip(binding.readers, request.params, strict=True)]
            return binding.handler(*arguments)
        except Exception as error:  # whatever it is, the caller gets it and the connection lives on
            raise Refused(self.explain(request, error)) from error

    def explain(self, request: wire.Request, error: BaseException) -> str:
        """The error string for an exception of a call; what nobody foresaw goes to the log in full."""
        if not isinstance(error, wire.BadCast | CallFailed | MotionRefused | StillwingError):
            _log.error("%s failed", request.method, exc_info=error)
        return wire.threw(request.method, len(request.params), str(error))
