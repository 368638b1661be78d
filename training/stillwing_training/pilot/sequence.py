"""Sequences laid out as the engine lays out its cache: one trunk of frames, and at any frame forked questions.

A trunk is the system text and then frame after frame. A branch is a question and its answer; it attends to the trunk up
to its frame and to itself, and its positions go on from there. It knows nothing of scenes, labels or models.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerFast

from stillwing_training.pilot.config import CELL_COLUMNS, CELL_ROWS, IMAGE_TOKENS, SPECIAL_TOKENS

IGNORE = -100
_TOKEN = {name: index for index, name in enumerate(SPECIAL_TOKENS)}
IMAGE_PAD, END = _TOKEN["<|image_pad|>"], _TOKEN["<|im_end|>"]
_FRAME_IDS = [_TOKEN["<|vision_start|>"], *([IMAGE_PAD] * IMAGE_TOKENS), _TOKEN["<|vision_end|>"]]
PAD_BRANCH = -2

Ints = npt.NDArray[np.int64]


def _frame_offsets() -> Ints:
    """Positions (3, 22) of one frame's tokens from the cursor before it."""
    rows = np.repeat(np.arange(CELL_ROWS), CELL_COLUMNS)
    columns = np.tile(np.arange(CELL_COLUMNS), CELL_ROWS)
    image = 1 + np.stack([np.zeros(IMAGE_TOKENS, np.int64), rows, columns])
    end = 1 + max(CELL_ROWS, CELL_COLUMNS)
    return np.concatenate([np.zeros((3, 1), np.int64), image, np.full((3, 1), end)], axis=1)


_FRAME_OFFSETS = _frame_offsets()
FRAME_SPAN = int(_FRAME_OFFSETS.max()) + 1
"""Positions one frame takes."""

FRAME_TOKENS = len(_FRAME_IDS)
"""Tokens one frame takes: its cells and the two around them."""


@dataclass(frozen=True)
class Branch:
    """One question and its answer, forked after frame `frame` (0-based).

    Attributes:
        frame: The last frame it sees.
        ids: Question and answer up to the last token that is fed, (n,).
        targets: The token each of them must be followed by, `IGNORE` within the question.
        weights: What each target counts in the loss.
    """

    frame: int
    ids: list[int]
    targets: list[int]
    weights: list[float]


@dataclass
class Sequence:
    """A trunk of `frames` pictures behind a system text, and its branches."""

    system_ids: list[int]
    frames: int
    branches: list[Branch] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.system_ids) + self.frames * len(_FRAME_IDS) + sum(len(b.ids) for b in self.branches)


@dataclass(frozen=True)
class Batch:
    """Sequences side by side, padded to one length; arrays are (batch, length) unless said otherwise.

    Attributes:
        ids: Token ids.
        positions: (3, batch, length).
        mask: bool (batch, length, length), True where a query (second axis) may look at a key (third).
        targets: `IGNORE` where nothing is learnt.
        weights: float32.
    """

    ids: Ints
    positions: Ints
    mask: npt.NDArray[np.bool_]
    targets: Ints
    weights: npt.NDArray[np.float32]


def lay_out(sequences: list[Sequence]) -> Batch:
    """One batch of all `sequences`."""
    count, length = len(sequences), max(len(sequence) for sequence in sequences)
    ids = np.zeros((count, length), np.int64)
    positions = np.zeros((3, count, length), np.int64)
    targets = np.full((count, length), IGNORE, np.int64)
    weights = np.zeros((count, length), np.float32)
    # For every token: the last frame it belongs to or sees, its branch (-1 trunk), its place within trunk or branch.
    frame, branch, offset = (np.full((count, length), value, np.int64) for value in (0, PAD_BRANCH, 0))
    offset += np.arange(length)
    for row, sequence in enumerate(sequences):
        trunk = len(sequence.system_ids) + sequence.frames * len(_FRAME_IDS)
        ids[row, :trunk] = trunk_ids(sequence)
        positions[:, row, :trunk] = trunk_positions(len(sequence.system_ids), sequence.frames)
        frame[row, :trunk] = _trunk_frames(len(sequence.system_ids), sequence.frames)
        branch[row, :trunk] = -1
        at = trunk
        for number, fork in enumerate(sequence.branches):
            span = slice(at, at + len(fork.ids))
            ids[row, span], targets[row, span], weights[row, span] = fork.ids, fork.targets, fork.weights
            positions[:, row, span] = branch_positions(sequence, fork)
            frame[row, span], branch[row, span] = fork.frame, number
            at = span.stop
    return Batch(ids, positions, branch_mask(frame, branch, offset), targets, weights)


def trunk_ids(sequence: Sequence) -> Ints:
    """Token ids (tokens,) of a sequence's trunk, with `IMAGE_PAD` where image tokens go."""
    return np.array(sequence.system_ids + _FRAME_IDS * sequence.frames, np.int64)


def branch_positions(sequence: Sequence, branch: Branch) -> Ints:
    """Positions (3, tokens) of one branch: on from the end of the trunk it sees."""
    first = len(sequence.system_ids) + (branch.frame + 1) * FRAME_SPAN
    return np.broadcast_to(first + np.arange(len(branch.ids)), (3, len(branch.ids)))


def trunk_positions(system: int, frames: int) -> Ints:
    """Positions (3, tokens) of a trunk of `frames` pictures behind `system` tokens of text."""
    starts = system + FRAME_SPAN * np.arange(frames)
    pictures = (starts[None, :, None] + _FRAME_OFFSETS[:, None, :]).reshape(3, -1)
    return np.concatenate([np.broadcast_to(np.arange(system), (3, system)), pictures], axis=1)


def _trunk_frames(system: int, frames: int) -> Ints:
    return np.concatenate([np.full(system, -1), np.repeat(np.arange(frames), len(_FRAME_IDS))])


def branch_mask(frame: Ints, branch: Ints, offset: Ints) -> npt.NDArray[np.bool_]:
    """Who may look at whom, bool (batch, length, length), from three arrays (batch, length).

    `frame`: the last frame (or chunk) a token belongs to or sees; `branch`: its branch, -1 in the trunk, `PAD_BRANCH`
    for padding; `offset`: its place within trunk or branch.
    """
    in_trunk = branch == -1
    earlier = offset[:, None, :] <= offset[:, :, None]
    same = branch[:, None, :] == branch[:, :, None]
    # A trunk token sees the trunk before it; a branch token the trunk up to its frame and its own branch before it.
    trunk_seen = ~in_trunk[:, :, None] & in_trunk[:, None, :] & (frame[:, None, :] <= frame[:, :, None])
    allowed: npt.NDArray[np.bool_] = (same & earlier) | (trunk_seen & (branch[:, :, None] >= 0))
    return allowed


class Words:
    """Token ids of questions and answers, remembered."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, special tokens in it included."""
        if text not in self._known:
            self._known[text] = list(self._tokenizer.encode(text))
        return self._known[text]

    def system(self, text: str) -> list[int]:
        """The beginning of every trunk."""
        return self.ids(f"<|im_start|>system\n{text}<|im_end|>\n<|im_start|>user\n")

    def question(self, text: str) -> list[int]:
        """The beginning of every branch."""
        return self.ids(f"{text}<|im_end|>\n<|im_start|>assistant\n")

    def branch(self, frame: int, question: str, answer: list[int], weights: list[float]) -> Branch:
        """A branch that learns `answer`, whose tokens weigh `weights`; the last one is a target only."""
        asked = self.question(question)
        ids = asked + answer[:-1]
        blank = len(asked) - 1
        return Branch(frame, ids, [IGNORE] * blank + answer, [0.0] * blank + weights)
