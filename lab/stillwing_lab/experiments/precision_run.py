"""Runs the experiment on 8 bits with a progress bar, stores what it found and prints it."""

from pathlib import Path

from stillwing_lab.evaluate.recorded import fly
from stillwing_lab.experiments import precision
from stillwing_lab.experiments.report import ExperimentReport
from stillwing_lab.experiments.run import keep_report, load_frames, progress
from stillwing_lab.experiments.subject import load_subject
from stillwing_vlm.core.catalog import PILOT


def main(
    *,
    model: str,
    video: Path | None = None,
    frames: Path | None = None,
    chunks: int | None = None,
    episodes: int = 4,
    device: str = "auto",
    threads: int = 1,
    work: Path = Path(".stillwing/lab"),
    out: Path | None = None,
    as_json: bool = False,
) -> tuple[ExperimentReport, Path]:
    """What 8 bits cost `model`: the pilot over `episodes` flights of its own, others over a video.

    Raises ModelNotUsable, DeviceAbsent, InvalidInput, NoGraphics.
    """
    subject = load_subject(model, work, device=device, threads=threads)
    ways = precision.WAYS.items()
    others = {name: load_subject(model, work, device=device, threads=threads, **how) for name, how in ways}
    if model == PILOT and video is None and frames is None:
        flights, _ = fly(subject.engine.loaded, episodes, "flying")
        source = f"{episodes} unseen meadows"
    with progress() as bar:
        if model != PILOT or video is not None or frames is not None:
            shown = load_frames(video, frames, work, bar)
            flights, source = [precision.watched(subject, shown, chunks or precision.CHUNKS)], shown.source
        asks = sum(kind == "ask" for flight in flights for kind, _ in flight.events)
        task = bar.add_task("answers, four times", total=4 * asks)
        report = precision.run_precision(subject, others, flights, source, on_ask=lambda: bar.advance(task))
    return report, keep_report(report, precision.draw_precision, subject.name, out, as_json)
