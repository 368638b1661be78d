"""Experiment A: after the first chunk the whole cache is the sink; its size follows the frames."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from matplotlib.figure import Figure

from stillwing_lab.experiments.footage import FrameLoop
from stillwing_lab.experiments.report import COLOURS, Check, ExperimentReport
from stillwing_lab.experiments.subject import REFERENCE_BUDGETS, SYSTEM_TEXT, Subject

SIZES_PX = ((320, 240), (640, 360), (640, 480), (960, 540), (480, 640))
"""Widths and heights of the frames."""

CHUNK_FRAMES = (2, 4)
CHUNKS = 5


@dataclass(frozen=True, slots=True)
class SinkRow:
    """One session: what the frames were, and what the cache made of them."""

    width_px: int
    height_px: int
    chunk_frames: int
    budget: int
    opening_tokens: int
    first_chunk_tokens: int
    cache_after_first: int
    sink_after_first: int
    sink_at_end: int
    mean_chunk_tokens: float
    window_tokens: int


def run_sink(
    subject: Subject,
    frames: FrameLoop,
    *,
    sizes_px: Sequence[tuple[int, int]] = SIZES_PX,
    on_row: Callable[[SinkRow], None] = lambda row: None,
) -> ExperimentReport:
    """Open a session for every size and chunk length, append five chunks, and see what became the sink."""
    rows: list[SinkRow] = []
    opening = len(subject.engine.loaded.preparer.opening(SYSTEM_TEXT))
    for width_px, height_px in sizes_px:
        sized = frames.resized(width_px, height_px)
        for chunk_frames in CHUNK_FRAMES:
            budget = subject.budget(REFERENCE_BUDGETS[0], subject.chunk_tokens(sized, chunk_frames))
            session = subject.engine.open(SYSTEM_TEXT, budget)
            tokens, cache, sink = [], 0, 0
            for chunk in range(CHUNKS):
                first = chunk * chunk_frames
                tokens.append(session.append(*(sized(first + i) for i in range(chunk_frames))).chunk_tokens)
                if chunk == 0:
                    cache, sink = session.info().context_tokens, session.info().sink_tokens
            info = session.info()
            rows.append(
                SinkRow(
                    width_px=width_px,
                    height_px=height_px,
                    chunk_frames=chunk_frames,
                    budget=budget,
                    opening_tokens=opening,
                    first_chunk_tokens=tokens[0],
                    cache_after_first=cache,
                    sink_after_first=sink,
                    sink_at_end=info.sink_tokens,
                    mean_chunk_tokens=sum(tokens) / len(tokens),
                    window_tokens=budget - info.sink_tokens,
                )
            )
            on_row(rows[-1])
    report = ExperimentReport("eviction-a", "Experiment A: the sink is found, not typed in", _about(subject, frames))
    report.checks = _checks(rows)
    report.numbers = {"rows": [asdict(row) for row in rows]}
    report.notes = ["", *(_line(row) for row in rows)]
    return report


def _about(subject: Subject, frames: FrameLoop) -> dict[str, Any]:
    return {"model": subject.name, "frames": frames.source, "chunks": CHUNKS, "chunk_frames": list(CHUNK_FRAMES)}


def _checks(rows: list[SinkRow]) -> list[Check]:
    by_chunk = {(row.first_chunk_tokens, row.sink_at_end) for row in rows}
    sinks = {sink for _, sink in by_chunk}
    return [
        Check(
            "after the first chunk the sink is the whole cache",
            all(row.sink_after_first == row.cache_after_first for row in rows),
            f"{sum(row.sink_after_first == row.cache_after_first for row in rows)} of {len(rows)} sessions",
        ),
        Check(
            "the sink is opening text and first chunk, and stays that",
            all(row.sink_after_first == row.opening_tokens + row.first_chunk_tokens == row.sink_at_end for row in rows),
            "sinks of " + ", ".join(str(sink) for sink in sorted(sinks)) + " tokens",
        ),
        Check(
            "frames that take other tokens get another sink",
            len(sinks) == len({tokens for tokens, _ in by_chunk}) > 1,
            f"{len(sinks)} sinks for {len({tokens for tokens, _ in by_chunk})} sizes of a chunk",
        ),
        Check(
            "what the sink leaves of the budget holds chunks of the mean size",
            all(row.window_tokens >= row.mean_chunk_tokens for row in rows),
            f"{min(row.window_tokens / row.mean_chunk_tokens for row in rows):.1f} chunks at least",
        ),
    ]


def _line(row: SinkRow) -> str:
    return (
        f"{row.width_px}x{row.height_px}, {row.chunk_frames} frames a chunk: sink {row.sink_at_end} tokens, mean chunk "
        f"{row.mean_chunk_tokens:.1f}, window {row.window_tokens} of {row.budget}"
    )


def draw_sink(report: ExperimentReport) -> Figure:
    """Bars of sink and window by size of frame, each a share of the budget, with the sink's tokens written on."""
    rows = report.numbers["rows"]
    figure = Figure((7.4, 0.42 * len(rows) + 1.5), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        text, chunk = row["opening_tokens"], row["first_chunk_tokens"]
        axes.barh(place, text, color=COLOURS[5], label="opening text" if place == 0 else None)
        axes.barh(place, chunk, left=text, color=COLOURS[1], label="first chunk" if place == 0 else None)
        window = row["window_tokens"]
        axes.barh(place, window, left=text + chunk, color="#cfe0ee", label="window" if place == 0 else None)
        axes.text(text + chunk + 0.01 * row["budget"], place, f"sink {text + chunk}", va="center", fontsize=8)
    names = [f"{row['width_px']}x{row['height_px']}, {row['chunk_frames']} frames" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.invert_yaxis()
    axes.set_xlabel("tokens of the budget")
    axes.grid(axis="x", color="0.88", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.set_title(f"What becomes the sink ({report.subject['model']})", loc="left", fontweight="bold")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3, frameon=False)
    return figure
