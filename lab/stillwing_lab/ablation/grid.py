"""The settings that are compared, and what each one scored. It knows nothing of engines or plots."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

from stillwing_training.recall.model import GRID_TOKENS
from stillwing_training.recall.sample import SIGN_S, Layout
from stillwing_training.recall.task import Asked
from stillwing_training.statistics import wilson
from stillwing_vlm.core.requests import Eviction, EvictionLevel, EvictionPositions

BUDGET_TOKENS = (60, 120, 240)
"""Tokens beside opening text and sink: 10, 20 and 40 chunks of one frame."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One cell of the grid. `budget` counts tokens of the window alone."""

    budget: int
    chunk_frames: int
    fps: float
    level: str
    positions: str

    @property
    def layout(self) -> Layout:
        """How its stream is cut."""
        return Layout(round(self.fps * SIGN_S), self.chunk_frames)

    @property
    def chunk_tokens(self) -> int:
        """Tokens of one chunk."""
        return GRID_TOKENS * self.layout.grids + 2

    @property
    def eviction(self) -> Eviction:
        """As a session is opened with it."""
        return Eviction(EvictionLevel(self.level), EvictionPositions(self.positions))

    @property
    def key(self) -> str:
        """A name of its own, for files and tables."""
        return f"{self.budget}tok-{self.chunk_frames}f-{self.fps:g}fps-{self.level}-{self.positions}"


LEVELS = (("oldest", "contiguous"), ("oldest", "gap"), ("subsampled", "contiguous"), ("subsampled", "gap"))


def settings(quick: bool = False) -> list[Setting]:
    """The whole grid, or a corner of it."""
    if quick:
        return [
            Setting(budget, 1, 0.5, level, positions) for budget in BUDGET_TOKENS[:2] for level, positions in LEVELS
        ]
    return [
        Setting(budget, chunk_frames, fps, level, positions)
        for budget, chunk_frames, fps, (level, positions) in product(BUDGET_TOKENS, (1, 2, 4), (0.5, 1.0, 2.0), LEVELS)
    ]


@dataclass(frozen=True, slots=True)
class Rate:
    """A share with its 95 % interval (Wilson)."""

    right: int
    asked: int

    @property
    def share(self) -> float | None:
        """None where nothing was asked."""
        return self.right / self.asked if self.asked else None

    def plus(self, right: bool) -> "Rate":
        """With one more answer."""
        return Rate(self.right + int(right), self.asked + 1)

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values."""
        low, high = wilson(self.right, self.asked)
        return {"right": self.right, "asked": self.asked, "low": round(low, 4), "high": round(high, 4)}


_NONE_YET = Rate(0, 0)


@dataclass(slots=True)
class Score:
    """What one setting scored.

    `by_age`: colour named right, by signs ago; `visible`: among signs still in the trunk; `first`: the very first, in
    the sink; `honest`: "none" said of signs that have left.
    """

    setting: Setting
    by_age: dict[int, Rate]
    visible: Rate = _NONE_YET
    first: Rate = _NONE_YET
    honest: Rate = _NONE_YET
    streams: int = 0

    def add(self, answers: Iterable[Asked]) -> None:
        """Count one stream's answers."""
        self.streams += 1
        for asked in answers:
            if asked.age < 0:
                self.first = self.first.plus(asked.right)
                continue
            self.by_age[asked.age] = self.by_age.get(asked.age, _NONE_YET).plus(asked.right)
            if asked.visible:
                self.visible = self.visible.plus(asked.right)
            else:
                self.honest = self.honest.plus(asked.said_none)

    @property
    def reach_signs(self) -> int:
        """The oldest age up to which every age asked was right at least three times in four; -1 where none was."""
        reach = -1
        for age, rate in sorted(self.by_age.items()):
            if (rate.share or 0.0) < 0.75:
                break
            reach = age
        return reach

    @property
    def recall(self) -> float:
        """Mean share of right answers over all ages asked, each age counting alike."""
        shares = [rate.share or 0.0 for rate in self.by_age.values()]
        return sum(shares) / len(shares) if shares else 0.0

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `from_json` reads it."""
        return {
            "setting": asdict(self.setting),
            "streams": self.streams,
            "recall": round(self.recall, 4),
            "reach_signs": self.reach_signs,
            "by_age": {str(age): rate.to_json() for age, rate in sorted(self.by_age.items())},
            "visible": self.visible.to_json(),
            "first": self.first.to_json(),
            "honest": self.honest.to_json(),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Score":
        """What `to_json` wrote."""
        return cls(
            Setting(**stored["setting"]),
            {int(age): _rate(rate) for age, rate in stored["by_age"].items()},
            _rate(stored["visible"]),
            _rate(stored["first"]),
            _rate(stored["honest"]),
            stored["streams"],
        )


def _rate(stored: dict[str, Any]) -> Rate:
    return Rate(stored["right"], stored["asked"])
