"""What the command line of every service has in common: flags before the environment, errors in one line.

It knows nothing of any one service.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stillwing_common.errors import StillwingError
from stillwing_rpc.settings import ServerSettings

Settings = TypeVar("Settings", bound=ServerSettings)


def read_settings(kind: type[Settings], **flags: object) -> Settings:
    """A service's settings; a flag that is None is read from the environment.

    Raises `typer.BadParameter`, which ends the program with status 2 and names what is wrong as in the environment.
    """
    given: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        return kind(**given)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False)
        raise typer.BadParameter("; ".join(_told(kind, fault) for fault in faults)) from error


def _told(kind: type[ServerSettings], fault: ErrorDetails) -> str:
    """Which setting, as in the environment, and why; what was given too, unless it may be a secret."""
    if not fault["loc"]:
        return fault["msg"]
    name = str(fault["loc"][0])
    field = kind.model_fields.get(name)
    secret = field is None or "Secret" in str(field.annotation)
    given = "" if secret else f", not {fault['input']!r}"
    return f"{kind.model_config.get('env_prefix', '')}{name.upper()}: {fault['msg']}{given}"


@contextmanager
def told_errors(program: str) -> Iterator[None]:
    """A domain error becomes one line and exit status 1."""
    try:
        yield
    except StillwingError as error:
        typer.echo(f"{program}: {error}", err=True)
        raise typer.Exit(1) from error
