"""How a Python method becomes a call of the wire: its name there and the reader of each parameter, in order.

A parameter may be a `Slot` that only the simulator and the dialect can fill in. It knows no particular call.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from stillwing_airfield import wire
from stillwing_airfield.dialects import TRAITS, Dialect

Handler = Callable[..., Any]
AnyHandler = TypeVar("AnyHandler", bound=Handler)
_MARK = "__airsim_binding__"


class CallFailed(Exception):
    """A call that threw; the text is what the real server's exception says."""


class Slot(Enum):
    """A parameter whose reading depends on the simulator or the dialect."""

    VEHICLE = auto()
    """Name of a vehicle, for calls that real vehicles have too."""
    SIM_VEHICLE = auto()
    """Name of a vehicle, for calls that only a simulator has."""
    EXTERNAL = auto()
    """Microsoft's: whether a camera hangs in the world instead of on a vehicle. Not handed on; there are none."""
    ANNOTATION = auto()
    """Cosys': name of an annotation layer. Not handed on."""
    NED = auto()
    """Cosys': whether a pose is wanted in NED. Not handed on."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """How a parameter is read, and whether the handler gets it or it is only checked."""

    read: wire.Read
    passed: bool = True


@dataclass(frozen=True, slots=True)
class Binding:
    """A call: its name, its parameters, and what handles it (returning a value or a future of one)."""

    name: str
    parameters: tuple[Parameter, ...]
    handler: Handler

    def arguments(self, params: list[Any]) -> list[Any]:
        """What the handler gets for as many `params` as there are parameters. Raises `BadCast`, `CallFailed`."""
        read = [(parameter, parameter.read(value)) for parameter, value in zip(self.parameters, params, strict=True)]
        return [value for parameter, value in read if parameter.passed]


def bind(name: str, *readers: wire.Read | Slot, only: Dialect | None = None) -> Callable[[AnyHandler], AnyHandler]:
    """Mark a method as the handler of the call `name`, in one dialect or in both."""

    def mark(handler: AnyHandler) -> AnyHandler:
        setattr(handler, _MARK, (name, readers, only))
        return handler

    return mark


def bindings_of(owner: object, dialect: Dialect, vehicles: Collection[str]) -> list[Binding]:
    """Every marked method of `owner` as the dialect has it, for a simulator with those vehicles."""
    bindings = []
    for attribute in dir(type(owner)):
        marked = getattr(getattr(type(owner), attribute), _MARK, None)
        if marked is None or marked[2] not in (None, dialect):
            continue
        parameters = [_parameter(reader, dialect, vehicles) for reader in marked[1]]
        known = tuple(parameter for parameter in parameters if parameter is not None)
        bindings.append(Binding(marked[0], known, getattr(owner, attribute)))
    return bindings


def _parameter(reader: wire.Read | Slot, dialect: Dialect, vehicles: Collection[str]) -> Parameter | None:
    traits = TRAITS[dialect]
    match reader:
        case Slot.VEHICLE:
            return Parameter(_vehicle("Vehicle API", "this is simulation-only API", vehicles))
        case Slot.SIM_VEHICLE:
            return Parameter(_vehicle("Vehicle Sim API", "this is not a simulation", vehicles))
        case Slot.EXTERNAL:
            return Parameter(_external, passed=False) if traits.has_external else None
        case Slot.ANNOTATION:
            return Parameter(wire.text, passed=False) if traits.has_annotations else None
        case Slot.NED:
            return Parameter(_ned, passed=False) if traits.has_annotations else None
        case _:
            return Parameter(reader)


def _vehicle(kind: str, why: str, vehicles: Collection[str]) -> wire.Read:
    def read(value: Any) -> str:
        name = wire.text(value)
        if name and name not in vehicles:
            raise CallFailed(
                f"{kind} for '{name}' is not available. This could either because {why} or this vehicle does not exist"
            )
        return name

    return read


def _external(value: Any) -> bool:
    if wire.boolean(value):
        raise CallFailed("there are no external cameras here")
    return False


def _ned(value: Any) -> bool:
    if not wire.boolean(value):
        raise CallFailed("poses are NED here; Unreal's own frame does not exist")
    return True


# Readers that check more than the type


FARTHEST = 1e6
"""Beyond this, in whatever unit, numbers are mistakes, and their squares would end the physics of everybody."""


def finite(value: Any) -> float:
    """A number that can be flown. Raises `CallFailed` for NaN, infinities and numbers beyond a million."""
    number = wire.real(value)
    if not abs(number) <= FARTHEST:
        raise CallFailed(f"a motion needs finite numbers up to {FARTHEST:g}, got {number:g}")
    return number


def seconds(value: Any) -> float:
    """A span; infinity never ends. Raises `CallFailed` for NaN."""
    number = wire.real(value)
    if math.isnan(number):
        raise CallFailed("a duration cannot be NaN")
    return number
