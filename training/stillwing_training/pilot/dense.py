"""Stage 0: teach the vision tower what is where, and which way leads there, from the simulator's truth, before words.

Without it nothing grounds: the whole model stays at the majority answer. The heads are thrown away afterwards. It knows
nothing of tokens.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stillwing_training.pilot.config import (
    ACTIONS,
    CELL_COLUMNS,
    CELL_ROWS,
    COLOURS,
    GOALS,
    IMAGE_TOKENS,
    SIGN,
    TURN_DEG,
)
from stillwing_training.pilot.expert import MIRRORED_ACTION, STOP
from stillwing_training.pilot.model import as_tensor, see
from stillwing_training.pilot.recorded_frames import DENSE_CLASSES, IN_VIEW_PX, Frames

_CLASSES = len(DENSE_CLASSES)
_PRESENT_FROM = 0.005
"""Share of a cell from which something counts as in it: 19 pixels of the flight camera's picture."""
_STEER_MOST_DEG = 60.0


class DenseHeads(nn.Module):
    """Readings of image tokens, linear ones of each: classes present, their shares, nearness, own row and column.

    And one of all twenty together: what to do for each goal, where to steer, whether the way ahead is blocked.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.truth = nn.Linear(hidden, 2 * _CLASSES + 1)
        self.place = nn.Linear(hidden, CELL_ROWS + CELL_COLUMNS)
        self.aside = nn.Linear(hidden, len(COLOURS))
        self.way = nn.Sequential(
            nn.Linear(IMAGE_TOKENS * hidden, 192), nn.SiLU(), nn.Linear(192, len(GOALS) * (len(ACTIONS) + 1) + 1)
        )

    def forward(self, tokens: Tensor) -> tuple[Tensor, ...]:
        """Presence logits, root shares, nearness, row and column logits, beacons aside, of tokens (n, 20, hidden)."""
        steady = F.rms_norm(tokens, tokens.shape[-1:])
        truth, place = self.truth(steady), self.place(steady)
        present, share, near = truth.split((_CLASSES, _CLASSES, 1), -1)
        row, column = place.split((CELL_ROWS, CELL_COLUMNS), -1)
        return present, share, near.squeeze(-1), row, column, self.aside(steady)

    def read_way(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Action logits (n, 5, 4), steering in turns (n, 5), logit of being blocked (n,), of tokens (n, 20, hidden)."""
        read = self.way(F.rms_norm(tokens, tokens.shape[-1:]).flatten(1))
        by_goal = read[:, :-1].view(len(tokens), len(GOALS), len(ACTIONS) + 1)
        return by_goal[..., :-1], by_goal[..., -1], read[:, -1]


def dense_loss(
    model: Any, heads: DenseHeads, frames: Frames, rows: np.ndarray[Any, Any], rng: np.random.Generator
) -> tuple[Tensor, float]:
    """Loss of one batch of frames, half of the batches mirrored, and the F1 of finding beacons in cells."""
    device = heads.truth.weight.device
    mirrored = rng.random() < 0.5
    pixels = frames.pixels[rows][:, :, ::-1] if mirrored else frames.pixels[rows]
    gain = torch.from_numpy(rng.uniform(0.85, 1.15, (len(rows), 1, 1, 1)).astype(np.float32)).to(device)
    tokens = see(model, as_tensor(pixels, device).float() * gain)
    return truth_loss(heads, tokens, frames, rows, np.full(len(rows), mirrored))


def truth_loss(
    heads: DenseHeads,
    tokens: Tensor,
    frames: Frames,
    rows: np.ndarray[Any, Any],
    mirrored: np.ndarray[Any, Any],
) -> tuple[Tensor, float]:
    """Loss of reading the truth about `rows` from their image tokens (n, 20, hidden), and the F1 of finding beacons.

    `mirrored`, bool (n,), tells whose pictures were.
    """
    device = tokens.device
    cells, near = _mirrored_where(frames.cells[rows], mirrored), _mirrored_where(frames.nearness[rows], mirrored)
    bearing_deg = frames.bearing_deg[rows, : len(COLOURS)] * np.where(mirrored, -1, 1)[:, None]
    present, share, near_read, row, column, aside = heads(tokens)
    truth = as_tensor(cells.astype(np.float32), device)
    there = (truth > _PRESENT_FROM).float()
    weight = torch.tensor([4.0] * len(COLOURS) + [2.0, 1.0, 1.0, 1.0, 4.0, 4.0], device=device)
    loss = F.binary_cross_entropy_with_logits(present, there, pos_weight=weight)
    loss = (
        loss
        + 2 * F.mse_loss(share, truth.sqrt())
        + 0.5 * F.mse_loss(near_read, as_tensor(near.astype(np.float32), device))
    )
    # How far beside its centre, in cells, the foot of a beacon lies that shows in a cell: which side to turn to.
    column_of = np.tile(np.arange(CELL_COLUMNS), CELL_ROWS) + 0.5
    centre = CELL_COLUMNS / 2 * (1 + np.tan(np.radians(np.clip(np.nan_to_num(bearing_deg), -60, 60))))
    beside = as_tensor(np.clip(centre[:, None, :] - column_of[None, :, None], -2, 2).astype(np.float32), device)
    shown = there[..., : len(COLOURS)]
    loss = loss + 2 * (shown * (aside - beside) ** 2).sum() / (shown.sum() + 1)
    loss = loss + way_loss(heads, tokens, frames, rows, mirrored)
    # The words' side was drawn for tokens of about unit size.
    loss = loss + 0.02 * tokens.pow(2).mean(-1).log().pow(2).mean()
    places = torch.arange(IMAGE_TOKENS, device=device).repeat(len(rows))
    loss = loss + 0.1 * F.cross_entropy(row.flatten(0, 1), places // CELL_COLUMNS)
    loss = loss + 0.1 * F.cross_entropy(column.flatten(0, 1), places % CELL_COLUMNS)
    found = (present[..., : len(COLOURS)] > 0).float()
    beacons = there[..., : len(COLOURS)]
    f1 = 2 * (found * beacons).sum() / (found.sum() + beacons.sum() + 1e-6)
    return loss, f1.item()


def _mirrored_where(cells: np.ndarray[Any, Any], mirrored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Arrays (n, 20, …) of cells with columns the other way round where `mirrored`."""
    grid = cells.reshape(len(cells), CELL_ROWS, CELL_COLUMNS, -1)
    chosen = np.where(mirrored[:, None, None, None], grid[:, :, ::-1], grid)
    return chosen.reshape(cells.shape)


def way_loss(
    heads: DenseHeads,
    tokens: Tensor,
    frames: Frames,
    rows: np.ndarray[Any, Any],
    mirrored: np.ndarray[Any, Any],
) -> Tensor:
    """Loss of reading from one picture what the expert would do: for beacons in it, and down the corridor of a maze.

    What the sign said a single picture does not tell; there the loss leaves the tower to find where the ways are.
    """
    device = tokens.device
    action = frames.action[rows].astype(np.int64)
    # Where the goal is reached there is no way left to steer, only the side it stands on.
    steer_deg = np.where(action == STOP, frames.bearing_deg[rows], frames.steer_deg[rows])
    asked = (frames.visible_px[rows] >= IN_VIEW_PX) & ~np.isnan(steer_deg)
    asked[:, GOALS.index(SIGN)] = frames.sign[rows] >= 0
    action = np.where(mirrored[:, None], MIRRORED_ACTION[action], action)
    steer_deg = np.where(mirrored[:, None], -steer_deg, steer_deg)
    turns = np.clip(np.nan_to_num(steer_deg), -_STEER_MOST_DEG, _STEER_MOST_DEG) / TURN_DEG
    blocked = (frames.refused_action[rows] >= 0).any(1)
    read_action, read_turns, read_blocked = heads.read_way(tokens)
    there = as_tensor(asked.astype(np.float32), device)
    right = as_tensor(action, device)
    wrong = F.cross_entropy(read_action.flatten(0, 1), right.flatten(), reduction="none").view(there.shape)
    off = F.smooth_l1_loss(read_turns, as_tensor(turns.astype(np.float32), device), reduction="none")
    loss = (there * (0.5 * wrong + 0.25 * off)).sum() / (there.sum() + 1)
    return loss + 0.2 * F.binary_cross_entropy_with_logits(read_blocked, as_tensor(blocked.astype(np.float32), device))
