"""Positions on the three rotary axes (time, row, column) of text and vision tokens, as one running cursor.

Followed rule: text moves all three axes by one a token; a vision block starts at the cursor, grid `k` in time adds
`floor(k * seconds_per_grid * tokens_per_second)`, rows and columns add their index after the spatial merge, and the
cursor then stands one past the largest position used on any axis. That is the rule the models were trained with
(transformers 4.x `get_rope_index`). transformers 5.x moves the cursor by the larger side of the grid alone, so that the
text after a video of many grids would overlap with it in time while decoded tokens would not; the two rules agree for
every image and for every video whose last grid in time is below its larger side.

It knows nothing of caches or angles; positions are exact integers.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]


class Grid(NamedTuple):
    """Patches of one vision block: grids in time, rows, columns; rows and columns before the spatial merge."""

    time: int
    rows: int
    columns: int

    def merged_tokens(self, merge: int) -> int:
        """Tokens the language model sees for this block."""
        return self.time * (self.rows // merge) * (self.columns // merge)


def text_positions(cursor: int, length: int) -> tuple[Positions, int]:
    """Positions `int64[3, length]` of text that starts at `cursor`, and the cursor after it."""
    line = np.arange(cursor, cursor + length, dtype=np.int64)
    return np.broadcast_to(line, (3, length)).copy(), cursor + length


def vision_positions(
    cursor: int, grid: Grid, *, merge: int, tokens_per_second: float = 1.0, seconds_per_grid: float = 1.0
) -> tuple[Positions, int]:
    """Positions `int64[3, grid.merged_tokens(merge)]` of a vision block, and the cursor after it.

    For a single image `grid.time` is 1 and the two rates do not matter.
    """
    rows, columns = grid.rows // merge, grid.columns // merge
    steps = np.floor(np.arange(grid.time) * (tokens_per_second * seconds_per_grid)).astype(np.int64)
    axes = np.meshgrid(steps, np.arange(rows, dtype=np.int64), np.arange(columns, dtype=np.int64), indexing="ij")
    positions = np.stack(axes).reshape(3, -1) + cursor
    return positions, int(positions.max()) + 1
