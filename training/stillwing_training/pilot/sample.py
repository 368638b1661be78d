"""Training sequences drawn from recorded flights: a trunk, and what is asked along it.

Counterfactual goals are the heart of it: at one frame the same trunk is asked for several goals, flown to or not, with
the expert's answer for each, so that nothing but the question says which is meant. It knows nothing of models.
"""

import numpy as np

from stillwing_training.pilot.config import COLOURS, GOALS
from stillwing_training.pilot.labels import SIGN_GOAL, Labels, Trunk
from stillwing_training.pilot.questions import Questions
from stillwing_training.pilot.recorded_frames import IN_VIEW_PX, Frames
from stillwing_training.pilot.sequence import Sequence, Words
from stillwing_training.pilot.trunks import Trunks


class Sampler:
    """Draws sequences; the same generator draws the same ones."""

    def __init__(
        self,
        frames: Frames,
        words: Words,
        rng: np.random.Generator,
        off_course_from: int | None = None,
        off_course_share: float = 0.0,
        maze_share: float = 0.0,
    ) -> None:
        """Of trunks, `off_course_share` are drawn from flights number `off_course_from` on, if there are any.

        `maze_share` are drawn from mazes alone, beside those that come up among all.
        """
        self._frames, self._rng = frames, rng
        labels = Labels(frames)
        self._showing = np.flatnonzero((frames.visible_px >= IN_VIEW_PX).any(axis=1))
        self._signed = np.flatnonzero(frames.visible_px[:, SIGN_GOAL] >= IN_VIEW_PX)
        self.trunks = Trunks(frames, labels.first, rng, off_course_from, off_course_share, maze_share)
        self._ask = Questions(frames, labels, words, rng)

    def grounding(self) -> tuple[Sequence, Trunk]:
        """One frame, mostly with a beacon in it, asked where beacons are and what to do about them.

        Beacons in view are asked about more often than others: where most answers are the same, a model that sees
        nothing yet settles on that answer and stays.
        """
        rng = self._rng
        row = int(rng.choice(self._showing) if rng.random() < 0.9 else rng.integers(len(self._frames)))
        signed = len(self._signed) > 0 and rng.random() < 0.12
        row = int(rng.choice(self._signed)) if signed else row
        trunk = Trunk(np.array([row]), 0, bool(self._frames.sign[row] < 0 and rng.random() < 0.5))
        sequence = Sequence(self._ask.system(), 1)
        if signed:
            self._ask.sign(sequence, trunk, 0)
        for colour in range(len(GOALS)):
            in_view = self._frames.visible_px[row, colour] >= IN_VIEW_PX
            if in_view or rng.random() < 0.2:
                self._ask.where(sequence, trunk, 0, colour)
                self._ask.action(sequence, trunk, 0, colour)
        if not sequence.branches:
            self._ask.action(sequence, trunk, 0, int(self._frames.goal[row]))
        return sequence, trunk

    def joint(self, length: int) -> tuple[Sequence, Trunk]:
        """A trunk of `length` frames, fewer where its flight ends, asked what to do for several goals all along it."""
        trunk = self.trunks.draw(length)
        sequence = Sequence(self._ask.system(), len(trunk.rows))
        for at, row in enumerate(trunk.rows):
            repeated = at + 1 < len(trunk.rows) and trunk.rows[at + 1] == row
            still = bool(self._frames.still[row])
            chance = 0.12 if repeated or not still else 0.9
            if self._rng.random() < chance:
                for colour in self._goals(int(row)):
                    self._ask.action(sequence, trunk, at, colour)
                if self._rng.random() < 0.15:
                    self._ask.where(sequence, trunk, at, self._sought(int(row)))
                if self._frames.sign[row] >= 0 and self._rng.random() < 0.5:
                    self._ask.sign(sequence, trunk, at)
        if not sequence.branches:
            self._ask.where(sequence, trunk, len(trunk.rows) - 1, int(self._rng.integers(len(COLOURS))), sure=True)
        return sequence, trunk

    def _goals(self, row: int) -> list[int]:
        """Goals to ask about: all that are there where a decision was made, else one; at times one that is not."""
        rng = self._rng
        there = [goal for goal in range(len(GOALS)) if not np.isnan(self._frames.bearing_deg[row, goal])]
        absent = [goal for goal in range(len(COLOURS)) if goal not in there]
        if SIGN_GOAL in there and rng.random() < 0.7:
            return [SIGN_GOAL]
        chosen = there if self._frames.still[row] else [there[int(rng.integers(len(there)))]]
        return [*chosen, absent[int(rng.integers(len(absent)))]] if absent and rng.random() < 0.2 else chosen

    def _sought(self, row: int) -> int:
        """What to ask the whereabouts of: in a maze mostly its sign."""
        if self._frames.sign[row] >= 0 and self._rng.random() < 0.7:
            return SIGN_GOAL
        return int(self._rng.integers(len(COLOURS)))
