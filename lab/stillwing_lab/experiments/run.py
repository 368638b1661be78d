"""Runs an experiment with a progress bar, stores what it found and prints it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stillwing_common.errors import InvalidInput
from stillwing_lab.experiments import answers, endless, sink
from stillwing_lab.experiments.footage import FrameLoop, airfield_frames, folder_frames, video_frames
from stillwing_lab.experiments.report import ExperimentReport, results_folder
from stillwing_lab.experiments.subject import REFERENCE_BUDGETS, load_subject

Draw = Callable[[ExperimentReport], Figure]


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar on stderr."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        yield bar


def load_frames(video: Path | None, folder: Path | None, work: Path, bar: Progress) -> FrameLoop:
    """What the flags name, or airfield's own. Raises InvalidInput where both are given, and as the loaders do."""
    if video is not None and folder is not None:
        raise InvalidInput("give --video or --frames, not both", field="video")
    if video is not None:
        return video_frames(video)
    if folder is not None:
        return folder_frames(folder)
    task = bar.add_task("draw frames in airfield", total=None)
    found = airfield_frames(work / "frames", lambda done, total: bar.update(task, completed=done, total=total))
    bar.update(task, completed=len(found.frames), total=len(found.frames))
    return found


def keep_report(report: ExperimentReport, draw: Draw, name: str, out: Path | None, as_json: bool) -> Path:
    """Store a report and print it; the folder."""
    folder = results_folder(f"{report.name}-{name}", out)
    report.save(folder, draw)
    if as_json:
        print(json.dumps(report.to_json()))
    else:
        console = Console(highlight=False, markup=False)
        console.print(report.text(), markup=False, soft_wrap=True)
        console.print(f"\nstored in {folder}: report.txt, report.json, plot.png", soft_wrap=True)
    return folder


def main(
    which: str,
    *,
    model: str,
    video: Path | None = None,
    frames: Path | None = None,
    chunks: int | None = None,
    device: str = "auto",
    threads: int = 1,
    work: Path = Path(".stillwing/lab"),
    out: Path | None = None,
    as_json: bool = False,
) -> tuple[ExperimentReport, Path]:
    """Run experiment `which` ("a", "b" or "c"); returns the report and the folder it was stored in.

    Raises ModelNotUsable, DeviceAbsent, InvalidInput, NoGraphics.
    """
    with progress() as bar:
        subject = load_subject(model, work, device=device, threads=threads)
        shown = load_frames(video, frames, work, bar)
        if which == "a":
            task = bar.add_task("sinks", total=len(sink.SIZES_PX) * len(sink.CHUNK_FRAMES))
            report = sink.run_sink(subject, shown, on_row=lambda row: bar.advance(task))
            draw: Draw = sink.draw_sink
        elif which == "b":
            count = chunks or endless.CHUNKS
            tasks = {budget: bar.add_task(f"{budget:,} of the reference", total=count) for budget in REFERENCE_BUDGETS}
            report = endless.run_endless(
                subject, shown, chunks=count, on_chunk=lambda budget, done: bar.update(tasks[budget], completed=done)
            )
            draw = endless.draw_endless
        else:
            count = chunks or answers.CHUNKS
            task = bar.add_task("chunks and asks", total=count)
            report = answers.run_answers(
                subject, shown, chunks=count, on_chunk=lambda done: bar.update(task, completed=done)
            )
            draw = answers.draw_answers
    return report, keep_report(report, draw, subject.name, out, as_json)
