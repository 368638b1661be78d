"""Training sequences drawn from recorded flights: which frames a trunk holds, what is asked at them, what is right.

Counterfactual goals are the heart of it: at one frame the same trunk is asked for several goals, flown to or not, with
the expert's answer for each, so that nothing but the question says which is meant. It knows nothing of models.
"""

import math

import numpy as np
import numpy.typing as npt

from stillwing_agent.core.prompting.prompts import (
    CHOICES,
    FLY_TOWARDS,
    MOVE,
    TOOLS,
    ToolSpec,
    choice_prompt,
    decision_prompt,
    dump_tool_call,
    system_prompt,
    where_prompt,
)
from stillwing_training.pilot.config import (
    ACTIONS,
    COLOURS,
    GOALS,
    STEP_M,
    WHERES,
)
from stillwing_training.pilot.expert import FORWARD, LEFT, RIGHT, STOP, where
from stillwing_training.pilot.labels import SIGN_GOAL, Labels, Trunk
from stillwing_training.pilot.rollout import IN_VIEW_PX, Frames
from stillwing_training.pilot.sequence import END, Branch, Sequence, Words
from stillwing_training.pilot.tokenizer import SIGN_QUESTION, goal_texts, thing

_TEMPLATE_WEIGHT = 0.1
_LOOKING_ROUND_SHARE = 0.4
_CLOSE_PX = 5000
_NEAR_PX = 3000
_RECALLED_SHARE = 0.4
_SINK_FROM_FRAMES = 9
_STEER_MOST_DEG = 36.0
_STEER_GRID = 0.05
_ZOOM = (0.95, 1.06)
_TILT = 0.02


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
        self._frames, self._words, self._rng = frames, words, rng
        self._labels = Labels(frames)
        self._first = self._labels.first
        self._last = np.concatenate([self._first[1:], [len(frames)]])
        self._showing = np.flatnonzero((frames.visible_px >= IN_VIEW_PX).any(axis=1))
        self._signed = np.flatnonzero(frames.visible_px[:, SIGN_GOAL] >= IN_VIEW_PX)
        flights = len(self._first)
        self._flown_first = flights if off_course_from is None else min(off_course_from, flights)
        self._off_course_share = off_course_share if self._flown_first < flights else 0.0
        self._maze_share = maze_share
        self._mazes = np.flatnonzero(frames.sign[self._first] >= 0)
        self._full_system = words.system(system_prompt())
        self._by_pixels = False

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
        sequence = Sequence(self._system(), 1)
        if signed:
            self._ask_sign(sequence, trunk, 0)
        for colour in range(len(GOALS)):
            in_view = self._frames.visible_px[row, colour] >= IN_VIEW_PX
            if in_view or rng.random() < 0.2:
                self._ask_where(sequence, trunk, 0, colour)
                self._ask_action(sequence, trunk, 0, colour)
        if not sequence.branches:
            self._ask_action(sequence, trunk, 0, int(self._frames.goal[row]))
        return sequence, trunk

    def joint(self, length: int) -> tuple[Sequence, Trunk]:
        """A trunk of `length` frames, fewer where its flight ends, asked what to do for several goals all along it."""
        trunk = self._trunk(length)
        sequence = Sequence(self._system(), len(trunk.rows))
        for at, row in enumerate(trunk.rows):
            repeated = at + 1 < len(trunk.rows) and trunk.rows[at + 1] == row
            still = bool(self._frames.still[row])
            chance = 0.12 if repeated or not still else 0.9
            if self._rng.random() < chance:
                for colour in self._goals(int(row)):
                    self._ask_action(sequence, trunk, at, colour)
                if self._rng.random() < 0.15:
                    self._ask_where(sequence, trunk, at, self._sought(int(row)))
                if self._frames.sign[row] >= 0 and self._rng.random() < 0.5:
                    self._ask_sign(sequence, trunk, at)
        if not sequence.branches:
            self._ask_where(sequence, trunk, len(trunk.rows) - 1, int(self._rng.integers(len(COLOURS))), sure=True)
        return sequence, trunk

    def pixels(self, trunk: Trunk) -> npt.NDArray[np.uint8]:
        """Pictures (n, 112, 140, 3) of a trunk, with light, noise and, for half of them, a camera of their own."""
        rng = self._rng
        pictures = self._frames.pixels[trunk.rows]
        if trunk.mirrored:
            pictures = pictures[:, :, ::-1]
        if rng.random() < 0.5:
            pictures = _seen_through(pictures, float(rng.uniform(*_ZOOM)), float(rng.uniform(-1, 1) * _TILT))
        levels = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.85, 1.18) * 255
        levels = levels * rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3) + rng.uniform(-10, 10)
        brighter = np.empty(pictures.shape, np.int16)
        for channel in range(3):
            brighter[..., channel] = levels[:, channel].astype(np.int16)[pictures[..., channel]]
        brighter += rng.integers(-3, 4, pictures.shape, dtype=np.int8)
        return np.clip(brighter, 0, 255, out=brighter).astype(np.uint8)

    def _system(self) -> list[int]:
        """The opening text; where it names `fly_towards` and not `move`, steps are told as points of the picture."""
        rng = self._rng
        chance = rng.random()
        if chance < 0.6:
            self._by_pixels = False
            return self._full_system
        kept: list[ToolSpec] = [tool for tool in TOOLS if rng.random() < 0.7 or tool in (MOVE, FLY_TOWARDS)]
        self._by_pixels = chance < 0.85
        kept.remove(MOVE if self._by_pixels else FLY_TOWARDS)
        return self._words.system(system_prompt(kept))

    def _trunk(self, wanted: int) -> Trunk:
        """Frames from some moment of one flight on, repeated as in hovering, some left out, perhaps behind a sink.

        Behind the sink there may be frames from before that were recalled: in a maze one with the sign is among them,
        elsewhere often one right before a beacon, so that being near once is not taken for being near now.
        """
        rng, frames = self._rng, self._frames
        off_course = rng.random() < self._off_course_share
        among = (self._flown_first, len(self._first)) if off_course else (0, self._flown_first)
        mazes = self._mazes[(self._mazes >= among[0]) & (self._mazes < among[1])]
        # No number is drawn where there is nothing to choose: what was drawn before there were shares stays the same.
        only_mazes = self._maze_share > 0 and len(mazes) > 0 and rng.random() < self._maze_share
        flight = int(rng.choice(mazes) if only_mazes else rng.integers(*among))
        first, last = int(self._first[flight]), int(self._last[flight])
        maze = bool(frames.sign[first] >= 0)
        moving_share, repeats = rng.choice((0.0, 0.5, 1.0)), int(rng.choice((0, 1, 2, 3), p=(0.4, 0.3, 0.2, 0.1)))
        row = int(rng.integers(first, max(first + 1, last - wanted // 2)))
        signed = first + np.flatnonzero(frames.visible_px[first:last, SIGN_GOAL] >= IN_VIEW_PX)
        if maze and len(signed) and rng.random() < 0.5:
            # From where the sign is in view on, so that it is still there when the turn depends on it.
            row, moving_share, repeats = int(rng.choice(signed)), rng.choice((0.0, 0.3)), 0
        start, picked = row, list[int]()
        while row < last and len(picked) < wanted:
            if frames.still[row]:
                picked += [row] * (1 + int(rng.integers(0, repeats + 1)))
            elif rng.random() < moving_share:
                picked.append(row)
            row += 1
        rows = np.array(picked[:wanted] or [start], dtype=np.int64)
        separate = 0
        if start > first and len(rows) >= _SINK_FROM_FRAMES and rng.random() < 0.75:
            earlier = [int(rng.integers(first, start))]
            before = signed[signed < start]
            if maze and len(before) and rng.random() < 0.8:
                earlier += [int(rng.choice(before)), *self._some(first, start, int(rng.integers(0, 3)))]
            elif rng.random() < _RECALLED_SHARE:
                near = first + np.flatnonzero(frames.visible_px[first:start, : len(COLOURS)].max(1) >= _NEAR_PX)
                earlier += self._some(first, start, int(rng.integers(0, 3)))
                earlier.append(int(rng.choice(near)) if len(near) and rng.random() < 0.6 else earlier[0])
            separate = len(earlier)
            rows[:separate] = [earlier[0], *sorted(earlier[1:])]
        return Trunk(rows, separate, bool(not maze and rng.random() < 0.4))

    def _some(self, first: int, last: int, count: int) -> list[int]:
        return [int(row) for row in self._rng.integers(first, last, count)]

    def _goals(self, row: int) -> list[int]:
        """Goals to ask about: all that are there where a decision was made, else one; at times one that is not."""
        rng = self._rng
        there = [goal for goal in range(len(GOALS)) if not np.isnan(self._frames.bearing_deg[row, goal])]
        absent = [goal for goal in range(len(COLOURS)) if goal not in there]
        if SIGN_GOAL in there and rng.random() < 0.7:
            return [SIGN_GOAL]
        chosen = there if self._frames.still[row] else [there[int(rng.integers(len(there)))]]
        return [*chosen, absent[int(rng.integers(len(absent)))]] if absent and rng.random() < 0.2 else chosen

    def _ask_action(self, sequence: Sequence, trunk: Trunk, at: int, colour: int) -> None:
        """Ask for an action, and at times also as if moving forward had just been refused."""
        action = self._labels.right_action(trunk, at, colour, refused=False)
        if action is None:
            return
        meant = self._labels.meant(trunk, at, colour)
        steer_deg = float(self._frames.steer_deg[trunk.rows[at], meant]) * (-1 if trunk.mirrored else 1)
        seen = self._labels.is_seen(trunk, at, meant)
        # To look round to the right is soon learnt; asked about as often as it is right, it becomes the way out of
        # every doubt.
        if not seen and sequence.branches and self._rng.random() > _LOOKING_ROUND_SHARE:
            return
        self._ask_one(
            sequence,
            at,
            colour,
            action,
            self._labels.emphasis(trunk, at, meant, action),
            steer_deg=steer_deg if seen else None,
        )
        instead = None if self._by_pixels else self._after_refusal(trunk, at, colour, action)
        if instead is not None:
            self._ask_one(sequence, at, colour, instead, 1.0, "OBSTRUCTED")

    def _after_refusal(self, trunk: Trunk, at: int, colour: int, action: int) -> int | None:
        """The action after a refused move, or None where it is not to be asked for; never `FORWARD`."""
        frames, rng, row = self._frames, self._rng, trunk.rows[at]
        if frames.refused_action[row, colour] >= 0:
            return self._labels.right_action(trunk, at, colour, refused=True) if rng.random() < 0.8 else None
        if action != FORWARD:
            return action if rng.random() < 0.06 else None
        if colour == SIGN_GOAL:
            return None
        # A refusal out of the blue is believed, too: the guard measures what the picture may not show.
        visible_px = int(frames.visible_px[row, colour])
        if not IN_VIEW_PX <= visible_px < _CLOSE_PX or rng.random() > 0.25:
            return None
        right = (float(frames.bearing_deg[row, colour]) > 0) != trunk.mirrored
        return RIGHT if right else LEFT

    def _ask_one(
        self,
        sequence: Sequence,
        at: int,
        colour: int,
        action: int,
        emphasis: float,
        refusal: str | None = None,
        steer_deg: float | None = None,
    ) -> None:
        rng = self._rng
        texts = goal_texts(GOALS[colour])
        goal = texts[0] if len(texts) == 1 or rng.random() < 0.85 else texts[int(rng.integers(1, len(texts)))]
        if self._by_pixels and steer_deg is not None and action != STOP and abs(steer_deg) <= _STEER_MOST_DEG:
            answer, weights, decided = self._pixel_call(steer_deg, emphasis)
            kept = len(answer) if rng.random() < 0.12 else decided
            question = decision_prompt(goal, refusal)
        elif rng.random() < 0.25:
            answer = [*self._words.ids(ACTIONS[action]), END]
            weights = [emphasis, _TEMPLATE_WEIGHT]
            kept = 2 if rng.random() < 0.15 else 1
            question = choice_prompt(goal, refusal)
        else:
            answer, weights, decided = self._tool_call(action, emphasis)
            kept = len(answer) if rng.random() < 0.12 else decided
            question = decision_prompt(goal, refusal)
        sequence.branches.append(self._words.branch(at, question, answer[:kept], weights[:kept]))

    def _tool_call(self, action: int, emphasis: float) -> tuple[list[int], list[float], int]:
        """Tokens of the call, their weights, and how many it takes until nothing is left to decide."""
        answer = [*self._words.ids(dump_tool_call(CHOICES[ACTIONS[action]])), END]
        weights = [_TEMPLATE_WEIGHT] * len(answer)
        # `{"name":"` NAME `","arguments":{"direction":"` DIRECTION …: the name decides, for a turn the direction too.
        weights[1] = emphasis
        turns = ACTIONS[action] in ("left", "right")
        if turns:
            weights[3] = emphasis
        return answer, weights, 4 if turns else 2

    def _pixel_call(self, steer_deg: float, emphasis: float) -> tuple[list[int], list[float], int]:
        """`fly_towards` the column of the picture that lies at that bearing, on the horizon (pinhole, 90° across)."""
        u = round((0.5 + math.tan(math.radians(steer_deg)) / 2) / _STEER_GRID) * _STEER_GRID
        call = {"name": FLY_TOWARDS.name, "arguments": {"u": round(u, 2), "v": 0.5, "step_m": int(STEP_M)}}
        answer = [*self._words.ids(dump_tool_call(call)), END]
        before_v = len(self._words.ids(dump_tool_call(call).partition(',"v"')[0]))
        weights = [_TEMPLATE_WEIGHT] * len(answer)
        weights[1] = emphasis
        weights[3:before_v] = [emphasis] * (before_v - 3)
        return answer, weights, before_v

    def _ask_sign(self, sequence: Sequence, trunk: Trunk, at: int) -> None:
        """What a sign said, wherever in the trunk it was; nothing where it is not clear whether it was seen."""
        seen_px = int(self._frames.visible_px[trunk.rows[: at + 1], SIGN_GOAL].max())
        if 0 < seen_px < IN_VIEW_PX:
            return
        word = ("left", "right")[int(self._frames.sign[trunk.rows[at]])] if seen_px else "none"
        answer = [*self._words.ids(word), END]
        branch = self._words.branch(at, SIGN_QUESTION, answer[:1], [1.0 if seen_px else 0.3])
        sequence.branches.append(branch)

    def _sought(self, row: int) -> int:
        """What to ask the whereabouts of: in a maze mostly its sign."""
        if self._frames.sign[row] >= 0 and self._rng.random() < 0.7:
            return SIGN_GOAL
        return int(self._rng.integers(len(COLOURS)))

    def _ask_where(self, sequence: Sequence, trunk: Trunk, at: int, colour: int, *, sure: bool = False) -> None:
        """Where a beacon or the sign is in frame `at`; left out where that is unclear, unless `sure` to be asked."""
        row = trunk.rows[at]
        visible_px = int(self._frames.visible_px[row, colour])
        if 0 < visible_px < IN_VIEW_PX and not sure:
            return
        there_deg = (
            self._labels.sign_deg(int(row)) if colour == SIGN_GOAL else float(self._frames.bearing_deg[row, colour])
        )
        bearing_deg = there_deg * (-1 if trunk.mirrored else 1)
        word = WHERES[where(bearing_deg, visible_px >= IN_VIEW_PX)]
        answer = [*self._words.ids(word), END]
        weights = [0.5 if word == "none" else 1.0, _TEMPLATE_WEIGHT]
        kept = 2 if self._rng.random() < 0.15 else 1
        question = where_prompt(thing(GOALS[colour]))
        sequence.branches.append(self._words.branch(at, question, answer[:kept], weights[:kept]))


def _seen_through(pictures: npt.NDArray[np.uint8], zoom: float, tilt: float) -> npt.NDArray[np.uint8]:
    """The same pictures (n, h, w, 3) through a lens `zoom` times as long, tilted by that share of the height.

    What the wider or tilted camera would show beyond the edge is the edge repeated.
    """
    height, width = pictures.shape[1:3]
    rows = np.clip(np.rint((np.arange(height) + 0.5 - height / 2) / zoom + height * (0.5 + tilt) - 0.5), 0, height - 1)
    columns = np.clip(np.rint((np.arange(width) + 0.5 - width / 2) / zoom + width / 2 - 0.5), 0, width - 1)
    return np.ascontiguousarray(pictures[:, rows.astype(int)][:, :, columns.astype(int)])


__all__ = ["Branch", "Sampler", "Trunk"]
