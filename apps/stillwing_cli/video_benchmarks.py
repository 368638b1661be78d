"""`stillwing lab ovo-bench` and `streaming-bench`: the field's video benchmarks. The lab does the work."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwing_cli.terminal import AsJson, err, next_step, out, told_errors

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
Fps = Annotated[float, typer.Option(help="Frames a second of the video that the model is given.")]
ChunkFrames = Annotated[int, typer.Option(min=1, help="Frames that the vision encoder sees together.")]
ContextTokens = Annotated[int, typer.Option(min=0, help="Budget of evict and recent; 0: by the machine's memory.")]
MaxTokens = Annotated[int, typer.Option(min=1, help="Longest answer.")]
System = Annotated[str, typer.Option(help="What the session is opened with.")]
Task = Annotated[list[str] | None, typer.Option(help="Only this task; may be given again.")]
Limit = Annotated[int, typer.Option(min=0, help="Only the first so many videos; 0: all.")]
SkipMissing = Annotated[bool, typer.Option("--skip-missing", help="Leave out videos that are not there.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads of the tensor library.")]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the report; one that was begun is gone on with.")]
_SYSTEM = "You are a helpful assistant."


def ovo_bench(
    annotations: Annotated[Path, typer.Argument(help="Its ovo_bench_new.json.")],
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
    """OVO-Bench: what was, what is and whether it is time to answer; one pass a video, questions forked off it."""
    asked = (model, mode, answers, prompts, task, limit, skip_missing, device, threads)
    played = (fps, chunk_frames, system, max_tokens, context_tokens)
    with told_errors():
        from stillwing_lab.video_benchmarks.run import ovo_main  # brings torch along

        folder = _run(ovo_main, annotations, videos, asked, played, output, as_json)
    _next(folder, as_json)


def streaming_bench(
    annotations: Annotated[list[Path], typer.Argument(help="Its questions_real.json and others of its files.")],
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
    """StreamingBench: questions at instants of videos, in sequences, and answers to be given when it is time to."""
    asked = (model, mode, answers, prompts, task, limit, skip_missing, device, threads)
    played = (fps, chunk_frames, system, max_tokens, context_tokens)
    with told_errors():
        from stillwing_lab.video_benchmarks.run import streaming_main  # brings torch along

        folder = _run(streaming_main, annotations, videos, asked, played, output, as_json)
    _next(folder, as_json)


def _run(
    main: Callable[..., Path],
    annotations: Path | list[Path],
    videos: Path,
    asked: tuple[Any, ...],
    played: tuple[Any, ...],
    output: Path | None,
    as_json: bool,
) -> Path:
    from stillwing_lab.video_benchmarks.play import Playing
    from stillwing_lab.video_benchmarks.run import COMPARED, Asking

    model, modes, answers, prompts, tasks, limit, skip_missing, device, threads = asked
    asking = Asking(
        model, tuple(modes or COMPARED), answers, prompts, tuple(tasks or ()), limit, skip_missing, device, threads
    )
    return main(annotations, videos, asking=asking, playing=Playing(*played), out=output, as_json=as_json)


def _next(folder: Path, as_json: bool) -> None:
    next_step(err if as_json else out, f"open {folder}/report.md", "every task's score in every mode")
