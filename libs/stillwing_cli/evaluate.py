"""`stillwing eval`: fly many unseen scenes faster than real time and compare. The lab does the work."""

from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.terminal import AsJson, err, next_step, out, told_errors


def evaluate(
    scene: Annotated[str, typer.Argument(help="Which kind of scene.")] = "meadow",
    episodes: Annotated[int, typer.Option(min=1, help="Scenes for each policy.")] = 40,
    policy: Annotated[
        list[str] | None, typer.Option(help="A policy to compare; may be given again. Unset: all there are.")
    ] = None,
    model: Annotated[str, typer.Option(help="Directory of a model; empty takes the pilot.")] = "",
    first_seed: Annotated[
        int | None, typer.Option(help="Seed of the first scene; training never saw those from 1000000 on.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--out", help="Folder for the tables; unset: one of its own under runs/.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fly unseen scenes with the model and with what it must beat, and print the table."""
    from stillwing_lab.evaluate import run  # brings torch along
    from stillwing_vlm.core.catalog import PILOT

    with told_errors():
        run.main(
            scene,
            episodes,
            tuple(policy) if policy else run.POLICIES,
            model=model or PILOT,
            first_seed=run.FIRST_UNSEEN_SEED if first_seed is None else first_seed,
            out=output,
            as_json=as_json,
        )
    next_step(err if as_json else out, "stillwing fly --seed 1000000", "watch one of these flights")
