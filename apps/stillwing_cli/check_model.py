"""`stillwing check-model`: what a model directory is and does on this machine. The lab does the work."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stillwing_cli.terminal import AsJson, err, next_step, out, told_errors


def check_model(
    directory: Annotated[str, typer.Argument(help="A Hugging Face directory of a Qwen-VL, or pilot.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    dtype: Annotated[
        Literal["auto", "float32", "bfloat16"], typer.Option(help="Type of weights; auto is bfloat16 on CUDA.")
    ] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of the tensor library.")] = 1,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Make the weights up: for speed and memory, not for answers.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--out", help="Folder for a page and JSON; unset: none.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check what a model is and does on this machine: agreement, speed, answers, pointing.

    It is loaded on the plain path and compared with transformers; each faster way that proves itself is measured, and
    which to take is said. Exit code 1 where it cannot be loaded or does not agree with transformers.
    """
    with told_errors():
        from stillwing_vlm.core.catalog import Dtype, ModelSource, model_type

        source = ModelSource(
            directory, random_weights=random_weights, device=device, dtype=Dtype(dtype), threads=threads
        )
        model_type(source.directory())  # told before anything heavy is imported
        from stillwing_lab.model_check import run

        report = run.main(source, out=output, as_json=as_json)
    console = err if as_json else out
    if not report.held:
        next_step(
            console, f"stillwing check-model {directory} --device cpu --dtype float32", "whether the device is why"
        )
        raise typer.Exit(1)
    model = "" if directory == "pilot" else f" --model {directory}"
    next_step(console, f"stillwing-vlm{model} {report.advice.flags}", "serve it so")
