"""Timed commands in a text file, for flights that are to be flown again. Knows no bridge.

One command a line, `#` begins a comment: a time, the command's name, and its values by name as the protos have them.

    0    takeoff altitude_m=2
    +1   step forward_m=3 speed_m_s=1      # a second after the takeoff has ended
    12   set_velocity right_m_s=0.5 ttl_s=2
    +0   turn angle_deg=90
    +0   land

A plain time counts from the start of the flight and replaces what is then in force; `+` counts from the end of the
command before. `ttl_s` is each command's lifetime.
"""

from dataclasses import dataclass, fields
from typing import Any

from stillwing_bridge.core.commands import (
    Command,
    FlyTowards,
    GoTo,
    Hold,
    Land,
    SetVelocity,
    Step,
    Takeoff,
    Turn,
    kind_of,
)
from stillwing_common.errors import InvalidInput
from stillwing_common.types import PositionNed

_KINDS: dict[str, type[Command]] = {
    kind_of(example): type(example)
    for example in (
        Takeoff(), Land(), Hold(), GoTo(PositionNed(0, 0, 0)), SetVelocity(), Step(), Turn(0), FlyTowards(0, 0, 0),
    )
}  # fmt: skip
_POSITION = ("north_m", "east_m", "down_m")
_MOTION_TTL_S = 30.0
_VELOCITY_TTL_S = 1.0


@dataclass(frozen=True, slots=True)
class TimedCommand:
    """One line: `after_previous` says whether `time_s` counts from the end of the command before."""

    line: int
    time_s: float
    after_previous: bool
    command: Command
    ttl_s: float


def parse_script(text: str) -> list[TimedCommand]:
    """Every command in order; `InvalidInput` naming the line that cannot be read."""
    commands = [
        _parse(number, words)
        for number, line in enumerate(text.splitlines(), 1)
        if (words := line.partition("#")[0].split())
    ]
    if not commands:
        raise InvalidInput("the script holds no command")
    last_s = 0.0
    for each in commands:
        if not each.after_previous:
            if each.time_s < last_s:
                raise InvalidInput(f"line {each.line}: {each.time_s:g} s is before the line above")
            last_s = each.time_s
    return commands


def _parse(line: int, words: list[str]) -> TimedCommand:
    if len(words) < 2 or words[1] not in _KINDS:
        raise InvalidInput(f"line {line}: want a time and one of {', '.join(_KINDS)}, not {' '.join(words)!r}")
    time_s = _number(line, "time", words[0].removeprefix("+"))
    if time_s < 0:
        raise InvalidInput(f"line {line}: a time is 0 or above")
    kind = _KINDS[words[1]]
    values: dict[str, float] = {}
    for word in words[2:]:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidInput(f"line {line}: want name=value, not {word!r}")
        values[name] = _number(line, name, value)
    ttl_s = values.pop("ttl_s", _VELOCITY_TTL_S if kind is SetVelocity else _MOTION_TTL_S)
    if ttl_s <= 0:
        raise InvalidInput(f"line {line}: ttl_s is above 0")
    return TimedCommand(line, time_s, words[0].startswith("+"), _command(line, kind, values), ttl_s)


def _command(line: int, kind: type[Command], values: dict[str, float]) -> Command:
    known = [field.name for field in fields(kind)]
    arguments: dict[str, Any] = dict(values)
    if kind is GoTo:
        known = [*_POSITION, *(name for name in known if name != "position")]
        absent = [name for name in _POSITION if name not in arguments]
        if absent:
            raise InvalidInput(f"line {line}: go_to needs {', '.join(absent)}")
        arguments["position"] = PositionNed(*(arguments.pop(name) for name in _POSITION))
    unknown = [name for name in values if name not in known]
    if unknown:
        raise InvalidInput(f"line {line}: {unknown[0]} is none of {', '.join(known) or 'no values at all'}, ttl_s")
    try:
        return kind(**arguments)
    except TypeError:
        raise InvalidInput(f"line {line}: this command needs {', '.join(known)}") from None


def _number(line: int, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidInput(f"line {line}: {name} is a number, not {text!r}") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise InvalidInput(f"line {line}: {name} is a finite number")
    return value
