"""Frames of flights with the truth beside them, from which any goal can be asked afterwards at any frame.

It knows nothing of how they were flown or of what is learnt from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stillwing_training.pilot.config import COLOURS

IN_VIEW_PX = 25
"""Pixels of the flight camera's picture from which a beacon or a sign counts as seen."""

DENSE_CLASSES = (*COLOURS, "tree", "ground", "sky", "wall", "red sign", "blue sign")
"""What a cell of the picture can hold; the truth of stage 0."""

COLUMN_TYPES = (
    np.uint8, np.int32, np.bool_, np.int32, np.int8, np.int8, np.float32, np.float32, np.int8, np.int8,
    np.float16, np.float16,
)  # fmt: skip
"""Of the arrays of `Frames`, in their order."""


@dataclass
class Frames:
    """Recorded frames of several flights, in order; arrays share their first axis n.

    Attributes:
        pixels: uint8 (n, 112, 140, 3), RGB, after JPEG and resizing.
        flight: int32 (n,), which flight; a flight is one scene.
        still: bool (n,), taken hovering, where a decision was made, rather than under way.
        visible_px: int32 (n, 5), pixels of each of `GOALS` at the flight camera's size; of the sign, the sign's own.
        action: int8 (n, 5), the expert's action for each of `GOALS`, its place known.
        refused_action: int8 (n, 5), the same where moving forward has just been refused; -1 where it would not be.
        bearing_deg: float32 (n, 5), of each goal's beacon, right positive, NaN where there is none.
        steer_deg: float32 (n, 5), of the way to it: where to fly at, NaN where there is none.
        goal: int8 (n,), the one of `GOALS` flown to.
        sign: int8 (n,), the flight's sign: 0 sends left, 1 right, -1 there is none.
        cells: float16 (n, 20, 10), share of each `DENSE_CLASSES` in each cell of the picture.
        nearness: float16 (n, 20), inverse of the least depth in each cell, 1/m.
    """

    pixels: npt.NDArray[np.uint8]
    flight: npt.NDArray[np.int32]
    still: npt.NDArray[np.bool_]
    visible_px: npt.NDArray[np.int32]
    action: npt.NDArray[np.int8]
    refused_action: npt.NDArray[np.int8]
    bearing_deg: npt.NDArray[np.float32]
    steer_deg: npt.NDArray[np.float32]
    goal: npt.NDArray[np.int8]
    sign: npt.NDArray[np.int8]
    cells: npt.NDArray[np.float16]
    nearness: npt.NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.flight)

    def save(self, path: Path) -> None:
        """Write to `path`, whole or not at all."""
        partial = path.with_suffix(".partial.npz")
        np.savez(partial, **vars(self))
        partial.rename(path)

    @classmethod
    def load(cls, path: Path) -> "Frames":
        """Read what `save` wrote."""
        with np.load(path) as stored:
            return cls(**{name: stored[name] for name in stored.files})

    @classmethod
    def count(cls, path: Path) -> int:
        """How many frames `save` wrote there."""
        with np.load(path) as stored:
            return len(stored["flight"])

    @classmethod
    def load_all(cls, paths: "Sequence[Path]") -> "Frames":
        """All of them one after the other, flights renumbered so that none coincide.

        One file at a time is in memory beside the whole: pictures of a training fill gigabytes.
        """
        counts = [cls.count(path) for path in paths]
        columns: dict[str, npt.NDArray[Any]] = {}
        first, at = 0, 0
        for path, count in zip(paths, counts, strict=True):
            part = cls.load(path)
            part.flight = (part.flight - part.flight.min() + first).astype(np.int32)
            first = int(part.flight.max()) + 1
            for name, column in vars(part).items():
                if name not in columns:
                    columns[name] = np.empty((sum(counts), *column.shape[1:]), column.dtype)
                columns[name][at : at + count] = column
            at += count
        return cls(**columns)
