"""The token-saving gate: which vision tokens of a new chunk say something that the trunk does not hold already.

A token stands for one place of the picture. It is kept where its pixels differ from those that were last kept at that
place, by more than a threshold in one of its patches. The comparison is with what the model was last given and not with
the frame before, so that a change too slow to be seen from frame to frame is not lost. A token is also kept where the
chunk that last held its place has left the trunk, or is about to: the model never loses sight of a place that stands
still. That holds after a rewind too: what was shown by chunks that are no longer there counts as not shown.

It knows pixels and which chunks are still there; nothing of models, positions or caches.
"""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwing_vlm.core.inputs.images import Pixels, Preprocessing

_IN_SINK = 0
"""Number of the chunk in the sink, which never leaves."""


@dataclass(frozen=True, slots=True, eq=False)
class GatePast:
    """What a gate compares with: the pixels last kept at each place, uint8[rows, columns, 3], and for the place of each
    token the number of the chunk that holds it, int64[rows, columns].
    """

    reference: Pixels
    holder: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """What is kept of one chunk.

    `keep` bool[vision tokens] in the order of the encoder; `changed_share`: patches that differ, of all of them.
    """

    keep: npt.NDArray[np.bool_]
    changed_share: float
    reference: Pixels
    renewed: npt.NDArray[np.bool_]

    @property
    def dropped(self) -> int:
        """Vision tokens that are left out."""
        return int(self.keep.size - self.keep.sum())


class TokenGate:
    """One stream's gate. `judge` decides, `accept` makes it the past once the chunk is in the trunk."""

    def __init__(self, threshold_levels: float, how: Preprocessing) -> None:
        """`threshold_levels`: mean difference over a patch, in levels of 0 to 255, above which it counts as changed."""
        self._threshold = threshold_levels
        self._how = how
        self._reference: Pixels | None = None
        self._holder = np.zeros((0, 0), np.int64)

    def judge(self, frames: Pixels, present: Set[int]) -> Verdict:
        """`frames` uint8[frames, rows, columns, 3] as the encoder gets them.

        `present`: numbers of the window's chunks that stay.
        """
        place = self._how.factor_px
        shape = (frames.shape[1] // place, frames.shape[2] // place)
        time = self._how.temporal_patch
        grids = [frames[at : at + time] for at in range(0, len(frames), time)]
        if self._reference is None or self._reference.shape != frames.shape[1:]:
            return Verdict(
                np.ones(len(grids) * shape[0] * shape[1], np.bool_), 1.0, frames[-1], np.ones(shape, np.bool_)
            )

        def by_place(picture: Pixels) -> Pixels:
            return picture.reshape(shape[0], place, shape[1], place * 3)

        reference = self._reference.copy()
        gone = ~np.isin(self._holder, [_IN_SINK, *present])
        renewed = np.zeros(shape, np.bool_)
        kept, changed = [], []
        for grid in grids:
            difference = np.max([patch_differences(frame, reference, self._how.patch_px) for frame in grid], axis=0)
            worst = _largest(difference, self._how.merge)
            keep = (worst > self._threshold) | (gone & ~renewed)
            if not keep.any():
                # A chunk without any vision token is one that no model was trained on.
                keep.flat[int(worst.argmax())] = True
            np.copyto(by_place(reference), by_place(grid[-1]), where=keep[:, None, :, None])
            renewed |= keep
            kept.append(keep.ravel())
            changed.append((difference > self._threshold).mean())
        return Verdict(np.concatenate(kept), float(np.mean(changed)), reference, renewed)

    def accept(self, verdict: Verdict, number: int) -> None:
        """The chunk that `verdict` was about is in the trunk, as the trunk's chunk `number`."""
        if self._holder.shape != verdict.renewed.shape:
            self._holder = np.full(verdict.renewed.shape, number, np.int64)
        self._reference = verdict.reference
        self._holder[verdict.renewed] = number

    @property
    def past(self) -> GatePast | None:
        """A copy of what the next chunk is compared with; None where it is kept whole."""
        return None if self._reference is None else GatePast(self._reference.copy(), self._holder.copy())

    def adopt(self, past: GatePast | None) -> None:
        """Go on from another gate's past."""
        self._reference = None if past is None else past.reference
        self._holder = np.zeros((0, 0), np.int64) if past is None else past.holder

    def forget(self) -> None:
        """Nothing was shown yet: the next chunk is kept whole."""
        self._reference = None


def patch_differences(frame: Pixels, other: Pixels, patch_px: int) -> npt.NDArray[np.float64]:
    """Mean absolute difference of each patch in levels of 0 to 255, float64[rows, columns] of patches."""
    levels = np.maximum(frame, other) - np.minimum(frame, other)
    rows, columns = levels.shape[0] // patch_px, levels.shape[1] // patch_px
    # Rows of pixels first: along them memory lies in order.
    lines = levels.reshape(rows, patch_px, -1).sum(axis=1, dtype=np.uint32)
    sums = lines.reshape(rows, columns, -1).sum(axis=2)
    found: npt.NDArray[np.float64] = sums / (patch_px * patch_px * 3)
    return found


def _largest(patches: npt.NDArray[np.float64], merge: int) -> npt.NDArray[np.float64]:
    """The largest of the patches that make up each token."""
    rows, columns = patches.shape[0] // merge, patches.shape[1] // merge
    found: npt.NDArray[np.float64] = patches.reshape(rows, merge, columns, merge).max(axis=(1, 3))
    return found
