"""What a decoding step is told, in one block of device memory that stays where it is.

All of it is laid out on the host and goes over in one copy, so that a step captured once can be told anew each time. It
knows nothing of layers, sampling or branches.
"""

from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stillwing_vlm.core.engines.tensors.transfer import to_device

SEGMENTS = 3
"""Pieces of cache a branch attends at most: what was copied aside for it, its part of the trunk, its own tokens."""

OWN = SEGMENTS - 1
"""The last of them is its own."""


@dataclass(frozen=True, slots=True, eq=False)
class _Told:
    """`Array`s of one block, on either side. Rows that are idle have a count of 0."""

    token_ids: Any
    """int64[rows, width]: what is fed."""
    counts: Any
    """int64[rows]: how many of them are."""
    first_position: Any
    """int64[rows]: of the first of them; text rises by one on all axes."""
    addresses: Any
    """int64[rows, segments, 2]: where keys and values of a piece begin, in bytes."""
    strides: Any
    """int64[rows, segments, 2]: elements between its layers, and between its heads."""
    scales: Any
    """int64[rows, segments, 2]: where the scales of its keys and values begin, in bytes; 0 where it has none."""
    spans: Any
    """int64[rows, segments, 2]: its tokens that were there before the step, first and beyond."""
    ruled: Any
    """int64[rows]: 1 where only allowed tokens may be chosen."""
    temperature: Any
    """float64[rows]: 0 takes the most probable."""
    top_p: Any
    """float64[rows]."""
    uniform: Any
    """float64[rows]: what is drawn, see `Choosing`."""


_FLOATS = ("temperature", "top_p", "uniform")


def _shapes(rows: int, width: int) -> dict[str, tuple[int, ...]]:
    piece = (rows, SEGMENTS, 2)
    several = {"token_ids": (rows, width), "addresses": piece, "strides": piece}
    several |= {"scales": piece, "spans": piece}
    return {field.name: several.get(field.name, (rows,)) for field in fields(_Told)}


class StepInputs:
    """The device's side: the views are the same tensors for ever. `fill` brings the host's side over."""

    def __init__(self, rows: int, width: int, allowed: torch.Tensor, device: torch.device) -> None:
        """`allowed` bool[rows, vocabulary]: read only for rows that are ruled."""
        self._shapes = _shapes(rows, width)
        self._size = sum(prod(shape) for shape in self._shapes.values())
        self._pinned = device.type == "cuda"
        self._block = torch.zeros(self._size, dtype=torch.int64, device=device)
        self.told = self._views(self._block)
        self.allowed = allowed

    def blank(self) -> tuple[torch.Tensor, Any]:
        """A fresh block on the host, all zeros, and its views as numpy arrays."""
        block = torch.zeros(self._size, dtype=torch.int64, pin_memory=self._pinned)
        told = self._views(block)
        return block, _Told(*(getattr(told, field.name).numpy() for field in fields(_Told)))

    def fill(self, block: torch.Tensor, allowed: dict[int, npt.NDArray[np.bool_]]) -> None:
        """Bring a block over, and what may be chosen in some rows. Nothing is waited for."""
        self._block.copy_(block, non_blocking=True)
        for row, mask in allowed.items():
            self.allowed[row].copy_(to_device(torch.from_numpy(mask), self.allowed.device))

    def _views(self, block: torch.Tensor) -> Any:
        found, at = [], 0
        for name, shape in self._shapes.items():
            part = block[at : at + prod(shape)]
            found.append((part.view(torch.float64) if name in _FLOATS else part).view(shape))
            at += prod(shape)
        return _Told(*found)
