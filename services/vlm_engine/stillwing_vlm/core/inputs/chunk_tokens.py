"""How a model family writes one chunk into its context: the text around the vision tokens, and the position of each.

The Qwen2 families put a chunk, however many grids in time it has, between one pair of delimiters. Qwen3-VL was trained
with every grid in a pair of its own, behind its time in words: `<12.5 seconds>`. Times count from the first frame of
the session, on its clock; a frame of another clock, or from before, stands without one, as a single image does.

It knows nothing of caches, features or pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from stillwing_common.types import Stamp
from stillwing_vlm.core.inputs.positions import Grid, Positions, text_positions, vision_positions
from stillwing_vlm.core.inputs.text import ChatText

VISION = -1
"""Stands in `ChunkLayout.token_ids` where a vision token goes."""

LONGEST_LABEL_S = 1e5
"""Seconds after which a time in words is reckoned no longer in plans of the budget: a day and a bit."""


@dataclass(frozen=True, slots=True)
class ChunkFormat:
    """What a family does. `merge`: patches on a side of one vision token."""

    merge: int
    tokens_per_second: float | None
    """Positions a second of video takes on the time axis; None: one a grid, whatever the time between them."""
    timed_grids: bool
    """Whether every grid in time stands between delimiters of its own, behind its time in words."""


@dataclass(frozen=True, slots=True, eq=False)
class ChunkLayout:
    """One chunk as the language model reads it.

    `token_ids` int64[tokens], `VISION` where a vision token stands; `features` int64[vision tokens]: which of the
    encoder's outputs those are, in order; `positions` int64[3, tokens]; `cursor`: where what comes next stands.
    """

    token_ids: npt.NDArray[np.int64]
    features: npt.NDArray[np.int64]
    positions: Positions
    cursor: int

    @property
    def tokens(self) -> int:
        """Tokens of the chunk, text around the vision tokens included."""
        return int(self.token_ids.size)

    def kept(self, keep: npt.NDArray[np.bool_]) -> "ChunkLayout":
        """Without the vision tokens that `keep` bool[vision tokens] denies.

        Text, positions of the rest and cursor stay.
        """
        standing = np.ones(self.tokens, np.bool_)
        standing[self.token_ids == VISION] = keep
        return replace(
            self,
            token_ids=self.token_ids[standing],
            features=self.features[keep],
            positions=self.positions[:, standing],
        )


def lay_out(
    cursor: int,
    grid: Grid,
    how: ChunkFormat,
    text: ChatText,
    *,
    seconds_per_grid: float = 1.0,
    labels: Sequence[str] = (),
) -> ChunkLayout:
    """Tokens and positions of a chunk that starts at `cursor`.

    `labels`: for a family with timed grids the text before each grid, "" for none; left out for others.
    """
    blocks = [("", grid)]
    if how.timed_grids:
        blocks = [(label, grid._replace(time=1)) for label in labels or [""] * grid.time]
    ids: list[int] = []
    positions: list[Positions] = []
    for label, block in blocks:
        before = [*text.encode(label), text.vision_start]
        place, cursor = text_positions(cursor, len(before))
        seen, cursor = vision_positions(
            cursor,
            block,
            merge=how.merge,
            tokens_per_second=how.tokens_per_second or 1.0,
            seconds_per_grid=seconds_per_grid if how.tokens_per_second else 1.0,
        )
        end, cursor = text_positions(cursor, 1)
        ids += [*before, *[VISION] * seen.shape[1], text.vision_end]
        positions += [place, seen, end]
    return ChunkLayout(
        np.array(ids, np.int64), np.arange(grid.merged_tokens(how.merge)), np.concatenate(positions, axis=1), cursor
    )


def time_labels(times: Sequence[Stamp], origin: Stamp) -> list[str]:
    """The words before each grid, as the family's own processor writes them."""
    return [
        f"<{(time.time_ns - origin.time_ns) / 1e9:.1f} seconds>"
        if time.clock_id == origin.clock_id and time.time_ns >= origin.time_ns
        else ""
        for time in times
    ]


def label_tokens(how: ChunkFormat, text: ChatText) -> int:
    """Tokens that a time in words takes at most, for plans."""
    if not how.timed_grids:
        return 0
    zero = Stamp(0, "")
    (label,) = time_labels([Stamp(int(LONGEST_LABEL_S * 1e9), "")], zero)
    return len(text.encode(label))
