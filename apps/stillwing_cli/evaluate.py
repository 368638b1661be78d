"""`stillwing eval`: fly many unseen scenes faster than real time and compare. The lab does the work."""

import os
from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.terminal import AsJson, err, finite, next_step, out, told_errors


def evaluate(
    scene: Annotated[
        str, typer.Argument(help="meadow, street, orchard or maze; maze,corridor_m=20 for a long one; all: all four.")
    ] = ("meadow"),
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="Scenes for each way of flying.")] = 40,
    policy: Annotated[
        list[str] | None, typer.Option(help="A policy to compare; may be given again. Unset: all there are.")
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="coupled: the world goes on while the model thinks; paused: it waits. May be given again."),
    ] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(
            help="What an answer sees: none, recent, window, gap, bank (the window and what the memory bank brings "
            "back) or unbounded. May be given again."
        ),
    ] = None,
    recall: Annotated[
        list[str] | None,
        typer.Option(
            help="How the bank brings frames back: pixels encodes them again, kept takes the engine's own keys and "
            "values, wrong shows the other sign. May be given again."
        ),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(help="How a step is told: moves, or pixels (fly_towards a point). May be given again."),
    ] = None,
    thinking_ms: Annotated[
        float,
        typer.Option(
            min=0, callback=finite, help="How long an answer takes on the world's clock; 0: as long as it really takes."
        ),
    ] = 50.0,
    model: Annotated[str, typer.Option(help="Directory of a model; empty takes the pilot.")] = "",
    first_seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first scene; training never saw those from 1000000 on.")
    ] = 1_000_000,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Processes that fly; 0: one for each core.")] = 0,
    ray: Annotated[
        str, typer.Option(help='Fly on a Ray cluster instead: its address, "auto", or "local" for one started here.')
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--out", help="Folder of the report; one that was begun is gone on with.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Keep the sums as PATH.json and PATH.md, for a repository: results/eval.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fly unseen scenes with the model and with what it must beat, and print the table."""
    from stillwing_lab.evaluate import run  # brings torch along
    from stillwing_lab.evaluate.comparison import SCENES, Comparison
    from stillwing_lab.evaluate.ways import POLICIES
    from stillwing_vlm.core.catalog import PILOT

    comparison = Comparison(
        SCENES if scene == "all" else (scene,),
        episodes,
        tuple(policy or POLICIES),
        tuple(mode or ("coupled",)),
        tuple(memory or ("window",)),
        tuple(recall or ("pixels",)),
        tuple(style or ("moves",)),
        model or PILOT,
        first_seed,
        thinking_s=thinking_ms / 1000 if thinking_ms else None,
    )
    where = run.Where(workers or os.cpu_count() or 1, ray)
    with told_errors():
        folder = run.main(comparison, where=where, out=output, keep=save, as_json=as_json)
    next_step(err if as_json else out, f"open {folder}/report.html", "watch the best, the median and the worst flight")
