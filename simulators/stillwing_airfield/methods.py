"""The method table: every call airfield answers, and what a request comes to, error strings included.

123 calls exist in the real server; those that flying and seeing need are here, and any other gets the real server's
answer for a function it does not have. It knows no socket.
"""

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from stillwing_airfield import wire
from stillwing_airfield.calls.binding import CallFailed, bindings_of
from stillwing_airfield.calls.cameras import CameraCalls
from stillwing_airfield.calls.flight import FlightCalls
from stillwing_airfield.calls.objects import ObjectCalls
from stillwing_airfield.calls.segments import Segments
from stillwing_airfield.calls.sensors import SensorCalls
from stillwing_airfield.calls.state import StateCalls
from stillwing_airfield.calls.world import WorldCalls
from stillwing_airfield.dialects import Dialect
from stillwing_airfield.faults import Faults
from stillwing_airfield.flight.tasks import MotionRefused
from stillwing_airfield.sim import Airfield
from stillwing_common.errors import StillwingError

_log = logging.getLogger("airfield")
_ENCODERS = 4


class Refused(Exception):
    """A call that failed; the text is the error to send."""


class Methods:
    """Calls of one simulator by name. Thread-safe; no call blocks for longer than a few physics steps."""

    def __init__(self, airfield: Airfield, dialect: Dialect = Dialect.MS, faults: Faults | None = None) -> None:
        """The calls of `airfield` as `dialect` has them; `faults` spoil some on purpose."""
        self._pool = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="airfield-encode")
        self._faults = faults or Faults()
        segments = Segments(lambda: airfield.object_names)
        sensors = SensorCalls(airfield)
        groups = (
            FlightCalls(airfield),
            StateCalls(airfield, segments, self._faults),
            sensors,
            ObjectCalls(airfield, segments),
            CameraCalls(airfield, segments, self._pool, dialect, self._faults),
            WorldCalls(airfield, dialect, (segments.reset, sensors.reset, self._faults.reset)),
        )
        self._table = {
            binding.name: binding for group in groups for binding in bindings_of(group, dialect, airfield.vehicle_names)
        }

    @property
    def names(self) -> list[str]:
        """Every call there is, sorted."""
        return sorted(self._table)

    def arity(self, name: str) -> int:
        """How many parameters a call takes; 0 for a name that is no call."""
        binding = self._table.get(name)
        return len(binding.parameters) if binding is not None else 0

    def close(self) -> None:
        """Wait for images being encoded."""
        self._pool.shutdown()

    def call(self, request: wire.Request) -> "Any | Future[Any]":
        """The call's result, or a future of it; a future's exception goes through `explain`.

        Raises `Refused`, and `ConnectionDropped` where the faults want the connection closed instead of an answer.
        """
        self._faults.request()
        count = len(request.params)
        binding = self._table.get(request.method)
        if binding is None:
            raise Refused(wire.unknown_function(request.method, count))
        if len(binding.parameters) != count:
            raise Refused(wire.wrong_arity(request.method, len(binding.parameters), count))
        try:
            return binding.handler(*binding.arguments(request.params))
        except Exception as error:  # whatever it is, the caller gets it and the connection lives on
            raise Refused(self.explain(request, error)) from error

    def explain(self, request: wire.Request, error: BaseException) -> str:
        """The error string for an exception of a call; what nobody foresaw goes to the log in full."""
        if not isinstance(error, wire.BadCast | CallFailed | MotionRefused | StillwingError):
            _log.error("%s failed", request.method, exc_info=error)
        return wire.threw(request.method, len(request.params), str(error))
