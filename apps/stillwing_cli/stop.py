"""`stillwing stop` among the other commands: its help, and the way to it for callers of the application.

Its arguments are read by `stopping`, which refuses none; whoever types the command comes there without typer.
"""

import typer

from stillwing_cli.commands import application
from stillwing_cli.stopping import run_stop

stop = application("")
_TAKES_ANYTHING = {"allow_extra_args": True, "ignore_unknown_options": True}


@stop.command("stop", context_settings=_TAKES_ANYTHING, add_help_option=False)
def _stop(context: typer.Context) -> None:
    """Emergency stop: every vehicle holds, lands or stops its motors, and refuses motion until it is cleared."""
    raise typer.Exit(run_stop(context.args))
