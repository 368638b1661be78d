"""The `stillwing` command: its own options, above the commands of the table in `commands`."""

from typing import Annotated

import typer

from stillwing_cli.commands import LazyGroup, application

app = application("Fly a drone with a vision-language model, and hold it still while it thinks.", LazyGroup)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # takes longer to import than the help to print

        print(f"stillwing {version('stillwing')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Take what stands before the name of a command."""


if __name__ == "__main__":
    app()
