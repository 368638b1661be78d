"""How a Python method becomes a call of the wire: its name there and the reader of each parameter, in order.

It knows no particular call.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from stillwing_airfield import wire

Handler = Callable[..., Any]
AnyHandler = TypeVar("AnyHandler", bound=Handler)
_MARK = "__airsim_binding__"

VEHICLE = "SimpleFlight"
"""Name of the one vehicle, AirSim's default; an empty name means it too."""


class CallFailed(Exception):
    """A call that threw; the text is what the real server's exception says."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A call: its name, how each parameter is read, and what handles it (returning a value or a future of one)."""

    name: str
    readers: tuple[wire.Read, ...]
    handler: Handler


def bind(name: str, *readers: wire.Read) -> Callable[[AnyHandler], AnyHandler]:
    """Mark a method as the handler of the call `name`."""

    def mark(handler: AnyHandler) -> AnyHandler:
        setattr(handler, _MARK, (name, readers))
        return handler

    return mark


def bindings_of(owner: object) -> list[Binding]:
    """Every marked method of `owner`."""
    found = []
    for attribute in dir(type(owner)):
        marked = getattr(getattr(type(owner), attribute), _MARK, None)
        if marked is not None:
            found.append(Binding(marked[0], marked[1], getattr(owner, attribute)))
    return found


# Readers that check more than the type


def finite(value: Any) -> float:
    """A number that can be flown. Raises `CallFailed` for NaN and infinities."""
    number = wire.real(value)
    if not math.isfinite(number):
        raise CallFailed(f"a motion needs finite numbers, got {number}")
    return number


def seconds(value: Any) -> float:
    """A span; infinity is for ever. Raises `CallFailed` for NaN."""
    number = wire.real(value)
    if math.isnan(number):
        raise CallFailed("a duration cannot be NaN")
    return number


def vehicle(value: Any) -> str:
    """Name of a vehicle for calls that real vehicles have too."""
    name = wire.text(value)
    if name not in ("", VEHICLE):
        raise CallFailed(
            f"Vehicle API for '{name}' is not available. "
            "This could either because this is simulation-only API or this vehicle does not exist"
        )
    return name


def sim_vehicle(value: Any) -> str:
    """Name of a vehicle for calls that only a simulator has."""
    name = wire.text(value)
    if name not in ("", VEHICLE):
        raise CallFailed(
            f"Vehicle Sim API for '{name}' is not available. "
            "This could either because this is not a simulation or this vehicle does not exist"
        )
    return name
