"""What is right at a frame of a trunk, and how much it counts there, from the truth recorded beside the pictures.

It knows nothing of words, models or of how trunks are drawn.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwing_training.pilot.config import CAMERA_HFOV_DEG, CELL_COLUMNS, CELL_ROWS, COLOURS, GOALS, SIGN
from stillwing_training.pilot.expert import FORWARD, LEFT, MIRRORED_ACTION, RIGHT, STOP, straight_action
from stillwing_training.pilot.recorded_frames import DENSE_CLASSES, IN_VIEW_PX, Frames

SIGN_GOAL = GOALS.index(SIGN)
_DETOUR_WEIGHT = 1.5
_CHANGE_WEIGHT = 2.0
_FAINT_WEIGHT = 2.0
_FAINT_PX = 150
_TURNED_DEG = 7.0
_JUNCTION_DEG = 30.0
_SIGN_CLASSES = [index for index, name in enumerate(DENSE_CLASSES) if name.endswith("sign")]


@dataclass(frozen=True)
class Trunk:
    """Frames of one trunk as rows of `Frames`.

    `separate` of them come from earlier than the rest: the sink, and frames recalled behind it.
    """

    rows: npt.NDArray[np.int64]
    separate: int
    mirrored: bool


class Labels:
    """Right answers for every frame and goal of some recorded flights."""

    def __init__(self, frames: Frames) -> None:
        self._frames = frames
        edges = np.flatnonzero(np.diff(frames.flight)) + 1
        self.first = np.concatenate([[0], edges])
        self._done = _actions_done(frames, self.first)

    def right_action(self, trunk: Trunk, at: int, colour: int, *, refused: bool) -> int | None:
        """The expert's action at frame `at`, or None where it is unclear whether the beacon was seen.

        A beacon that no frame of the window shows is looked for to the right, and so is a sign; what only a frame from
        long ago shows tells nothing of where a beacon is now, and everything of what a sign said.
        """
        frames = self._frames
        colour = self.meant(trunk, at, colour)
        window = trunk.rows[min(trunk.separate, at) : at + 1]
        seen_px = frames.visible_px[trunk.rows[: at + 1] if colour == SIGN_GOAL else window, colour]
        if seen_px.max() < IN_VIEW_PX:
            return self._unseen(int(trunk.rows[at]), colour) if seen_px.max() == 0 else None
        if np.isnan(frames.bearing_deg[trunk.rows[at], colour]):
            return None
        row = trunk.rows[at]
        action = int(frames.refused_action[row, colour] if refused else frames.action[row, colour])
        return int(MIRRORED_ACTION[action]) if trunk.mirrored else action

    def meant(self, trunk: Trunk, at: int, colour: int) -> int:
        """The goal whose way is flown for `colour`: the beacon last in view, for a sign that the trunk does not show.

        A sign is forgotten on the way to where it sent; whoever then sees a beacon is in that arm, and does not go back
        to look for the sign.
        """
        if colour != SIGN_GOAL or self._frames.visible_px[trunk.rows[: at + 1], SIGN_GOAL].max() > 0:
            return colour
        visible_px = self._frames.visible_px[trunk.rows[min(trunk.separate, at) : at + 1], : len(COLOURS)]
        shown = np.flatnonzero(visible_px.max(axis=1) >= IN_VIEW_PX)
        return int(visible_px[shown[-1]].argmax()) if len(shown) else colour

    def _unseen(self, row: int, colour: int) -> int | None:
        """What to do about what was not seen: look for it to the right.

        Beyond the sign, whoever has forgotten it can but guess, and guessing is not taught.
        """
        if colour != SIGN_GOAL:
            return RIGHT
        flight = int(np.searchsorted(self.first, row, side="right")) - 1
        before = self._frames.visible_px[self.first[flight] : row, SIGN_GOAL]
        return RIGHT if len(before) == 0 or before.max() == 0 else None

    def is_seen(self, trunk: Trunk, at: int, colour: int) -> bool:
        rows = trunk.rows[0 if colour == SIGN_GOAL else min(trunk.separate, at) : at + 1]
        return bool(self._frames.visible_px[rows, colour].max() >= IN_VIEW_PX)

    def emphasis(self, trunk: Trunk, at: int, colour: int, action: int) -> float:
        """What an answer counts: more where it is another than the way straight to a beacon in view.

        That is before a tree, and where only memory tells: a turn by a sign, a turn back to a beacon out of view,
        other than the turn that is right for looking round. Most of all where it is another than what was done last:
        a turn follows a turn so often that one is easily learnt from the other; and where the beacon is so far away
        that it is a few points of the picture: whoever misses it looks round for ever.
        """
        frames, row = self._frames, trunk.rows[at]
        done = int(self._done[row])
        if action != STOP and done >= 0 and action != (MIRRORED_ACTION[done] if trunk.mirrored else done):
            return _CHANGE_WEIGHT
        if colour != SIGN_GOAL and IN_VIEW_PX <= frames.visible_px[row, colour] < _FAINT_PX:
            return _FAINT_WEIGHT
        in_view = frames.visible_px[row, colour] >= IN_VIEW_PX
        if not in_view and not self.is_seen(trunk, at, colour):
            return 1.0
        if colour == SIGN_GOAL:
            # Steps that keep to the middle of a corridor are no turns.
            turns = action in (LEFT, RIGHT) and abs(float(frames.steer_deg[row, colour])) > _JUNCTION_DEG
            return _DETOUR_WEIGHT if turns and not in_view else 1.0
        if not in_view:
            return _DETOUR_WEIGHT if action == LEFT else 1.0
        if action == STOP or frames.action[row, colour] == straight_action(float(frames.bearing_deg[row, colour])):
            return 1.0
        return _DETOUR_WEIGHT

    def sign_deg(self, row: int) -> float:
        """Bearing of the sign in a picture, right positive, from the columns it covers; 0 where there is none."""
        shares = self._frames.cells[row][:, _SIGN_CLASSES].sum(axis=1, dtype=np.float64)
        columns = shares.reshape(CELL_ROWS, CELL_COLUMNS).sum(axis=0)
        if columns.sum() == 0:
            return 0.0
        u = float((columns * (np.arange(CELL_COLUMNS) + 0.5)).sum() / columns.sum()) / CELL_COLUMNS
        return math.degrees(math.atan((2 * u - 1) * math.tan(math.radians(CAMERA_HFOV_DEG / 2))))


def _actions_done(frames: Frames, first_rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int8]:
    """What was done between the decision before each frame and that frame, (n,), by how far everything went round.

    Index into `ACTIONS`; -1 at a flight's first decision.
    """
    rows = np.arange(len(frames))
    decided = np.maximum.accumulate(np.where(frames.still, rows, -1))
    before = np.concatenate([[-1], decided[:-1]])
    flight_starts = first_rows[np.searchsorted(first_rows, rows, side="right") - 1]
    known = before >= flight_starts
    done = np.full(len(frames), -1, np.int8)
    went_deg = (frames.bearing_deg[known] - frames.bearing_deg[before[known]] + 180) % 360 - 180
    turned_deg = np.nanmedian(went_deg, axis=1)
    done[known] = np.select([turned_deg < -_TURNED_DEG, turned_deg > _TURNED_DEG], [RIGHT, LEFT], FORWARD)
    return done
