"""What an experiment leaves behind: a verdict with its reasons as text, every number as JSON, and plots.

It knows nothing of what was measured.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

COLOURS = ("#1b6ca8", "#d1495b", "#2a9d4e", "#8d5fb5", "#e0902c", "#5c6670")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold, and what was found."""

    claim: str
    held: bool
    found: str

    def line(self) -> str:
        """One line of the report."""
        return f"[{'ok' if self.held else 'NO'}] {self.claim}: {self.found}"


@dataclass(slots=True)
class ExperimentReport:
    """A named result. `subject` says on what, `numbers` holds all that was measured, as plain JSON values."""

    name: str
    title: str
    subject: dict[str, Any]
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether everything that must hold did."""
        return all(check.held for check in self.checks)

    def text(self) -> str:
        """The report for people."""
        about = [f"{key}: {value}" for key, value in self.subject.items()]
        return "\n".join([self.title, "=" * len(self.title), *about, "", *(c.line() for c in self.checks), *self.notes])

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "experiment": self.name,
            "held": self.held,
            "subject": self.subject,
            "checks": [{"claim": c.claim, "held": c.held, "found": c.found} for c in self.checks],
            "notes": self.notes,
            "numbers": self.numbers,
        }

    def save(self, folder: Path, draw: Callable[["ExperimentReport"], Figure]) -> None:
        """Write `report.txt`, `report.json` and `plot.png` into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.txt").write_text(self.text() + "\n", encoding="utf-8")
        (folder / "report.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
            draw(self).savefig(folder / "plot.png", dpi=130)


def results_folder(name: str, out: Path | None) -> Path:
    """`out`, or a folder of its own under `results/`."""
    return out or Path("results") / f"{name}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
