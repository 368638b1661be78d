"""`stillwing train-pilot`: train the little model that ships with the project. `stillwing_training` does the work."""

from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.terminal import finite, next_step, out, told_errors


def train_pilot(
    output: Annotated[Path, typer.Option("--out", help="Where the model's files are written.")] = Path("models/pilot"),
    work: Annotated[Path, typer.Option(help="Where data and checkpoints are kept.")] = Path(".stillwing/pilot"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="The same seed on the same machine gives the same model.")
    ] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, callback=finite, help="Stop after this long; unset: the whole plan.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="Threads of the training itself.")] = 2,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes that fly, for data and the card.")] = 2,
    start_from: Annotated[
        Path | None, typer.Option(help="Folder of an earlier pilot to begin from; unset: random weights.")
    ] = None,
    episodes: Annotated[
        int, typer.Option(min=1, help="Unseen scenes of each family that the pilot flies for its model card.")
    ] = 60,
) -> None:
    """Train the pilot by imitating an expert in airfield, from scratch or from an earlier pilot."""
    from stillwing_training.pilot import train  # brings torch along

    with told_errors():
        train.main(
            out=output,
            work=work,
            seed=seed,
            minutes=minutes,
            resume=resume,
            device=device,
            threads=threads,
            workers=workers,
            start_from=start_from,
            episodes=episodes,
        )
    out.print(f"the pilot and its model card are in {output}")
    next_step(out, f"stillwing eval meadow --model {output}", "how well it flies")
