"""Keys and values of one session in one preallocated slab per tensor, and the pristine keys of its front.

Keys in the slab are rotated; keys of sink and memory are kept un-rotated in float32 beside it and are rotated anew each
time the front moves. Re-rotating rounded keys in place would let errors pile up without end.

It knows nothing of chunks, budgets or frames: `core.trunk` decides what lies where.
"""

import hashlib
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from stillwing_vlm.core.backend import PinnedView
from stillwing_vlm.core.engines.attention import KeyValue
from stillwing_vlm.core.engines.rotary import Rotary, rotate
from stillwing_vlm.core.positions import Positions


@dataclass(frozen=True, slots=True)
class SlabShape:
    """Sizes that all slabs of one model share."""

    layers: int
    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    device: torch.device

    def empty(self, tokens: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """`[layers, kv_heads, tokens, head_dim]`."""
        return torch.empty(
            (self.layers, self.kv_heads, tokens, self.head_dim), dtype=dtype or self.dtype, device=self.device
        )


@dataclass(slots=True)
class _Pristine:
    """Un-rotated keys (float32), values (cache type) and own positions of tokens that will be written again."""

    keys: torch.Tensor
    values: torch.Tensor
    positions: Positions

    @property
    def tokens(self) -> int:
        return int(self.positions.shape[1])

    def part(self, start: int, end: int) -> "_Pristine":
        return _Pristine(self.keys[:, :, start:end], self.values[:, :, start:end], self.positions[:, start:end])

    def joined(self, other: "_Pristine") -> "_Pristine":
        return _Pristine(
            torch.cat((self.keys, other.keys), dim=2),
            torch.cat((self.values, other.values), dim=2),
            np.concatenate((self.positions, other.positions), axis=1),
        )


class KvSlab:
    """One session's cache. Used by the device's owner thread only."""

    def __init__(self, shape: SlabShape, rotary: Rotary, capacity: int) -> None:
        self.capacity = capacity
        self.keys = shape.empty(capacity)
        self.values = shape.empty(capacity)
        self._shape = shape
        self._rotary = rotary
        none = np.empty((3, 0), np.int64)
        self._sink = _Pristine(shape.empty(0, torch.float32), shape.empty(0), none)
        self._memory = self._sink.part(0, 0)

    @property
    def size_bytes(self) -> int:
        """Bytes this store holds."""
        tensors = (self.keys, self.values, *self._front_tensors())
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def _front_tensors(self) -> tuple[torch.Tensor, ...]:
        return self._sink.keys, self._sink.values, self._memory.keys, self._memory.values

    @torch.inference_mode()
    def keep_pristine(self, raw_keys: torch.Tensor, values: torch.Tensor, positions: Positions) -> None:
        """Add tokens to the sink's pristine part: keys float32 un-rotated, positions counted from the sink's start."""
        self._sink = self._sink.joined(_Pristine(raw_keys, values, positions))

    @torch.inference_mode()
    def truncate_sink(self, tokens: int) -> None:
        """Forget pristine sink tokens beyond `tokens`."""
        self._sink = self._sink.part(0, tokens)

    @torch.inference_mode()
    def adopt_memory(self, other: Self | None) -> None:
        """Take what `other` kept after a sink equal to this one's; None empties the memory."""
        if other is None:
            self._memory = self._sink.part(0, 0)
        else:
            self._memory = other._sink.part(self._sink.tokens, other._sink.tokens)

    @torch.inference_mode()
    def lend_sink(self, other: Self) -> None:
        """Give another slab the same sink, as the start of a memory to be encoded."""
        other._sink = self._sink.part(0, self._sink.tokens)

    @torch.inference_mode()
    def place_front(self, head: int, offset: int) -> None:
        """Write sink and memory in front of slab place `head`, rotated by own position + `offset`."""
        front = self._sink.joined(self._memory) if self._memory.tokens else self._sink
        start = head - front.tokens
        cos_sin = self._rotary.cos_sin(front.positions + offset)
        self.keys[:, :, start:head] = rotate(front.keys, cos_sin)
        self.values[:, :, start:head] = front.values

    @torch.inference_mode()
    def rotated_sink(self, offset: int) -> KeyValue:
        """A copy of the sink alone at `offset`."""
        cos_sin = self._rotary.cos_sin(self._sink.positions + offset)
        return rotate(self._sink.keys, cos_sin).to(self._shape.dtype), self._sink.values

    @torch.inference_mode()
    def move(self, source: int, target: int, length: int) -> None:
        """Move tokens within the slab, in pieces that do not overlap themselves."""
        if source == target or length == 0:
            return
        step = abs(target - source)
        starts = range(0, length, step)
        for at in starts if target < source else reversed(starts):
            size = min(step, length - at)
            for tensor in (self.keys, self.values):
                piece = tensor[:, :, source + at : source + at + size]
                tensor[:, :, target + at : target + at + size] = piece

    @torch.inference_mode()
    def copy_out(self, kept: KeyValue | None, start: int, end: int) -> KeyValue:
        """A copy of `[start, end)` behind `kept`."""
        keys, values = self.keys[:, :, start:end], self.values[:, :, start:end]
        if kept is None:
            return keys.clone(), values.clone()
        return torch.cat((kept[0], keys), dim=2), torch.cat((kept[1], values), dim=2)

    def digest(self, start: int, end: int) -> str:
        """Hash of the bytes of `[start, end)`."""
        found = hashlib.sha256()
        for tensor in (self.keys, self.values):
            found.update(tensor[:, :, start:end].contiguous().view(torch.uint8).cpu().numpy().tobytes())
        return found.hexdigest()


class BranchStore:
    """Keys and values of one ask's own tokens, and where the trunk it sees lies."""

    def __init__(
        self, shape: SlabShape, capacity: int, slab: KvSlab, view: PinnedView, parent: "BranchStore | None" = None
    ) -> None:
        self._slab = slab
        self._view = view
        self._parent = parent
        self._keys = shape.empty(capacity)
        self._values = shape.empty(capacity)
        self.length = 0

    def fork(self, shape: SlabShape, capacity: int) -> "BranchStore":
        """A branch that sees what this one holds now; this one must not grow while the fork lives."""
        return BranchStore(shape, capacity, self._slab, self._view, self)

    def write(self, layer: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put one layer's keys and values of the fed tokens after those already there; `advance` makes them count."""
        end = self.length + keys.shape[1]
        self._keys[layer, :, self.length : end] = keys
        self._values[layer, :, self.length : end] = values

    def advance(self, tokens: int) -> None:
        """Count tokens that every layer has written."""
        self.length += tokens

    def segments(self, layer: int, fed: int) -> list[KeyValue]:
        """What the fed tokens of one layer attend: pieces of the trunk, then the branch with the fed tokens."""
        found: list[KeyValue] = []
        if self._parent is not None:
            found = self._parent.segments(layer, 0)
        else:
            if self._view.kept is not None:
                found.append((self._view.kept[0][layer], self._view.kept[1][layer]))
            if self._view.end > self._view.start:
                place = slice(self._view.start, self._view.end)
                found.append((self._slab.keys[layer, :, place], self._slab.values[layer, :, place]))
        end = self.length + fed
        found.append((self._keys[layer, :, :end], self._values[layer, :, :end]))
        return found
