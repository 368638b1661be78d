"""Experiment B: several budgets, hundreds of frames each: does the cache stay within them, and memory flat?"""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from stillwing_common.conditions import hardware
from stillwing_lab.experiments.footage import FrameLoop
from stillwing_lab.experiments.report import COLOURS, Check, ExperimentReport
from stillwing_lab.experiments.subject import REFERENCE_BUDGETS, SYSTEM_TEXT, Subject

CHUNK_FRAMES = 4
CHUNKS = 80
EVERY = 10
_STRAY_BYTES = 4 * 2**20
"""What an allocator gives and takes between two readings without anything having grown."""


@dataclass(frozen=True, slots=True)
class EndlessPoint:
    """A reading after `chunks` chunks; times are medians over the chunks since the reading before."""

    chunks: int
    frames: int
    context_tokens: int
    evicted_frames: int
    compactions: int
    cache_bytes: int
    memory_bytes: int
    append_ms: float


@dataclass(frozen=True, slots=True)
class EndlessRun:
    """One budget's run."""

    reference_tokens: int
    budget: int
    chunk_tokens: int
    sink_tokens: int
    points: list[EndlessPoint]


def run_endless(
    subject: Subject,
    frames: FrameLoop,
    *,
    chunks: int = CHUNKS,
    budgets: Sequence[int] = REFERENCE_BUDGETS,
    every: int = EVERY,
    on_chunk: Callable[[int, int], None] = lambda reference, chunk: None,
) -> ExperimentReport:
    """Stream `chunks` chunks of four frames through each budget, one after another."""
    chunk_tokens = subject.chunk_tokens(frames, CHUNK_FRAMES)
    runs = []
    for reference in budgets:
        budget = subject.budget(reference, chunk_tokens)
        session = subject.engine.open(SYSTEM_TEXT, budget)
        points: list[EndlessPoint] = []
        times: list[float] = []
        for index in range(chunks):
            chunk = [frames(index * CHUNK_FRAMES + place) for place in range(CHUNK_FRAMES)]
            began_s = time.perf_counter()
            session.append(*chunk)
            times.append((time.perf_counter() - began_s) * 1e3)
            if index % every == every - 1:
                info = session.info()
                gc.collect()
                points.append(
                    EndlessPoint(
                        index + 1,
                        info.appended_frames,
                        info.context_tokens,
                        info.evicted_frames,
                        session.video.trunk.moves,
                        session.video.slab.size_bytes,
                        subject.memory_bytes(),
                        float(np.median(times)),
                    )
                )
                times.clear()
            on_chunk(reference, index + 1)
        runs.append(EndlessRun(reference, budget, chunk_tokens, session.info().sink_tokens, points))
        del session
        gc.collect()
    about = {"model": subject.name, "frames": frames.source, "frames a chunk": CHUNK_FRAMES, "machine": hardware()}
    report = ExperimentReport("eviction-b", "Experiment B: an endless run stays flat", about)
    report.checks = [check for run in runs for check in _checks(run, chunks)]
    report.numbers = {"runs": [asdict(run) for run in runs]}
    report.notes = ["", *(_line(run) for run in runs)]
    return report


def _checks(run: EndlessRun, chunks: int) -> list[Check]:
    name = f"{run.reference_tokens:,} of the reference, {run.budget:,} here"
    full = [point for point in run.points if point.evicted_frames]
    # A slab's pages are the system's to give until they are first written, which the first compaction ends.
    steady = [point for point in run.points if point.compactions]
    lengths = [point.context_tokens for point in full]
    grown = _grown_bytes(steady)
    frames = run.points[-1].frames
    return [
        Check(f"{name}: ran to the end", run.points[-1].chunks == chunks, f"{frames} frames, none refused"),
        Check(f"{name}: evictions happened", bool(full), f"{run.points[-1].evicted_frames} frames left"),
        Check(
            f"{name}: the cache is full and within its budget",
            bool(full) and run.budget - run.chunk_tokens < min(lengths) <= max(lengths) <= run.budget,
            f"{min(lengths, default=0):,} to {max(lengths, default=0):,} tokens",
        ),
        Check(
            f"{name}: the cache's memory never changes once full",
            len({point.cache_bytes for point in full}) == 1,
            f"{full[-1].cache_bytes / 2**20:.1f} MiB" if full else "never full",
        ),
        Check(
            f"{name}: the process's memory is flat once the whole slab has been written",
            grown <= _STRAY_BYTES,
            f"{grown / 2**20:+.1f} MiB over {len(steady)} readings",
        ),
    ]


def _grown_bytes(steady: list[EndlessPoint]) -> float:
    """Median of the last third of the readings less that of the first."""
    if len(steady) < 3:
        return float("inf")
    third = max(1, len(steady) // 3)
    sizes = [point.memory_bytes for point in steady]
    return float(np.median(sizes[-third:]) - np.median(sizes[:third]))


def _line(run: EndlessRun) -> str:
    last = run.points[-1]
    return (
        f"budget {run.budget:,} ({run.reference_tokens:,} of the reference): {last.context_tokens:,} tokens, "
        f"{last.evicted_frames} of {last.frames} frames evicted, append {last.append_ms:.1f} ms"
    )


def draw_endless(report: ExperimentReport) -> Figure:
    """Tokens, memory and append time over frames, one line a budget."""
    figure = Figure((7.4, 7.6), layout="constrained")
    rows = figure.subplots(3, 1, sharex=True)
    readings: tuple[tuple[str, str, float], ...] = (
        ("context_tokens", "tokens in the trunk", 1),
        ("memory_bytes", "memory of the process, MiB", 2**-20),
        ("append_ms", "append of a chunk, ms", 1),
    )
    for axes, (name, label, scale) in zip(rows, readings, strict=True):
        for colour, run in zip(COLOURS, report.numbers["runs"], strict=False):
            frames = [point["frames"] for point in run["points"]]
            values = [point[name] * scale for point in run["points"]]
            axes.plot(frames, values, marker="o", markersize=3, color=colour, label=f"{run['budget']:,} tokens")
            if name == "context_tokens":
                axes.axhline(run["budget"], color=colour, linewidth=0.8, linestyle="--")
        axes.set_ylim(bottom=0)
        axes.set_ylabel(label)
        axes.grid(color="0.88", linewidth=0.7)
    rows[0].legend(title="budget (dashed)", frameon=False, loc="lower right")
    rows[-1].set_xlabel("frames appended")
    model: Any = report.subject["model"]
    rows[0].set_title(f"Nothing grows with the age of the stream ({model})", loc="left", fontweight="bold")
    return figure
