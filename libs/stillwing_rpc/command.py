"""What the command line of every service has in common: flags before the environment, errors in one line, one end.

It knows nothing of any one service.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stillwing_common.endings import ending_of
from stillwing_common.errors import StillwingError
from stillwing_common.signals import end_on_signals
from stillwing_rpc.settings import ServerSettings

Settings = TypeVar("Settings", bound=ServerSettings)


def read_settings(kind: type[Settings], **flags: object) -> Settings:
    """A service's settings; a flag that is None is read from the environment.

    Raises `typer.BadParameter`, which ends the program with status 2 and names what is wrong as in the environment.
    """
    overrides: dict[str, Any] = {name: value for name, value in flags.items() if value is not None}
    try:
        return kind(**overrides)
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
    value = "" if secret else f", not {fault['input']!r}"
    return f"{kind.model_config.get('env_prefix', '')}{name.upper()}: {fault['msg']}{value}"


@contextmanager
def told_errors(program: str) -> Iterator[None]:
    """What a command that serves nothing raises becomes one line and an exit status, as `endings` has it."""
    try:
        yield
    except Exception as error:
        ending = ending_of(error)
        if ending is None or isinstance(error, typer.Exit):
            raise
        typer.echo(f"{program}: {ending.text}", err=True)
        raise typer.Exit(ending.exit_code) from error


def run_service(program: str, work: Coroutine[Any, Any, None]) -> None:
    """A service's work on an event loop until it ends or SIGINT or SIGTERM end it.

    A domain error becomes one line and exit status 1. What nobody foresaw keeps its traceback: a service's log is where
    it belongs.
    """

    async def until_signal() -> bool:
        with end_on_signals() as watch:
            await work
        return watch.came

    try:
        by_signal = asyncio.run(until_signal())
    except StillwingError as error:
        typer.echo(f"{program}: {error}", err=True)
        raise typer.Exit(1) from error
    if by_signal and threading.active_count() > 1:
        # All is closed. A thread that cannot be stopped, as one that loads a model, is not waited for.
        logging.shutdown()
        sys.stdout.flush()
        os._exit(0)
