"""A cache that holds what it stands for: token ids, and in place of vision tokens the picture that they are of.

What a branch sees is read back from it, so that a trunk whose book-keeping is wrong shows a wrong past. It knows no
minds, no text and no files.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stillwing_common.errors import Unsupported
from stillwing_lab.stand_in.sight import Picture
from stillwing_vlm.core.backend import PinnedView

Cells = npt.NDArray[np.object_]
"""object[tokens]: each an int, the id of a token of text, or a `Picture`."""

_CELL_BYTES = 8


def as_cells(values: Sequence[int | Picture]) -> Cells:
    """The same as an array."""
    cells = np.empty(len(values), np.object_)
    cells[:] = values
    return cells


@dataclass(frozen=True, slots=True, eq=False)
class KeptCells:
    """See `Kept`."""

    cells: Cells

    @property
    def size_bytes(self) -> int:
        """See `Kept`."""
        return self.cells.size * _CELL_BYTES


class CellStore:
    """See `Store`. Positions are not kept: what is read is read in its order."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.cells: Cells = np.full(capacity, -1, np.object_)

    def place(self, pieces: Sequence[tuple[KeptCells, int]], end: int) -> None:
        """See `Store`."""
        cells = _joined([kept.cells for kept, _ in pieces])
        self.cells[end - cells.size : end] = cells

    def turned(self, pieces: Sequence[tuple[KeptCells, int]]) -> Cells:
        """See `Store`."""
        return _joined([kept.cells for kept, _ in pieces])

    def without_values(self, kept: KeptCells) -> KeptCells:
        """See `Store`."""
        return kept

    def with_values(self, kept: KeptCells, place: int) -> KeptCells:
        """See `Store`."""
        return kept

    def mean_keys(
        self, kept: KeptCells, layers: Sequence[int], groups: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """See `Store`. Raises Unsupported: there are none."""
        raise Unsupported("a stand-in has no keys")

    def move(self, source: int, target: int, length: int, turn: int = 0) -> None:
        """See `Store`."""
        self.cells[target : target + length] = self.cells[source : source + length].copy()

    def turn_copy(self, kept: Cells | None, turn: int) -> Cells | None:
        """See `Store`."""
        return kept

    def copy_out(self, kept: Cells | None, start: int, end: int) -> Cells:
        """See `Store`."""
        return _joined([*([] if kept is None else [kept]), self.cells[start:end]])

    def copy_cache(self, start: int, end: int, kept: Sequence[KeptCells]) -> Cells:
        """See `Store`."""
        return self.cells[start:end].copy()

    def adopt_cache(self, cache: Cells, pieces: list[tuple[int, int]]) -> list[KeptCells]:
        """See `Store`."""
        self.cells[: cache.size] = cache
        return [KeptCells(cache[place : place + tokens].copy()) for place, tokens in pieces]

    def digest(self, start: int, end: int) -> str:
        """See `Store`."""
        return hashlib.sha256(repr(self.cells[start:end].tolist()).encode()).hexdigest()

    @property
    def size_bytes(self) -> int:
        """See `Store`."""
        return self.capacity * _CELL_BYTES

    def seen(self, view: PinnedView) -> Cells:
        """What a branch sees of it."""
        return self.copy_out(view.kept, view.start, view.end)


def _joined(parts: Sequence[Cells]) -> Cells:
    return np.concatenate([np.empty(0, np.object_), *parts])


def as_text(cells: Cells) -> list[Any]:
    """For a file: ids as they are, a picture where it begins as what it shows with how often it stands there."""
    written: list[Any] = []
    last: Picture | None = None
    for cell in cells:
        if isinstance(cell, Picture):
            if cell is last:
                written[-1]["cells"] += 1
            else:
                written.append({"picture": cell.as_text(), "cells": 1})
            last = cell
        else:
            written.append(int(cell))
            last = None
    return written


def from_text(written: Sequence[Any]) -> Cells:
    """The same read again."""
    values: list[int | Picture] = []
    for each in written:
        if isinstance(each, dict):
            values += [Picture.from_text(each["picture"])] * int(each["cells"])
        else:
            values.append(int(each))
    return as_cells(values)
