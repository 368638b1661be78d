"""The engine's attention calls on kernels of our own for the CPU: float32 and bfloat16, on as many threads as torch.

Same shapes and meaning as in `engines.attention`. Scores, weights and sums are float32 for both types; of bfloat16 only
what is multiplied is rounded: keys, values and queries as they are, and the weights of values.
"""

import ctypes
import functools
import math
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from stillwing_vlm.core.engines.attention.cpu_kernels.compiled import Compiled, Record, compiled
from stillwing_vlm.core.engines.attention.plain import Attention, KeyValue

_NOTHING_YET = -1e30
"""Less than any score, and a number: the difference of two is none of infinity."""

_WORTH_THREADS = 1 << 18
"""Products of a query and a key from which a second thread is worth being woken."""

_scratch = threading.local()


@dataclass(frozen=True, slots=True)
class _Packed:
    """Queries as a kernel takes them, and where it keeps what it has so far."""

    run: Callable[[int], None]
    queries: torch.Tensor
    rows: int
    groups: int
    lanes: int
    sums: torch.Tensor
    """`[shares, kv_heads, groups, head_dim, lanes]`."""
    greatest: torch.Tensor
    """`[shares, kv_heads, groups, lanes]`."""
    weights: torch.Tensor


def attention_on(kernels: Compiled) -> Attention:
    """The three calls."""

    def append(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        return _attend(kernels, queries, [(keys, values)])

    def branch(queries: torch.Tensor, segments: Sequence[KeyValue]) -> torch.Tensor:
        return _attend(kernels, queries, segments)

    def decode(queries: torch.Tensor, segments: Sequence[Sequence[KeyValue]]) -> torch.Tensor:
        found = [_attend(kernels, queries[:, at : at + 1], pieces) for at, pieces in enumerate(segments)]
        return found[0] if len(found) == 1 else torch.cat(found, dim=1)

    return Attention("llvm", append, branch, decode)


def native(head_dim: int, dtype: torch.dtype) -> Attention:
    """For this processor; `head_dim` a multiple of 16, `dtype` float32 or bfloat16."""
    return attention_on(compiled(head_dim, bfloat16=dtype == torch.bfloat16))


def _attend(kernels: Compiled, queries: torch.Tensor, segments: Sequence[KeyValue]) -> torch.Tensor:
    """The queries are the last tokens of the last segment."""
    heads, count, width = queries.shape
    kv_heads = segments[-1][0].shape[0]
    scale = math.log2(math.e) / math.sqrt(width)
    pieces = [_rows_close(piece) for piece in segments if piece[0].shape[1]]
    total = sum(keys.shape[1] for keys, _ in pieces)
    threads = torch.get_num_threads() if heads * count * total >= _WORTH_THREADS else 1
    # Heads are shared out; where they do not come out even, keys are.
    by_heads = kv_heads % threads == 0
    packed = _packed(kernels, queries, kv_heads, 1 if by_heads else threads)

    def work(share: int) -> None:
        own = range(kv_heads * share // threads, kv_heads * (share + 1) // threads) if by_heads else range(kv_heads)
        for at, piece in enumerate(pieces):
            tokens = piece[0].shape[1]
            ends = [0, tokens] if by_heads else [tokens * share // threads, tokens * (share + 1) // threads]
            limits = _limits(packed.rows, count if at == len(pieces) - 1 else 0, packed.groups * packed.lanes)
            _run(kernels, packed, piece, limits, own, ends, 0 if by_heads else share, scale)

    if threads == 1:
        work(0)
    else:
        others = [_pool(os.getpid()).submit(work, share) for share in range(1, threads)]
        work(0)
        for each in others:
            each.result()
    sums, weights = packed.sums[0], packed.weights[0]
    if not by_heads:
        part = torch.exp2((packed.greatest - packed.greatest.amax(dim=0)) * scale)
        sums, weights = (packed.sums * part[..., None, :]).sum(dim=0), (packed.weights * part).sum(dim=0)
    found = (sums / weights[:, :, None]).transpose(2, 3).reshape(kv_heads, -1, width)[:, : packed.rows]
    return found.to(queries.dtype).reshape(heads, count, width)


def _packed(kernels: Compiled, queries: torch.Tensor, kv_heads: int, shares: int) -> _Packed:
    form, (heads, count, width) = kernels.form, queries.shape
    # The query heads of one key head become more queries of one head, so that keys are read once.
    rows = heads // kv_heads * count
    packed = queries.reshape(kv_heads, rows, width)
    if not form.dots:
        packed = packed.float()
    run, groups, lanes = kernels.narrow, rows, 1
    if rows > form.most_narrow:
        run, lanes = kernels.wide, form.machine.lanes
        groups = -(-rows // lanes)
        together = 2 if form.dots else 1
        padded = F.pad(packed, (0, 0, 0, groups * lanes - rows))
        packed = padded.view(kv_heads, groups, lanes, width // together, together).transpose(2, 3)
    sums = torch.zeros(shares, kv_heads, groups, width, lanes)
    greatest = torch.full((shares, kv_heads, groups, lanes), _NOTHING_YET)
    return _Packed(run, packed.contiguous(), rows, groups, lanes, sums, greatest, torch.zeros_like(greatest))


def _run(
    kernels: Compiled, packed: _Packed, piece: KeyValue, limits: torch.Tensor, own: range, ends: list[int], share: int,
    scale: float,
) -> None:  # fmt: skip
    """Some heads over the keys of a piece from one end to the other."""
    keys, values = (part[own.start : own.stop, ends[0] : ends[1]] for part in piece)
    record = Record(
        queries=packed.queries[own.start].data_ptr(),
        limits=limits.data_ptr(),
        keys=keys.data_ptr(),
        values=values.data_ptr(),
        sums=packed.sums[share, own.start].data_ptr(),
        greatest=packed.greatest[share, own.start].data_ptr(),
        weights=packed.weights[share, own.start].data_ptr(),
        scratch=_own_scratch(kernels.form.scratch_floats).data_ptr(),
        heads=len(own),
        groups=packed.groups,
        count=ends[1] - ends[0],
        behind=piece[0].shape[1] - ends[1],
        key_stride=keys.stride(1),
        value_stride=values.stride(1),
        key_head_stride=keys.stride(0),
        value_head_stride=values.stride(0),
        scale=scale,
    )
    packed.run(ctypes.addressof(record))


def _rows_close(piece: KeyValue) -> KeyValue:
    """The numbers of a key and of a value must lie side by side; in a slab they do."""
    keys, values = (part if part.stride(2) == 1 else part.contiguous() for part in piece)
    return keys, values


@functools.lru_cache(maxsize=256)
def _limits(rows: int, count: int, padded: int) -> torch.Tensor:
    """How many of a piece's keys each row does not see: of `count` queries a head the newest sees all."""
    later = (torch.arange(padded) % count - (count - 1)) if count else torch.zeros(padded)
    later[rows:] = 0
    return later.int()


def _own_scratch(floats: int) -> torch.Tensor:
    """This thread's."""
    found: torch.Tensor | None = getattr(_scratch, "floats", None)
    if found is None or len(found) < floats:
        found = _scratch.floats = torch.empty(floats)
    return found


@functools.lru_cache(maxsize=1)
def _pool(process: int) -> ThreadPoolExecutor:
    """The helping threads; a forked process has none of its parent's."""
    return ThreadPoolExecutor(max(1, torch.get_num_threads() - 1), thread_name_prefix="stillwing-attention")
