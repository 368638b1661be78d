"""Training trunks of the recall task, laid out as the engine lays out its cache, with questions forked at any chunk.

It knows nothing of models or losses.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwing_training.pilot.sequence import IGNORE, IMAGE_PAD, PAD_BRANCH, Ints, branch_mask
from stillwing_training.recall.model import GRID, GRID_TOKENS
from stillwing_training.recall.signs import (
    COLOUR_NAMES,
    FIRST_QUESTION,
    KEYS,
    NOT_SEEN,
    SYSTEM_TEXT,
    Signs,
    draw_signs,
    question,
    render,
)
from stillwing_vlm.core.inputs import chunk_tokens as chunk_layout
from stillwing_vlm.core.inputs.positions import Grid, text_positions
from stillwing_vlm.core.inputs.text import ChatText

SIGN_S = 2.0
"""Seconds that each sign is shown."""

TOKENS_PER_SECOND = 2
_FORMAT = chunk_layout.ChunkFormat(merge=2, tokens_per_second=TOKENS_PER_SECOND, timed_grids=False)
_FEW_KEYS = 10
_END_WEIGHT = 0.05


@dataclass(frozen=True, slots=True)
class Layout:
    """How a stream is cut: frames of each sign, and frames of each chunk (1, or an even number)."""

    frames_per_sign: int
    chunk_frames: int

    @property
    def frame_s(self) -> float:
        """Seconds between frames."""
        return SIGN_S / self.frames_per_sign

    @property
    def grids(self) -> int:
        """Temporal grids of a chunk."""
        return max(1, self.chunk_frames // 2)


LAYOUTS = tuple(Layout(per_sign, chunk) for per_sign in (1, 2, 4) for chunk in (1, 2, 4))


@dataclass(frozen=True, slots=True)
class RecallTrunk:
    """One trunk and its questions.

    `pairs` uint8[grids, 2, side, side, 3]; `shown` int64[grids, 2, 2]: key and colour of both frames of each grid;
    `branches`: chunk after which it is asked, ids of question and answer, target and weight of each id.
    """

    layout: Layout
    chunks: int
    pairs: npt.NDArray[np.uint8]
    shown: Ints
    branches: list[tuple[int, list[int], list[int], list[float]]]


class Teacher:
    """Draws trunks and asks about them."""

    def __init__(self, text: ChatText, rng: np.random.Generator) -> None:
        self._text = text
        self._rng = rng
        self.opening = text.opening(SYSTEM_TEXT)

    def trunk(self, chunks: int, layout: Layout, questions: int) -> RecallTrunk:
        """A trunk of `chunks` chunks in which `questions` are asked at chunks of their own."""
        rng = self._rng
        frames = chunks * layout.chunk_frames
        # A window may begin in the middle of a sign.
        first = int(rng.integers(0, layout.frames_per_sign))
        places = (first + np.arange(frames)) // layout.frames_per_sign
        few = rng.random() < 0.15
        signs = draw_signs(int(places[-1]) + 1, rng, _FEW_KEYS if few else len(KEYS))
        shown = Signs(signs.keys[places], signs.colours[places])
        pixels = render(shown, rng)
        each = 2 if layout.chunk_frames == 1 else 1
        pairs = np.repeat(pixels, each, axis=0).reshape(-1, 2, *pixels.shape[1:])
        truth = np.repeat(np.stack([shown.keys, shown.colours], -1), each, axis=0).reshape(-1, 2, 2)
        branches = []
        for _ in range(questions):
            after = int(rng.integers(0, chunks))
            seen = int(places[(after + 1) * layout.chunk_frames - 1]) + 1
            asked, answer = self._question(signs, seen)
            branches.append((after, *self._branch(asked, answer)))
        return RecallTrunk(layout, chunks, pairs, truth, branches)

    def _question(self, signs: Signs, seen: int) -> tuple[str, str]:
        """A question and its answer where the first `seen` signs have been shown."""
        rng, kind = self._rng, self._rng.random()
        if kind < 0.1:
            return FIRST_QUESTION, COLOUR_NAMES[signs.colours[0]]
        absent = np.setdiff1d(np.arange(len(KEYS)), signs.keys[:seen])
        if kind < 0.22 and len(absent):
            return question(int(rng.choice(absent))), NOT_SEEN
        key = signs.keys[int(rng.integers(0, seen))]
        newest = int(np.flatnonzero(signs.keys[:seen] == key)[-1])
        return question(int(key)), COLOUR_NAMES[signs.colours[newest]]

    def _branch(self, asked: str, answer: str) -> tuple[list[int], list[int], list[float]]:
        ids = self._text.question(asked)
        wanted = [*self._text.encode(answer), self._text.end_id]
        blank = len(ids) - 1
        weights = [1.0] * (len(wanted) - 1) + [_END_WEIGHT]
        return ids + wanted[:-1], [IGNORE] * blank + wanted, [0.0] * blank + weights


@dataclass(frozen=True, slots=True)
class RecallBatch:
    """Trunks side by side, padded; as `pilot.layout.Batch`, with the grids of all trunks in the order they occur."""

    ids: Ints
    positions: Ints
    mask: npt.NDArray[np.bool_]
    targets: Ints
    weights: npt.NDArray[np.float32]
    pairs: npt.NDArray[np.uint8]
    shown: Ints


def lay_out(trunks: list[RecallTrunk], opening: list[int], text: ChatText) -> RecallBatch:
    """One batch of all trunks."""
    rows = [_row(trunk, opening, text) for trunk in trunks]
    count, length = len(rows), max(row["ids"].size for row in rows)
    blank = {"ids": 0, "targets": IGNORE, "frame": 0, "branch": PAD_BRANCH}
    joined = {name: np.full((count, length), value, np.int64) for name, value in blank.items()}
    joined["offset"] = np.tile(np.arange(length), (count, 1))
    positions = np.zeros((3, count, length), np.int64)
    weights = np.zeros((count, length), np.float32)
    for index, row in enumerate(rows):
        size = row["ids"].size
        for name, filled in joined.items():
            if name in row:
                filled[index, :size] = row[name]
        positions[:, index, :size], weights[index, :size] = row["positions"], row["weights"]
    mask = branch_mask(joined["frame"], joined["branch"], joined["offset"])
    return RecallBatch(
        joined["ids"],
        positions,
        mask,
        joined["targets"],
        weights,
        np.concatenate([trunk.pairs for trunk in trunks]),
        np.concatenate([trunk.shown for trunk in trunks]),
    )


def _row(trunk: RecallTrunk, opening: list[int], text: ChatText) -> dict[str, npt.NDArray[np.generic]]:
    layout = trunk.layout
    chunk_ids = [text.vision_start, *[IMAGE_PAD] * (GRID_TOKENS * layout.grids), text.vision_end]
    ids = [*opening, *chunk_ids * trunk.chunks]
    placed, cursor = text_positions(0, len(opening))
    positions, cursors = [placed], []
    for _ in range(trunk.chunks):
        grid = Grid(layout.grids, GRID, GRID)
        chunk = chunk_layout.lay_out(cursor, grid, _FORMAT, text, seconds_per_grid=2 * layout.frame_s)
        cursor = chunk.cursor
        positions.append(chunk.positions)
        cursors.append(cursor)
    trunk_length = len(ids)
    frame = [np.full(len(opening), -1), np.repeat(np.arange(trunk.chunks), len(chunk_ids))]
    branch = [np.full(trunk_length, -1)]
    targets, weights = [IGNORE] * trunk_length, [0.0] * trunk_length
    for number, (after, asked, wanted, weighed) in enumerate(trunk.branches):
        ids += asked
        targets += wanted
        weights += weighed
        positions.append(text_positions(cursors[after], len(asked))[0])
        frame.append(np.full(len(asked), after))
        branch.append(np.full(len(asked), number))
    return {
        "ids": np.array(ids),
        "targets": np.array(targets),
        "weights": np.array(weights, np.float32),
        "positions": np.concatenate(positions, axis=1),
        "frame": np.concatenate(frame),
        "branch": np.concatenate(branch),
    }
