"""How commands speak: to people in colour, to programs in JSON, and about errors in one sentence and an exit code."""

import asyncio
import json
import math
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.text import Text

from stillwing_cli.errors import PartFailed
from stillwing_cli.told_stop import CLEAR_COMMAND
from stillwing_common.endings import ending_of
from stillwing_common.errors import (
    EmergencyStopped,
    MissingExtra,
    ModelNotUsable,
    PortInUse,
    StillwingError,
    Unavailable,
)

# Names of files and words of users are no markup.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs; what is for people goes to stderr.")]

COLOURS = ("green", "cyan", "magenta", "yellow", "blue")

T = TypeVar("T")

_HELP = (
    (PartFailed, "stillwing doctor", "what this machine lacks"),
    (PortInUse, "stillwing up --ports auto", "take other ports"),
    (EmergencyStopped, CLEAR_COMMAND, "when it is safe; until then nothing moves"),
    (ModelNotUsable, "stillwing doctor", "whether the pilot is here"),
    (MissingExtra, "stillwing doctor", "what this machine lacks"),
    (Unavailable, "stillwing up", "start everything"),
)
"""What to type next after an error of a kind; the first that fits."""


@contextmanager
def told_errors() -> Iterator[None]:
    """A domain error inside the block is told in one sentence and ends the command with exit code 1."""
    try:
        yield
    except StillwingError as error:
        raise told(error) from error  # a domain error always has an ending
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def told(error: Exception) -> Exception:
    """Tell an error in one sentence, with what to type next; what is to be raised instead, the error itself where it
    is nothing to tell."""
    ending = ending_of(error)
    if ending is None:
        return error
    # The last lines of a part that died are meant as lines.
    text = str(error) if isinstance(error, PartFailed) else ending.text
    err.print(Text.assemble(("stillwing: ", "bold red"), text), soft_wrap=True)
    for kind, command, why in _HELP:
        if isinstance(error, kind):
            next_step(err, command, why)
            break
    return typer.Exit(ending.exit_code)


def finite(value: T) -> T:
    """The `callback` of an option that takes a number, several or none: `min` and `max` let "nan" pass."""
    for each in value if isinstance(value, list | tuple) else (value,):
        if isinstance(each, float) and not math.isfinite(each):
            raise typer.BadParameter(f"{each} is no finite number.")
    return value


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work on an event loop; errors as in `told_errors`."""
    with told_errors():
        return asyncio.run(work)


def print_json(value: Any) -> None:
    """One JSON value on one line of stdout, at once."""
    print(json.dumps(value), flush=True)


def next_step(console: Console, command: str, why: str) -> None:
    """The line every command ends with."""
    console.print(Text.assemble(("Next: ", "bold"), (command, "bold cyan"), f"   {why}"), soft_wrap=True)


class Prefixed:
    """Prints lines of several parts, each behind its name in its own colour."""

    def __init__(self, console: Console, names: tuple[str, ...]) -> None:
        self._console = console
        self._width = max(len(name) for name in (*names, "stillwing"))
        self._colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}

    def __call__(self, name: str, line: str) -> None:
        shown = name or "stillwing"
        style = self._colour.get(name, "bold")
        text = Text.from_ansi(line) if name else Text(line, style="bold")
        self._console.print(
            Text.assemble((f"{shown:<{self._width}} │ ", style), text), soft_wrap=True, highlight=False, markup=False
        )
