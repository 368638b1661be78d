"""What decisions over a recording came to: figures, agreement with what was flown, and a plot over time.

It knows nothing of how decisions are made.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from stillwing_lab.experiments.report import COLOURS
from stillwing_lab.offline.decide import Decision
from stillwing_training.statistics import Estimate, quantile, share

_OTHER_COLOUR = "#b9bec4"
UNREADABLE = "(unreadable)"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Decisions beside those of the recorded flight, based on the same frame.

    `commonest`: the share that whoever always says the commonest flown manoeuvre would reach; no agreement at or below
    it means anything. `confusion`: flown manoeuvre, then decided one, then how often. `exact`: of those compared, how
    many on the very frame that was flown by; the recording lacks the others', and the newest before it stands in.
    """

    compared: int
    agreed: Estimate
    commonest: float
    exact: int
    refused: int
    confusion: Mapping[str, Mapping[str, int]]


def agreement_of(decisions: Sequence[Decision]) -> Agreement | None:
    """None where nothing can be compared. An answer that names no manoeuvre, as one cut short, agrees with none."""
    pairs = [(each, each.flown) for each in decisions if each.flown is not None]
    if not pairs:
        return None
    confusion: dict[str, Counter[str]] = {}
    for each, flown in pairs:
        confusion.setdefault(flown.manoeuvre, Counter())[each.manoeuvre or UNREADABLE] += 1
    return Agreement(
        compared=len(pairs),
        agreed=share([bool(each.agrees) for each, _ in pairs]),
        commonest=max(counts.total() for counts in confusion.values()) / len(pairs),
        exact=sum(flown.exact for _, flown in pairs),
        refused=sum(flown.refused for _, flown in pairs),
        confusion={name: dict(counts.most_common()) for name, counts in sorted(confusion.items())},
    )


@dataclass(frozen=True, slots=True)
class OfflineReport:
    """A whole run. `about`: recording, model, question and pace; `conditions`: commit, hardware, command.

    `bad_pictures`: frames that could not be taken in, and why.
    """

    about: Mapping[str, Any]
    conditions: Mapping[str, str]
    frames: int
    appended: int
    decisions: tuple[Decision, ...]
    flown_source: str
    bad_pictures: tuple[str, ...] = ()

    @property
    def agreement(self) -> Agreement | None:
        """See `agreement_of`."""
        return agreement_of(self.decisions)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values, all decisions included."""
        agreement = self.agreement
        times_ms = [each.time_to_first_token_ms for each in self.decisions]
        return {
            "about": dict(self.about),
            "conditions": dict(self.conditions),
            "frames": self.frames,
            "frames_appended": self.appended,
            "bad_pictures": list(self.bad_pictures),
            "frames_evicted": self.decisions[-1].seen.evicted_frames if self.decisions else 0,
            "manoeuvres": dict(Counter(each.manoeuvre for each in self.decisions if each.manoeuvre).most_common()),
            "first_token_ms_p50": asdict(quantile(times_ms, 0.5)) if times_ms else None,
            "first_token_ms_p95": asdict(quantile(times_ms, 0.95)) if times_ms else None,
            "flown_source": self.flown_source,
            "agreement": None if agreement is None else asdict(agreement),
            "decisions": [each.to_json() for each in self.decisions],
        }

    def lines(self) -> list[tuple[str, str]]:
        """The figures as label and value, for a terminal and for the page."""
        shown = [(name, str(value)) for name, value in self.about.items()]
        shown.append(("frames", f"{self.frames} in the recording, {self.appended} given to the model"))
        if self.bad_pictures:
            shown.append(("pictures passed over", f"{len(self.bad_pictures)}, the first {self.bad_pictures[0]}"))
        shown.append(("decisions", str(len(self.decisions))))
        if self.decisions:
            times_ms = [each.time_to_first_token_ms for each in self.decisions]
            p50, p95 = (quantile(times_ms, level).value for level in (0.5, 0.95))
            shown.append(("first token, median / 95 %", f"{p50:.1f} / {p95:.1f} ms"))
            shown.append(("frames evicted by the end", str(self.decisions[-1].seen.evicted_frames)))
        shown += self._agreement_lines()
        return shown

    def _agreement_lines(self) -> list[tuple[str, str]]:
        found = self.agreement
        if found is None:
            why = "the recording holds no decisions" if self.flown_source == "nothing" else "the answers decide nothing"
            return [("agreement with what was flown", f"not measured: {why}")]
        agreed = found.agreed
        text = (
            f"{agreed.value:.0%} ({100 * agreed.low:.0f}–{100 * agreed.high:.0f}) of {found.compared}, "
            f"by the recorded {self.flown_source}; always the commonest: {found.commonest:.0%}"
        )
        lines = [("agreement with what was flown", text)]
        if found.exact < found.compared:
            lines.append(("on a frame just before instead", str(found.compared - found.exact)))
        if found.refused:
            lines.append(("refused by the bridge when flown", str(found.refused)))
        return lines


def colours_of(decisions: Sequence[Decision]) -> dict[str, str]:
    """A colour for each manoeuvre, the commonest first; beyond the palette all share one."""
    counts = Counter(each.manoeuvre for each in decisions if each.manoeuvre)
    counts.update(each.flown.manoeuvre for each in decisions if each.flown is not None)
    names = [name for name, _ in counts.most_common()]
    return {name: COLOURS[at] if at < len(COLOURS) else _OTHER_COLOUR for at, name in enumerate(names)}


def draw_timeline(decisions: Sequence[Decision]) -> Figure:
    """Over the recording's time: what was decided, what was flown, and how long the first token took."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure((10.4, 3.6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(1, 1.3))
        flown = [(each, each.flown) for each in decisions if each.flown is not None]
        for name, colour in colours_of(decisions).items():
            times = [each.time_s for each in decisions if each.manoeuvre == name]
            top.scatter(times, [1.0] * len(times), marker="s", s=26, color=colour, label=name)
            times = [each.time_s for each, was in flown if was.manoeuvre == name]
            top.scatter(times, [0.0] * len(times), marker="s", s=26, color=colour)
        top.set_yticks([0, 1], ["flown", "decided"])
        top.set_ylim(-0.6, 1.6)
        wrong = [each.time_s for each in decisions if each.agrees is False]
        top.scatter(wrong, [0.5] * len(wrong), marker="x", s=22, color="#c0392b", label="differs", linewidths=1.2)
        if decisions and (flown or any(each.manoeuvre for each in decisions)):
            top.legend(frameon=False, fontsize=8, ncols=8, loc="lower left", bbox_to_anchor=(0, 1))
        bottom.plot([each.time_s for each in decisions], [each.time_to_first_token_ms for each in decisions], lw=0.9)
        bottom.set_ylabel("first token, ms")
        bottom.set_ylim(bottom=0)
        bottom.set_xlabel("seconds of the recording")
        bottom.grid(color="0.9", linewidth=0.7)
    return figure
