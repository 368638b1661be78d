"""Plots of an ablation. It knows nothing of how scores came about."""

from collections.abc import Callable, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stillwing_lab.ablation.grid import LEVELS, Score, Setting
from stillwing_lab.experiments.report import COLOURS
from stillwing_training.recall.task import CHANCE

_NAMES = {
    ("oldest", "contiguous"): "oldest leave, contiguous (default)",
    ("oldest", "gap"): "oldest leave, gap",
    ("subsampled", "contiguous"): "subsampled, contiguous",
    ("subsampled", "gap"): "subsampled, gap",
}


def draw(scores: Sequence[Score]) -> Figure:
    """Recall by age: how old chunks leave, the budget, the frame rate and chunk length, at otherwise equal settings."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((10.4, 7.4), layout="constrained")
        figure.suptitle("What was shown k signs ago: answers that name its colour right", fontweight="bold")
        panels = figure.subplots(2, 2, sharex=True, sharey=True)
        # The middle budget is where levels differ: old signs have left, and some could have stayed.
        middle = sorted({score.setting.budget for score in scores})[len({s.setting.budget for s in scores}) // 2]
        _lines(
            panels[0, 0],
            f"How old chunks leave ({middle} tokens of window)",
            scores,
            lambda s: s.budget == middle and s.chunk_frames == 1 and s.fps == 0.5,
            lambda s: _NAMES[s.level, s.positions],
            [_NAMES[each] for each in LEVELS],
        )
        default = ("oldest", "contiguous")
        _lines(
            panels[0, 1],
            "Budget of the window",
            scores,
            lambda s: (s.level, s.positions) == default and s.chunk_frames == 1 and s.fps == 0.5,
            lambda s: f"{s.budget} tokens",
        )
        _lines(
            panels[1, 0],
            f"Frames a second, one frame a chunk ({middle} tokens)",
            scores,
            lambda s: (s.level, s.positions) == default and s.chunk_frames == 1 and s.budget == middle,
            lambda s: f"{s.fps:g} frames/s",
        )
        _lines(
            panels[1, 1],
            f"Frames a chunk, at 2 frames/s ({middle} tokens)",
            scores,
            lambda s: (s.level, s.positions) == default and s.fps == 2.0 and s.budget == middle,
            lambda s: f"{s.chunk_frames} frame{'s' if s.chunk_frames > 1 else ''} a chunk",
        )
        for axes in panels[1]:
            axes.set_xlabel("signs ago (each is shown for 2 s)")
        for axes in panels[:, 0]:
            axes.set_ylabel("share right")
    return figure


def _lines(
    axes: Axes,
    title: str,
    scores: Sequence[Score],
    chosen: Callable[[Setting], bool],
    name: Callable[[Setting], str],
    order: Sequence[str] = (),
) -> None:
    axes.set_title(title, loc="left")
    found = {name(score.setting): score for score in scores if chosen(score.setting)}
    for colour, label in zip(COLOURS, order or found, strict=False):
        if label not in found:
            continue
        rates = sorted(found[label].by_age.items())
        ages = [age for age, _ in rates]
        axes.plot(ages, [rate.share or 0.0 for _, rate in rates], marker="o", markersize=3, color=colour, label=label)
        bounds = [rate.to_json() for _, rate in rates]
        axes.fill_between(ages, [b["low"] for b in bounds], [b["high"] for b in bounds], color=colour, alpha=0.12)
    axes.axhline(CHANCE, color="0.6", linewidth=0.8, linestyle="--")
    axes.text(0, CHANCE + 0.02, "guessing", color="0.45", fontsize=7)
    axes.set_ylim(-0.02, 1.03)
    axes.grid(color="0.88", linewidth=0.7)
    if found:
        axes.legend(frameon=False, fontsize=8, loc="upper right")
