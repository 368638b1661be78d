"""`stillwing eval`: fly many unseen scenes faster than real time and compare. The lab does the work."""

from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.terminal import AsJson


def evaluate(
    scene: Annotated[str, typer.Argument(help="Which kind of scene.")] = "meadow",
    episodes: Annotated[int, typer.Option(min=1, help="Scenes for each policy.")] = 40,
    model: Annotated[str, typer.Option(help="Directory of a model; empty takes the pilot.")] = "",
    output: Annotated[Path, typer.Option("--out", help="Where tables are written.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Fly unseen scenes with the model and with what it must beat, and print the table."""
