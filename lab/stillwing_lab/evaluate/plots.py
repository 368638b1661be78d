"""Pictures of an evaluation: what was reached and touched, and how long answers took. It knows nothing of flying."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from stillwing_lab.evaluate.report import Evaluation
from stillwing_lab.evaluate.ways import Way
from stillwing_training.statistics import Estimate

_COLOURS = ("#1b6ca8", "#2a9d4e", "#e0902c", "#8d5fb5", "#d1495b", "#5c6670", "#b08968", "#3a86a8")
_DPI = 130


def draw_all(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write `outcomes.png`, and `latency.png` where a model was asked; the paths written."""
    written = [folder / "outcomes.png"]
    draw_outcomes(evaluation).savefig(written[0], dpi=_DPI)
    if any(row.think_ms_p50 for report in evaluation.reports for row in report.rows):
        written.append(folder / "latency.png")
        draw_latency(evaluation).savefig(written[1], dpi=_DPI)
    return written


def draw_outcomes(evaluation: Evaluation) -> Figure:
    """Shares that reached the goal and that touched something, by scene and way, with their intervals."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((9.6, 5.6), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _bars(above, evaluation, "success")
        _bars(below, evaluation, "collided")
        above.set_title("Flights that reached the goal", loc="left", fontweight="bold")
        below.set_title("Flights that touched something", loc="left", fontweight="bold")
        above.set_ylim(0, 1.03)
        figure.legend(*above.get_legend_handles_labels(), loc="outside right upper", frameon=False)
        note = f"{evaluation.reports[0].rows[0].episodes} unseen scenes each; lines: 95 % intervals (Wilson)"
        below.set_xlabel(note, color="0.4", fontsize=8)
    return figure


def _bars(axes: Axes, evaluation: Evaluation, figure: str) -> None:
    ways = _ways(evaluation)
    width = 0.84 / len(ways)
    for index, way in enumerate(ways):
        found: list[tuple[int, Estimate]] = [
            (place, getattr(row, figure))
            for place, report in enumerate(evaluation.reports)
            for row in report.rows
            if row.way == way
        ]
        x = [place + (index - (len(ways) - 1) / 2) * width for place, _ in found]
        values = np.array([one.value for _, one in found])
        reach = np.array([[one.value - one.low, one.high - one.value] for _, one in found]).T
        axes.bar(x, values, width * 0.9, color=_COLOURS[index % len(_COLOURS)], label=way.name)
        axes.errorbar(x, values, reach, fmt="none", ecolor="0.25", elinewidth=1, capsize=2)
    axes.set_xticks(range(len(evaluation.reports)), [report.scene for report in evaluation.reports])
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.grid(axis="y", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)


def draw_latency(evaluation: Evaluation) -> Figure:
    """Of every way that asks a model: which share of its answers took at most so long, scenes together."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((6.4, 3.6), layout="constrained")
        axes = figure.subplots()
        for index, way in enumerate(_ways(evaluation)):
            results = [result for report in evaluation.reports for result in report.episodes[way.name]]
            think_ms = np.sort([1000 * seconds for result in results for seconds in result.think_s])
            if think_ms.size:
                shares = np.arange(1, think_ms.size + 1) / think_ms.size
                name = f"{way.name}: median {np.median(think_ms):.0f} ms"
                axes.step(think_ms, shares, where="post", color=_COLOURS[index % len(_COLOURS)], label=name)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda ms, _: f"{ms:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_title("How long an answer takes", loc="left", fontweight="bold")
        axes.set_xlabel("milliseconds at most")
        axes.set_ylabel("share of answers")
        axes.grid(color="0.9", linewidth=0.7)
        axes.legend(frameon=False, loc="lower right")
    return figure


def _ways(evaluation: Evaluation) -> list[Way]:
    return list(dict.fromkeys(row.way for report in evaluation.reports for row in report.rows))
