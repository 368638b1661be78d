"""`stillwing lab`: experiments on the engine's memory, ablations, and the tiny model they are scored with.

The lab does the work.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwing_cli.commands import application
from stillwing_cli.terminal import AsJson, err, finite, next_step, out, told_errors
from stillwing_cli.video_benchmarks import video_benchmark

lab = application("Experiments on the engine's memory, ablations, and benchmarks.")
lab.command(
    "ovo-bench",
    help="OVO-Bench: what was, what is and whether it is time to answer; one pass a video, questions forked off it.",
)(video_benchmark("ovo-bench", "Its ovo_bench_new.json."))
lab.command(
    "streaming-bench",
    help="StreamingBench: questions at instants of videos, in sequences, and answers to be given when it is time to.",
)(video_benchmark("streaming-bench", "Its questions_real.json and others of its files."))

Model = Annotated[
    str, typer.Option(help="pilot, recall, random (middling size, random weights), or the directory of a Qwen-VL.")
]
Video = Annotated[Path | None, typer.Option(help="A video file to stream; unset: a flight drawn in airfield.")]
Pictures = Annotated[Path | None, typer.Option("--frames", help="A folder of pictures to stream.")]
Chunks = Annotated[int | None, typer.Option(min=10, help="How many chunks of four frames; unset: the full protocol.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int, typer.Option(min=1, max=1024, help="CPU threads of the tensor library.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder for the results; unset: one of its own under results/.")
]


@lab.command("eviction-a")
def eviction_a(
    model: Model = "pilot",
    video: Video = None,
    frames: Pictures = None,
    device: Device = "auto",
    threads: Threads = 1,
    output: Out = None,
    as_json: AsJson = False,
) -> None:
    """What the sink is: found from the first chunk, for several sizes of frame and two lengths of chunk."""
    _run_eviction("a", as_json, model=model, video=video, frames=frames, device=device, threads=threads, out=output)


def _eviction(which: str) -> Callable[..., None]:
    """The function of the command for an experiment whose length may be chosen."""

    def experiment(
        model: Model = "pilot",
        video: Video = None,
        frames: Pictures = None,
        chunks: Chunks = None,
        device: Device = "auto",
        threads: Threads = 1,
        output: Out = None,
        as_json: AsJson = False,
    ) -> None:
        _run_eviction(
            which,
            as_json,
            model=model,
            video=video,
            frames=frames,
            chunks=chunks,
            device=device,
            threads=threads,
            out=output,
        )

    return experiment


lab.command(
    "eviction-b",
    help="An endless run: three budgets, 320 frames each; the cache stays within them and memory flat.",
)(_eviction("b"))
lab.command(
    "eviction-c",
    help="Answers after eviction: an ask every 20 chunks, the cache compared byte for byte before and after.",
)(_eviction("c"))

_AFTER_EVICTION = {
    "a": ("stillwing lab eviction-b", "whether an endless run stays flat"),
    "b": ("stillwing lab eviction-c", "whether asks leave the cache as it was"),
    "c": ("stillwing lab ablate", "what each choice of the memory is worth"),
}


def _run_eviction(which: str, as_json: bool, **options: Any) -> None:
    with told_errors():
        from stillwing_lab.experiments import run  # brings torch along

        report, _ = run.main(which, **options, as_json=as_json)
    _end(report.held, as_json, *_AFTER_EVICTION[which])


def _end(held: bool, as_json: bool, command: str, why: str) -> None:
    """Say what to type next; exit code 1 where something did not hold."""
    next_step(err if as_json else out, command, why)
    if not held:
        raise typer.Exit(1)


@lab.command("precision")
def precision(
    model: Model = "pilot",
    video: Video = None,
    frames: Pictures = None,
    chunks: Annotated[
        int | None, typer.Option(min=8, help="Chunks of two frames; unset: 160. Not the pilot's.")
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="Flights of the pilot, over unseen meadows.")] = 4,
    device: Device = "auto",
    threads: Threads = 1,
    output: Out = None,
    as_json: AsJson = False,
) -> None:
    """What 8 bits cost: a cache, weights or both in 8 bits beside the model's own type, answer by answer."""
    with told_errors():
        from stillwing_lab.experiments import precision_run  # brings torch along

        report, folder = precision_run.main(
            model=model,
            video=video,
            frames=frames,
            chunks=chunks,
            episodes=episodes,
            device=device,
            threads=threads,
            out=output,
            as_json=as_json,
        )
    then = "stillwing-vlm --kv-cache-dtype fp8 --weight-dtype int8"
    _end(report.held, as_json, then, f"serve with both, if {folder}/report.txt says that it will do")


@lab.command("ablate")
def ablate(
    model: Annotated[Path | None, typer.Option(help="Directory of a recall model; unset: the one that ships.")] = None,
    streams: Annotated[
        int, typer.Option(min=1, max=100_000, help="Streams for each setting; more narrow the intervals.")
    ] = 6,
    quick: Annotated[bool, typer.Option("--quick", help="Two budgets, one layout: a minute.")] = False,
    output: Out = None,
    as_json: AsJson = False,
) -> None:
    """What was shown k signs ago: recall by budget, chunk length, frame rate, eviction level and positions."""
    with told_errors():
        from stillwing_lab.ablation import run  # brings torch along

        folder = run.main(model=model, streams=streams, quick=quick, out=output, as_json=as_json)
    next_step(
        err if as_json else out, f"stillwing lab ablate --out {folder} --streams {2 * streams}", "go on from here"
    )


@lab.command("instructions")
def instructions(
    model: Annotated[str, typer.Argument(help="pilot, recall, random, or the directory of a Qwen-VL.")] = "pilot",
    source: Annotated[
        Path | None,
        typer.Option(help="A flight.mcap, a folder of pictures or a video to ask about; unset: drawn in airfield."),
    ] = None,
    people: Annotated[
        int | None, typer.Option(min=0, help="How many people the source shows; unset: not known.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=16, help="Longest answer.")] = 256,
    device: Device = "auto",
    threads: Threads = 1,
    output: Out = None,
    as_json: AsJson = False,
) -> None:
    """Whether it does as it is told: people alone, times, numbered steps, bold, language, length."""
    with told_errors():
        from stillwing_lab.instructions import run  # brings torch along

        report, folder = run.main(
            model,
            source=source,
            people=people,
            device=device,
            threads=threads,
            max_tokens=max_tokens,
            out=output,
            as_json=as_json,
        )
    _end(report.held, as_json, f"open {folder}/report.json", "every question, its answer and its verdict")


@lab.command("memory")
def memory(
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="Scenes for each memory and length.")] = 20,
    corridor_m: Annotated[
        list[float] | None,
        typer.Option("--corridor", callback=finite, help="Metres from start to turn, 4 to 200. May be given again."),
    ] = None,
    idle: Annotated[
        list[int] | None,
        typer.Option(
            max=1_000_000, help="Frames a stream has behind it, for the question of positions; -1: leave it out."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Directory of a model; empty takes the pilot.")] = "",
    policy: Annotated[
        str, typer.Option(help="tool_calling, choice, or reader: whoever reads each sign it can see.")
    ] = "tool_calling",
    first_seed: Annotated[int, typer.Option(min=0, help="Seed of the first scene.")] = 1_500_000,
    workers: Annotated[int, typer.Option(min=0, max=1024, help="Processes that fly; 0: one for each core.")] = 0,
    ray: Annotated[str, typer.Option(help='Fly on a Ray cluster instead: its address, "auto", or "local".')] = "",
    output: Out = None,
    save: Annotated[
        Path | None, typer.Option(help="Keep figures and plots as PATH.json, .md and .png: results/memory.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What memory is worth: a sign seen early and needed late, by memory and by how long ago it was."""
    with told_errors():
        from stillwing_lab.evaluate import memory_run  # brings torch along
        from stillwing_lab.evaluate.memory_experiment import CORRIDORS_M, IDLE_CHUNKS, Plan
        from stillwing_lab.evaluate.run import Where
        from stillwing_vlm.core.catalog import PILOT

        plan = Plan(
            corridors_m=tuple(corridor_m or CORRIDORS_M),
            idle_chunks=tuple(one for one in (idle or IDLE_CHUNKS) if one >= 0),
            episodes=episodes,
            first_seed=first_seed,
            model=model or PILOT,
            policy=policy,
        )
        where = Where(workers or os.cpu_count() or 1, ray)
        folder = memory_run.main(plan, where, out=output, keep=save, as_json=as_json)
    next_step(
        err if as_json else out, f"stillwing lab memory --out {folder} --episodes {2 * episodes}", "go on from here"
    )


@lab.command("train-recall")
def train_recall(
    output: Annotated[Path, typer.Option("--out", help="Where the model's files are written.")] = Path("models/recall"),
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="The same seed on the same machine gives the same model.")
    ] = 0,
    threads: Threads = 1,
) -> None:
    """Train the tiny model that the ablations are scored with: coloured signs, what was shown when."""
    with told_errors():
        from stillwing_training.recall import train  # brings torch along

        train.main(out=output, seed=seed, threads=threads)
    out.print(f"the recall model is in {output}")
    next_step(out, f"stillwing lab ablate --model {output}", "how far back it remembers, and what that depends on")
