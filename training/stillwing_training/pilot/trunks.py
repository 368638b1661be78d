"""The frames that a trunk holds, drawn from recorded flights, and the pictures of them that a model is shown.

It knows nothing of what is asked about them.
"""

import numpy as np
import numpy.typing as npt

from stillwing_training.pilot.config import COLOURS
from stillwing_training.pilot.labels import SIGN_GOAL, Trunk
from stillwing_training.pilot.recorded_frames import IN_VIEW_PX, Frames

_NEAR_PX = 3000
_RECALLED_SHARE = 0.4
_SINK_FROM_FRAMES = 9
_ZOOM = (0.95, 1.06)
_TILT = 0.02


class Trunks:
    """Draws trunks; the same generator draws the same ones."""

    def __init__(
        self,
        frames: Frames,
        first: npt.NDArray[np.int64],
        rng: np.random.Generator,
        off_course_from: int | None,
        off_course_share: float,
        maze_share: float,
    ) -> None:
        """`first` has each flight's first row. See `Sampler` for the rest."""
        self._frames, self._first, self._rng = frames, first, rng
        self._last = np.concatenate([first[1:], [len(frames)]])
        flights = len(first)
        self._flown_first = flights if off_course_from is None else min(off_course_from, flights)
        self._off_course_share = off_course_share if self._flown_first < flights else 0.0
        self._maze_share = maze_share
        self._mazes = np.flatnonzero(frames.sign[first] >= 0)

    def draw(self, wanted: int) -> Trunk:
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

    def pixels(self, trunk: Trunk) -> npt.NDArray[np.uint8]:
        """Pictures (n, 112, 140, 3) of a trunk, with light, noise and, for half of them, a camera of their own."""
        rng = self._rng
        pictures = self._frames.pixels[trunk.rows]
        if trunk.mirrored:
            pictures = pictures[:, :, ::-1]
        if rng.random() < 0.5:
            pictures = seen_through(pictures, float(rng.uniform(*_ZOOM)), float(rng.uniform(-1, 1) * _TILT))
        levels = np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.85, 1.18) * 255
        levels = levels * rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3) + rng.uniform(-10, 10)
        brighter = np.empty(pictures.shape, np.int16)
        for channel in range(3):
            brighter[..., channel] = levels[:, channel].astype(np.int16)[pictures[..., channel]]
        brighter += rng.integers(-3, 4, pictures.shape, dtype=np.int8)
        return np.clip(brighter, 0, 255, out=brighter).astype(np.uint8)


def seen_through(pictures: npt.NDArray[np.uint8], zoom: float, tilt: float) -> npt.NDArray[np.uint8]:
    """The same pictures (n, h, w, 3) through a lens `zoom` times as long, tilted by that share of the height.

    What the wider or tilted camera would show beyond the edge is the edge repeated.
    """
    height, width = pictures.shape[1:3]
    rows = np.clip(np.rint((np.arange(height) + 0.5 - height / 2) / zoom + height * (0.5 + tilt) - 0.5), 0, height - 1)
    columns = np.clip(np.rint((np.arange(width) + 0.5 - width / 2) / zoom + width / 2 - 0.5), 0, width - 1)
    return np.ascontiguousarray(pictures[:, rows.astype(int)][:, :, columns.astype(int)])
