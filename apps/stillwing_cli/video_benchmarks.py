"""`stillwing lab ovo-bench` and `streaming-bench`: the field's video benchmarks, with the same options."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from stillwing_cli.terminal import AsJson, err, finite, next_step, out, told_errors

Videos = Annotated[Path, typer.Option("--videos", help="Folder of the benchmark's source videos.")]
Model = Annotated[str, typer.Option(help="pilot, or the directory of a Qwen-VL.")]
Mode = Annotated[
    list[str] | None,
    typer.Option(
        help="refill: all computed anew for each question; stream: one pass, nothing evicted; evict: one pass within "
        "the budget; recent: of that the newest four chunks alone. May be given again; unset: the first three."
    ),
]
Answers = Annotated[
    str,
    typer.Option(
        help="free: any words, matched as the benchmark does; letters: the most probable letter, yes or no, number; "
        "options: the most probable option's own text."
    ),
]
Prompts = Annotated[
    Path | None, typer.Option(help="A checkout of the benchmark's repository, for its own prompts; unset: ours.")
]
Fps = Annotated[
    float,
    typer.Option(min=0.01, max=1000, callback=finite, help="Frames a second of the video that the model is given."),
]
ChunkFrames = Annotated[int, typer.Option(min=1, help="Frames that the vision encoder sees together.")]
ContextTokens = Annotated[int, typer.Option(min=0, help="Budget of evict and recent; 0: by the machine's memory.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer.")]
System = Annotated[str, typer.Option(help="What the session is opened with.")]
Task = Annotated[list[str] | None, typer.Option(help="Only this task; may be given again.")]
Limit = Annotated[int, typer.Option(min=0, help="Only the first so many videos; 0: all.")]
SkipMissing = Annotated[bool, typer.Option("--skip-missing", help="Leave out videos that are not there.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of the tensor library.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the report; one that was begun is gone on with.")]
_SYSTEM = "You are a helpful assistant."


def video_benchmark(name: str, annotations_help: str) -> Callable[..., None]:
    """The function of the command for one of the lab's benchmarks."""

    def command(
        annotations: Annotated[list[Path], typer.Argument(help=annotations_help)],
        videos: Videos,
        model: Model = "pilot",
        mode: Mode = None,
        answers: Answers = "free",
        prompts: Prompts = None,
        fps: Fps = 2.0,
        chunk_frames: ChunkFrames = 2,
        context_tokens: ContextTokens = 0,
        max_tokens: MaxTokens = 32,
        system: System = _SYSTEM,
        task: Task = None,
        limit: Limit = 0,
        skip_missing: SkipMissing = False,
        device: Device = "auto",
        threads: Threads = 1,
        output: Out = None,
        as_json: AsJson = False,
    ) -> None:
        with told_errors():
            from stillwing_lab.video_benchmarks.run import BENCHMARKS, COMPARED, Asking, main
            from stillwing_lab.video_benchmarks.watching import Playing  # brings torch along

            modes, tasks = tuple(mode or COMPARED), tuple(task or ())
            asking = Asking(model, modes, answers, prompts, tasks, limit, skip_missing, device, threads)
            playing = Playing(fps, chunk_frames, system, max_tokens, context_tokens)
            folder = main(
                BENCHMARKS[name], annotations, videos, asking=asking, playing=playing, out=output, as_json=as_json
            )
        next_step(err if as_json else out, f"open {folder}/report.md", "every task's score in every mode")

    return command
