"""What is asked at a frame of a trunk, with the right answer in the words of flight and what each of its tokens counts.

It knows nothing of how trunks are drawn.
"""

import math

import numpy as np

from stillwing_agent.core.prompting.prompts import (
    CHOICES,
    FLY_TOWARDS,
    MOVE,
    TOOLS,
    WHERES,
    ToolSpec,
    choice_prompt,
    decision_prompt,
    dump_tool_call,
    system_prompt,
    where_prompt,
)
from stillwing_training.pilot.config import ACTIONS, GOALS, STEP_M
from stillwing_training.pilot.expert import FORWARD, LEFT, RIGHT, STOP, where
from stillwing_training.pilot.labels import SIGN_GOAL, Labels, Trunk
from stillwing_training.pilot.recorded_frames import IN_VIEW_PX, Frames
from stillwing_training.pilot.sequence import END, Sequence, Words
from stillwing_training.pilot.tokenizer import SIGN_QUESTION, goal_texts, thing

_TEMPLATE_WEIGHT = 0.1
_LOOKING_ROUND_SHARE = 0.4
_CLOSE_PX = 5000
_STEER_MOST_DEG = 36.0
_STEER_GRID = 0.05


class Questions:
    """Questions about some recorded flights; the same generator words the same ones in the same way."""

    def __init__(self, frames: Frames, labels: Labels, words: Words, rng: np.random.Generator) -> None:
        self._frames, self._labels, self._words, self._rng = frames, labels, words, rng
        self._full_system = words.system(system_prompt())
        self._by_pixels = False

    def system(self) -> list[int]:
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

    def action(self, sequence: Sequence, trunk: Trunk, at: int, colour: int) -> None:
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

    def sign(self, sequence: Sequence, trunk: Trunk, at: int) -> None:
        """What a sign said, wherever in the trunk it was; nothing where it is not clear whether it was seen."""
        seen_px = int(self._frames.visible_px[trunk.rows[: at + 1], SIGN_GOAL].max())
        if 0 < seen_px < IN_VIEW_PX:
            return
        word = ("left", "right")[int(self._frames.sign[trunk.rows[at]])] if seen_px else "none"
        answer = [*self._words.ids(word), END]
        branch = self._words.branch(at, SIGN_QUESTION, answer[:1], [1.0 if seen_px else 0.3])
        sequence.branches.append(branch)

    def where(self, sequence: Sequence, trunk: Trunk, at: int, colour: int, *, sure: bool = False) -> None:
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
