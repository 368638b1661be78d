"""Keys and values of one session in one preallocated slab per tensor, and un-rotated keys of chunks that move.

Keys in the slab are rotated; keys of chunks that will be written again, such as the sink's, are kept un-rotated beside
it, as the model computed them, and are rotated anew from there each time. Re-rotating rounded keys in place would let
errors pile up without end.

It knows nothing of chunks, budgets or frames: `core.memory.trunk` decides what lies where.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from stillwing_vlm.core.backend import PinnedView
from stillwing_vlm.core.engines.tensors.pages import in_huge_pages
from stillwing_vlm.core.engines.tensors.rotary import Rotary, rotate
from stillwing_vlm.core.engines.tensors.scaled import Cached, CachedPair, Scaled, joined, put, stored
from stillwing_vlm.core.inputs.positions import Positions

_TURNED_TOKENS = 1024
"""Tokens that are turned at a time."""


@dataclass(frozen=True, slots=True)
class SlabShape:
    """Sizes that all slabs of one model share."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device
    scaled: bool = False
    """Whether what lies in a slab is kept as 8-bit floats with scales; branches and un-rotated keys never are."""
    kernels: bool = False
    """Whether Triton's kernels move and rewrite it."""

    def empty(self, tokens: int) -> torch.Tensor:
        """`[layers, kv_heads, tokens, head_dim]` of the model's type."""
        return torch.empty(self._sizes(tokens), dtype=self.dtype, device=self.device)

    def cache(self, tokens: int) -> Cached:
        """The same as a slab keeps it."""
        if self.scaled:
            return Scaled.empty(self._sizes(tokens), self.device)
        return in_huge_pages(self._sizes(tokens), self.dtype) if self.device.type == "cpu" else self.empty(tokens)

    def _sizes(self, tokens: int) -> tuple[int, int, int, int]:
        return (self.layers, self.kv_heads, tokens, self.head_dim)


@dataclass(frozen=True, slots=True, eq=False)
class KeptChunk:
    """Un-rotated keys as the model computed them, values as the slab keeps them, both `[layers, kv_heads, tokens,
    head_dim]`, and positions `int64[3, tokens]` from the chunk's own beginning. Values are None while the slab alone
    has them.
    """

    keys: torch.Tensor
    values: Cached | None
    positions: Positions

    @property
    def size_bytes(self) -> int:
        """Bytes it holds on the device."""
        return self.keys.nbytes + (0 if self.values is None else self.values.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class CacheCopy:
    """Rotated keys and values of a trunk in slab order, `[layers, kv_heads, tokens, head_dim]`; un-rotated keys of its
    chunks that can be written anew, joined, and their positions `int64[3, kept tokens]` from each chunk's beginning.
    """

    keys: Cached
    values: Cached
    kept_keys: torch.Tensor
    kept_positions: Positions


class KvSlab:
    """One session's cache. Used by the device's owner thread only."""

    def __init__(self, shape: SlabShape, rotary: Rotary, capacity: int) -> None:
        self.capacity = capacity
        self.keys = shape.cache(capacity)
        self.values = shape.cache(capacity)
        self._scaled = shape.scaled
        self._dtype = shape.dtype
        self._rotary = rotary
        self._kernels = cache_kernels(shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of the slab."""
        return self.keys.nbytes + self.values.nbytes

    @torch.inference_mode()
    def place(self, pieces: Sequence[tuple[KeptChunk, int]], end: int) -> None:
        """Write kept chunks one after another so that they end before slab place `end`, each from its position on."""
        if self._kernels is not None:
            for kept, at in reversed(pieces):
                start = end - kept.keys.shape[2]
                place = (self.keys[:, :, start:end], self.values[:, :, start:end])
                self._kernels.place(kept.keys, _values(kept), self._rotary.cos_sin(kept.positions + at), *place)
                end = start
        elif pieces:
            keys, values = self._rotated(pieces)
            start = end - values.shape[2]
            self._put(slice(start, end), keys, values)

    def _put(self, place: slice, keys: Cached, values: Cached) -> None:
        put(self.keys, (slice(None), slice(None), place), keys)
        put(self.values, (slice(None), slice(None), place), values)

    @torch.inference_mode()
    def turned(self, pieces: Sequence[tuple[KeptChunk, int]]) -> CachedPair:
        """The same as a copy beside the slab."""
        keys, values = self._rotated(pieces)
        return self._rounded(keys), values

    def _rounded(self, vectors: torch.Tensor) -> Cached:
        """As the slab keeps them."""
        return Scaled.of(vectors) if self._scaled else vectors.to(self._dtype)

    def _rotated(self, pieces: Sequence[tuple[KeptChunk, int]]) -> tuple[torch.Tensor, Cached]:
        keys = torch.cat([kept.keys for kept, _ in pieces], dim=2)
        positions = np.concatenate([kept.positions + at for kept, at in pieces], axis=1)
        return rotate(keys, self._rotary.cos_sin(positions)), joined([_values(kept) for kept, _ in pieces], 2)

    def without_values(self, kept: KeptChunk) -> KeptChunk:
        """Keys alone."""
        return KeptChunk(kept.keys, None, kept.positions)

    @torch.inference_mode()
    def with_values(self, kept: KeptChunk, place: int) -> KeptChunk:
        """The same with the values that begin at `place`; as it is where it has values."""
        if kept.values is not None:
            return kept
        return KeptChunk(kept.keys, self.values[:, :, place : place + kept.keys.shape[2]].clone(), kept.positions)

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int, turn: int = 0) -> None:
        """Move tokens within the slab, and their keys by `turn` positions.

        A turn rounds keys once more; it is meant to be as rare as the end of the model's range of positions.
        """
        if length == 0 or (source == target and not turn):
            return
        if self._kernels is not None:
            cos_sin = self._rotary.cos_sin(np.full((3, 1), turn, np.int64)) if turn and not self._scaled else None
            self._kernels.move(self.keys, self.values, source, target, length, cos_sin)
            if cos_sin is not None or not turn:
                return
            source = target
        # In pieces that do not overlap themselves; what is turned is held at its full width meanwhile.
        step = min(abs(target - source) or length, _TURNED_TOKENS if turn else length)
        starts = range(0, length, step)
        for at in starts if target < source else reversed(starts):
            size = min(step, length - at)
            piece = slice(source + at, source + at + size)
            place = slice(target + at, target + at + size)
            self._put(place, self._turned_by(self.keys[:, :, piece], turn), self.values[:, :, piece])

    @torch.inference_mode()
    def turn_copy(self, kept: CachedPair | None, turn: int) -> CachedPair | None:
        """Keys of a copy moved by `turn` positions."""
        return None if kept is None else (self._turned_by(kept[0], turn), kept[1])

    @torch.inference_mode()
    def turn_branch(self, keys: torch.Tensor, turn: int) -> None:
        """Move the keys of a branch by `turn` positions, in place."""
        if turn:
            keys[:] = self._rotated_by(keys, turn).to(self._dtype)

    def _turned_by(self, keys: Cached, turn: int) -> Cached:
        if not turn:
            return keys
        return self._rounded(self._rotated_by(keys.wide() if isinstance(keys, Scaled) else keys, turn))

    def _rotated_by(self, keys: torch.Tensor, turn: int) -> torch.Tensor:
        return rotate(keys, self._rotary.cos_sin(np.full((3, 1), turn, np.int64)))

    @torch.inference_mode()
    def copy_out(self, kept: CachedPair | None, start: int, end: int) -> CachedPair:
        """A copy of `[start, end)` behind `kept`."""
        keys, values = self.keys[:, :, start:end], self.values[:, :, start:end]
        if kept is None:
            return keys.clone(), values.clone()
        return joined((kept[0], keys), 2), joined((kept[1], values), 2)

    @torch.inference_mode()
    def mean_keys(
        self, kept: KeptChunk, layers: Sequence[int], groups: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """Means of un-rotated keys over groups of tokens, `[groups, layers, kv_heads, head_dim]`."""
        keys = kept.keys[list(layers)].double()
        means = [keys[:, :, np.flatnonzero(groups == group)].mean(dim=2) for group in range(int(groups.max()) + 1)]
        found: npt.NDArray[np.float32] = torch.stack(means).float().cpu().numpy()
        return found

    @torch.inference_mode()
    def copy_cache(self, start: int, end: int, kept: Sequence[KeptChunk]) -> CacheCopy:
        """A copy of `[start, end)` and of the un-rotated keys of chunks in it."""
        return CacheCopy(
            self.keys[:, :, start:end].clone(),
            self.values[:, :, start:end].clone(),
            torch.cat([chunk.keys for chunk in kept], dim=2),
            np.concatenate([chunk.positions for chunk in kept], axis=1),
        )

    @torch.inference_mode()
    def adopt_cache(self, cache: CacheCopy, pieces: list[tuple[int, int]]) -> list[KeptChunk]:
        """Put such a copy at the slab's beginning; its kept chunks, each with its place and its tokens in `pieces`."""
        tokens = cache.keys.shape[2]
        self._put(slice(0, tokens), cache.keys, cache.values)
        found, at = [], 0
        for place, length in pieces:
            part = slice(at, at + length)
            values = self.values[:, :, place : place + length].clone()
            found.append(KeptChunk(cache.kept_keys[:, :, part].clone(), values, cache.kept_positions[:, part]))
            at += length
        return found

    def digest(self, start: int, end: int) -> str:
        """Hash of the bytes of `[start, end)`."""
        found = hashlib.sha256()
        for part in (self.keys[:, :, start:end], self.values[:, :, start:end]):
            for tensor in stored(part):
                found.update(tensor.contiguous().view(torch.uint8).cpu().numpy().tobytes())
        return found.hexdigest()


def cache_kernels(shape: SlabShape) -> Any:
    """What moves a window over itself, and writes a sink anew, in one launch for all layers; None where torch's own
    operations do it piece by piece.
    """
    if not shape.kernels:
        return None
    from stillwing_vlm.core.engines.kernels import cache

    return cache


def _values(kept: KeptChunk) -> Cached:
    if kept.values is None:
        raise ValueError("a chunk without its values cannot be written anew")
    return kept.values


@dataclass(frozen=True, slots=True)
class BranchPass:
    """Where one pass writes and reads, layer by layer: laid out once, so that layers cost no slicing."""

    new_keys: tuple[torch.Tensor, ...]
    new_values: tuple[torch.Tensor, ...]
    segments: list[list[CachedPair]]
    """For each layer what the fed tokens attend: pieces of the trunk, then the branch with the fed tokens."""

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put one layer's keys and values of the fed tokens `[kv_heads, fed, head_dim]`."""
        self.new_keys[layer].copy_(keys)
        self.new_values[layer].copy_(values)


class BranchStore:
    """Keys and values of one ask's own tokens, and where the trunk it sees lies."""

    def __init__(
        self, shape: SlabShape, capacity: int, slab: KvSlab, view: PinnedView, parent: "BranchStore | None" = None
    ) -> None:
        self._slab = slab
        self._view = view
        self._turn = view.turn
        self._parent = parent
        self._keys = shape.empty(capacity)
        self._values = shape.empty(capacity)
        self.length = 0

    def fork(self, shape: SlabShape, capacity: int) -> "BranchStore":
        """A branch that sees what this one holds now; this one must not grow while the fork lives."""
        return BranchStore(shape, capacity, self._slab, self._view, self)

    def begin(self, fed: int) -> BranchPass:
        """Lay out the pass that feeds the next `fed` tokens; `advance` makes them count."""
        self._follow()
        end = self.length + fed
        own = (self._keys[:, :, :end], self._values[:, :, :end])
        pieces = [zip(keys.unbind(0), values.unbind(0), strict=True) for keys, values in (*self._seen(), own)]
        return BranchPass(
            self._keys[:, :, self.length : end].unbind(0),
            self._values[:, :, self.length : end].unbind(0),
            [list(layer) for layer in zip(*pieces, strict=True)],
        )

    @property
    def can_be_static(self) -> bool:
        """Whether `pieces` names all that it sees."""
        return self._parent is None

    def pieces(self) -> tuple[list[CachedPair], tuple[torch.Tensor, torch.Tensor], int]:
        """What its tokens attend besides themselves, at most two pieces; room for its own; how many those are.

        All `[layers, kv_heads, tokens, head_dim]`.
        """
        self._follow()
        return self._seen(), (self._keys, self._values), self.length

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has written."""
        self.length += tokens

    def _follow(self) -> None:
        if self._turn != self._view.turn:
            self._slab.turn_branch(self._keys[:, :, : self.length], self._view.turn - self._turn)
            self._turn = self._view.turn

    def _seen(self) -> list[CachedPair]:
        """What its tokens attend besides themselves, `[layers, kv_heads, tokens, head_dim]` each."""
        if self._parent is not None:
            parent = self._parent
            parent._follow()
            return [*parent._seen(), (parent._keys[:, :, : parent.length], parent._values[:, :, : parent.length])]
        found: list[CachedPair] = [] if self._view.kept is None else [self._view.kept]
        if self._view.end > self._view.start:
            place = slice(self._view.start, self._view.end)
            found.append((self._slab.keys[:, :, place], self._slab.values[:, :, place]))
        return found
