"""`stillwing eval-recording`: what a model would have decided over a recording. The lab does the work."""

from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.terminal import AsJson, err, finite, next_step, out, told_errors


def eval_recording(
    source: Annotated[Path, typer.Argument(help="A flight.mcap, a folder of JPEG or PNG files, or a video.")],
    model: Annotated[str, typer.Option(help="pilot, or the directory of a Qwen-VL.")] = "pilot",
    agent: Annotated[
        str, typer.Option(help="tool_calling or choice: asked as this agent asks for its next decision.")
    ] = "tool_calling",
    goal: Annotated[str, typer.Option(help="What is to be flown to, in words; unset: the recorded mission's.")] = "",
    question: Annotated[str, typer.Option(help="Ask this instead of for a decision.")] = "",
    every: Annotated[int, typer.Option(min=1, help="Ask at every so many frames that the model is given.")] = 4,
    fps: Annotated[
        float,
        typer.Option(
            min=0, max=1000, callback=finite, help="Give the model at most so many frames a second; 0: every one."
        ),
    ] = 2.0,
    camera: Annotated[str, typer.Option(help="Which camera; unset: the vehicle's first.")] = "",
    context_tokens: Annotated[
        int, typer.Option(min=0, help="Budget of the video memory; 0: as in flight, by the machine's memory.")
    ] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of the tensor library.")] = 1,
    output: Annotated[Path | None, typer.Option("--out", help="Folder of the report; unset: one under runs/.")] = None,
    as_json: AsJson = False,
) -> None:
    """Have a model decide over a recording, and compare with what was flown where the recording says."""
    with told_errors():
        from stillwing_lab.offline import run  # brings torch along
        from stillwing_lab.offline.decide import Pace

        folder = run.main(
            source,
            model=model,
            agent=agent,
            goal=goal,
            question=question,
            pace=Pace(every, fps or None),
            camera_id=camera,
            device=device,
            threads=threads,
            max_context_tokens=context_tokens,
            out=output,
            as_json=as_json,
        )
    next_step(err if as_json else out, f"open {folder}/report.html", "every decision beside its frame")
