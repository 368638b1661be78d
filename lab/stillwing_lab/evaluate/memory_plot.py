"""Plots of the memory experiment. It knows nothing of how anything was flown."""

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stillwing_lab.evaluate.memory_experiment import Cell, Findings
from stillwing_training.statistics import Estimate

_LOOKS = {
    "unbounded": ("#8b9198", "-", 2.0),
    "window + bank": ("#1b6ca8", "-", 3.2),
    "window": ("#e0902c", "-", 2.4),
    "no memory": ("#5c6670", ":", 2.0),
    "wrong frame": ("#d1495b", "--", 2.0),
}
_SAID = {
    "unbounded": "all frames kept",
    "window + bank": "window + memory bank",
    "window": "window alone",
    "no memory": "no memory",
    "wrong frame": "bank shows the wrong sign",
}
_LABELS_APART = 0.062


def draw_memory(found: Findings, window_chunks: int, by: str) -> Figure:
    """Success by how long ago the sign was seen, a line for each memory; `window_chunks` is how far the window goes.

    `by` says who read it.
    """
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((8.4, 4.4), layout="constrained")
        axes = figure.subplots()
        axes.axvspan(1, window_chunks, color="#e0902c", alpha=0.09, lw=0)
        axes.axhline(0.5, color="0.6", lw=0.8, ls="--")
        ends: list[tuple[float, str, str]] = []
        last = 1.0
        for memory, (colour, style, width) in _LOOKS.items():
            cells = sorted((c for c in found.cells if c.memory == memory and c.chunks), key=_chunks)
            if not cells:
                continue
            x, y = [_chunks(cell) for cell in cells], [cell.success.value for cell in cells]
            axes.plot(x, y, color=colour, ls=style, lw=width, marker="o", markersize=5)
            # Beside each other, or intervals of lines that meet would hide each other.
            aside = [chunks * (1 + 0.012 * (len(ends) - 2)) for chunks in x]
            found_y = [cell.success for cell in cells]
            reach = [[one.value - one.low for one in found_y], [one.high - one.value for one in found_y]]
            axes.errorbar(aside, y, reach, fmt="none", ecolor=colour, elinewidth=1.3, capsize=3, alpha=0.55)
            ends.append((y[-1], _SAID[memory], colour))
            last = max(last, x[-1])
        axes.set_xscale("log", base=2)
        axes.set_xlim(min([_chunks(c) for c in found.cells if c.chunks], default=1.0) * 0.85, last * 1.04)
        _label(axes, ends, last)
        left = axes.get_xlim()[0] * 1.05
        if left < window_chunks:
            axes.text(left, 0.03, f"less than the window's\n{window_chunks} frames ago", color="#b5701a", fontsize=9)
        axes.text(left, 0.515, "guessing the turn", color="0.45", fontsize=8)
        axes.set_ylim(-0.02, 1.04)
        axes.xaxis.set_major_formatter(lambda chunks, _: f"{chunks:g}")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_xlabel(f"frames since the sign was last seen, when the turn has to be made\n(signs read by {by})")
        axes.set_ylabel("missions that reach the beacon")
        axes.set_title("The sign at the start says which way to turn at the end", loc="left", fontweight="bold")
        axes.grid(axis="y", color="0.9", lw=0.7)
    return figure


def _chunks(cell: Cell) -> float:
    return cell.chunks or 0.0


def _label(axes: Axes, ends: list[tuple[float, str, str]], x: float) -> None:
    """Names at the ends of the lines, pushed apart where lines meet."""
    floor = -1.0
    for y, text, colour in sorted(ends):
        floor = max(y, floor + _LABELS_APART)
        axes.annotate(text, (x, floor), xytext=(8, 0), textcoords="offset points", color=colour, va="center",
                      annotation_clip=False, fontweight="bold")  # fmt: skip


def draw_positions(found: Findings) -> Figure:
    """Success by how long the stream was before the flight began, positions contiguous or with gaps."""
    with mpl.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((6.0, 3.4), layout="constrained")
        axes = figure.subplots()
        for positions, colour in (("contiguous", "#1b6ca8"), ("with gaps", "#d1495b")):
            cells = [cell for cell in found.positions if cell.positions == positions]
            places: list[tuple[int, Estimate]] = [(index, cell.success) for index, cell in enumerate(cells)]
            x, y = [index for index, _ in places], [one.value for _, one in places]
            reach = [[one.value - one.low for _, one in places], [one.high - one.value for _, one in places]]
            axes.errorbar(x, y, reach, color=colour, marker="o", lw=2.2, capsize=3, elinewidth=1, label=positions)
            axes.set_xticks(x, [f"{cell.idle_chunks:,}" for cell in cells])
        axes.set_ylim(-0.02, 1.04)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_xlabel("frames in the stream before the mission began")
        axes.set_ylabel("missions that reach the beacon")
        axes.set_title("Positions after streams longer than any in training", loc="left", fontweight="bold")
        axes.legend(frameon=False)
        axes.grid(axis="y", color="0.9", lw=0.7)
    return figure
