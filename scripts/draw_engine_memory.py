#!/usr/bin/env python
"""Draw docs/images/engine_memory.svg, the picture of the memory: `python scripts/draw_engine_memory.py [FILE]`."""

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

SLOTS = 13
WIDTH, HEIGHT = 1.0, 0.62
TEXT, SINK, WINDOW, NEW, BRANCH = "#5c6670", "#d1495b", "#1b6ca8", "#2a9d4e", "#e0902c"
QUIET = "#f1f3f5"


def box(
    axes: Axes, place: float, row: float, label: str, colour: str, *, width: float = WIDTH, fade: bool = False
) -> None:
    """One piece of memory."""
    face = "none" if fade else colour
    axes.add_patch(
        FancyBboxPatch(
            (place + 0.04, row + 0.04), width - 0.08, HEIGHT - 0.08, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=face, edgecolor=colour, linewidth=1.1, linestyle="--" if fade else "-",
        )
    )  # fmt: skip
    axes.text(
        place + width / 2, row + HEIGHT / 2, label, ha="center", va="center", fontsize=8.5,
        color=colour if fade else "white", fontweight="bold",
    )  # fmt: skip


def slab(axes: Axes, row: float, title: str, why: str) -> None:
    """The preallocated room of a row, and what the row is about."""
    axes.add_patch(
        FancyBboxPatch(
            (0, row), SLOTS, HEIGHT, boxstyle="round,pad=0.03,rounding_size=0.08", facecolor=QUIET, edgecolor="0.75",
            linewidth=0.8,
        )
    )  # fmt: skip
    axes.text(0, row + HEIGHT + 0.37, title, fontsize=10.5, fontweight="bold", va="center")
    axes.text(0, row + HEIGHT + 0.15, why, fontsize=8.8, color="0.3", va="center")


def trunk(axes: Axes, row: float, start: int, chunks: list[str], new: int = 0) -> None:
    """Sink from slot `start`, then the window's chunks, the last `new` of them fresh."""
    box(axes, start, row, "text", TEXT)
    box(axes, start + 1, row, "frame 1", SINK)
    for index, chunk in enumerate(chunks):
        fresh = index >= len(chunks) - new
        box(axes, start + 2 + index, row, chunk, NEW if fresh else WINDOW)


def brace(axes: Axes, left: float, right: float, row: float, label: str, colour: str) -> None:
    """A line under some boxes, with a name."""
    axes.plot([left + 0.06, right - 0.06], [row - 0.09, row - 0.09], color=colour, linewidth=2.2, solid_capstyle="butt")
    axes.text((left + right) / 2, row - 0.24, label, ha="center", va="center", fontsize=8.8, color=colour)


def arrow(axes: Axes, begin: tuple[float, float], end: tuple[float, float], colour: str, bend: float = 0.0) -> None:
    """Where something goes."""
    style = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.3, "connectionstyle": f"arc3,rad={bend}"}
    axes.annotate("", xy=end, xytext=begin, arrowprops=style)


def draw() -> Figure:
    """Four moments of one stream, from above to below."""
    figure = Figure((9.6, 7.6))
    axes = figure.add_axes((0.02, 0.01, 0.96, 0.98))
    axes.set_xlim(-0.15, SLOTS + 0.15)
    axes.set_ylim(-0.62, 7.62)
    axes.axis("off")

    row = 6.4
    slab(
        axes, row, "1  Frames come in", "Each frame is computed once; its keys and values lie in one preallocated slab."
    )
    trunk(axes, row, 0, [f"frame {n}" for n in range(2, 8)], new=1)
    brace(axes, 0, 2, row, "sink: never leaves", SINK)
    brace(axes, 2, 8, row, "window: the newest frames", WINDOW)
    brace(axes, 8, 13, row, "room", "0.5")

    row = 4.5
    slab(
        axes, row, "2  The budget is full: the oldest frame leaves",
        "The sink is written anew, right before the window, from keys kept apart. Nothing in the window is touched.",
    )  # fmt: skip
    box(axes, 0, row, "free", "0.6", fade=True)
    trunk(axes, row, 1, [f"frame {n}" for n in range(3, 9)], new=1)
    brace(axes, 1, 3, row, "the sink, over frame 2", SINK)
    brace(axes, 3, 8, row, "not moved, not turned, not read", WINDOW)
    brace(axes, 8, 9, row, "new", NEW)

    row = 2.6
    slab(
        axes, row, "3  A question is a branch beside the trunk",
        "It reads the trunk as it was when asked and writes to itself. Frames go on meanwhile; to undo it, drop it.",
    )  # fmt: skip
    box(axes, 0, row, "free", "0.6", fade=True)
    trunk(axes, row, 1, [f"frame {n}" for n in range(3, 9)])
    axes.plot([1.06, 8.94], [row - 0.09, row - 0.09], color=BRANCH, linewidth=2.2, solid_capstyle="butt")
    axes.text(5, row - 0.24, "what this question sees", ha="center", va="center", fontsize=8.8, color=BRANCH)
    box(axes, 9.35, row - 0.72, "Next action? → forward", BRANCH, width=3.4)
    arrow(axes, (8.94, row - 0.12), (9.35, row - 0.42), BRANCH, 0.25)

    row = 0.55
    slab(
        axes, row, "4  The end of the slab: everything moves to its beginning",
        "One copy now and then; no number in it changes. So memory stays the same for hours, and so does the time.",
    )  # fmt: skip
    trunk(axes, row, 0, [f"frame {n}" for n in range(8, 14)], new=1)
    for place in range(8, SLOTS):
        box(axes, place, row, "", "0.8", fade=True)
    arrow(axes, (10.5, row - 0.1), (4.0, row - 0.1), "0.45", -0.12)
    axes.text(7.3, row - 0.72, "moved from here", ha="center", va="center", fontsize=8.8, color="0.4")
    return figure


def main() -> None:
    """Draw to the file named, or to the place the docs show."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent.parent / "docs/images/engine_memory.svg"
    # Text stays text and ids stay the same, so that the file changes only where the picture does.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "engine", "font.family": "DejaVu Sans, sans-serif"}):
        draw().savefig(target, dpi=110, metadata={"Date": None} if target.suffix == ".svg" else None, facecolor="white")


if __name__ == "__main__":
    main()
