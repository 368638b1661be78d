"""The engine's attention calls on kernels of our own for the CPU: float32 and bfloat16, on as many threads as torch.

Same shapes and meaning as in `engines.attention.plain`. Scores, weights and sums are float32 for both types; of
bfloat16 only what is multiplied is rounded: keys, values and queries as they are, and the weights of values.
"""

import ctypes
import functools
import math
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F

from stillwing_vlm.core.engines.attention.cpu_kernels.compiled import Compiled, Record, compiled
from stillwing_vlm.core.engines.attention.plain import Attention, KeyValue

_NOTHING_YET = -1e30
"""Less than any score, and a number: the difference of two is none of infinity."""

_WORTH_THREADS = 1 << 18
"""Products of a query and a key from which a second thread is worth being woken."""

_scratch = threading.local()


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
    """For this processor, with AVX-512 where torch uses it; `head_dim` a multiple of 16, `dtype` float32 or
    bfloat16.
    """
    without = () if torch.backends.cpu.get_cpu_capability() == "AVX512" else ("avx512", "avx10", "amx")
    return attention_on(compiled(head_dim, bfloat16=dtype == torch.bfloat16, without=without))


def _attend(kernels: Compiled, queries: torch.Tensor, segments: Sequence[KeyValue]) -> torch.Tensor:
    """The queries are the last tokens of the last segment."""
    heads, count, width = queries.shape
    kv_heads = segments[-1][0].shape[0]
    pieces = [_rows_close(piece) for piece in segments if piece[0].shape[1]]
    total = sum(keys.shape[1] for keys, _ in pieces)
    threads = torch.get_num_threads() if heads * count * total >= _WORTH_THREADS else 1
    # Heads are shared out; where they do not come out even, keys are.
    by_heads = kv_heads % threads == 0
    # The query heads of one key head become more queries of one head, so that keys are read once.
    rows = heads // kv_heads * count
    run, lanes = kernels.lanes_for(rows)
    packed = _packed(kernels, queries, kv_heads, rows, lanes)
    groups = -(-rows // lanes)
    state = _nothing_yet(1 if by_heads else threads, kv_heads, groups, width, lanes).clone()
    limits = [_limits(rows, count if at == len(pieces) - 1 else 0, groups * lanes) for at in range(len(pieces))]
    scale = math.log2(math.e) / math.sqrt(width)

    def work(share: int) -> None:
        heads_here, keys_here = ((share, threads), (0, 1)) if by_heads else ((0, 1), (share, threads))
        first, beyond = _part(kv_heads, *heads_here)
        for (keys, values), hidden in zip(pieces, limits, strict=True):
            start, end = _part(keys.shape[1], *keys_here)
            record = Record(
                queries=_address(packed, first),
                limits=hidden.data_ptr(),
                keys=_address(keys, first, start),
                values=_address(values, first, start),
                state=_address(state, 0 if by_heads else share, first),
                scratch=_own_scratch(kernels.form.scratch_floats).data_ptr(),
                heads=beyond - first,
                groups=groups,
                count=end - start,
                behind=keys.shape[1] - end,
                key_stride=keys.stride(1),
                value_stride=values.stride(1),
                key_head_stride=keys.stride(0),
                value_head_stride=values.stride(0),
                scale=scale,
            )
            run(ctypes.addressof(record))

    if threads == 1:
        work(0)
    else:
        others = [_pool(os.getpid()).submit(work, share) for share in range(1, threads)]
        work(0)
        for each in others:
            each.result()
    sums, weights = _merged(state, scale)
    found = (sums / weights).to(queries.dtype)
    if lanes > 1:
        found = found.transpose(2, 3).reshape(kv_heads, groups * lanes, width)[:, :rows]
    return found.reshape(heads, count, width)


def _part(total: int, index: int, shares: int) -> tuple[int, int]:
    """Where one of so many shares begins and ends."""
    return total * index // shares, total * (index + 1) // shares


def _address(tensor: torch.Tensor, first: int, second: int = 0) -> int:
    """Of `tensor[first, second]`."""
    return tensor.data_ptr() + tensor.element_size() * (first * tensor.stride(0) + second * tensor.stride(1))


def _packed(kernels: Compiled, queries: torch.Tensor, kv_heads: int, rows: int, lanes: int) -> torch.Tensor:
    """Queries as a kernel takes them, see `define_wide` and `define_narrow`."""
    width, dots = queries.shape[2], kernels.form.dots
    packed = queries.reshape(kv_heads, rows, width)
    if not dots:
        packed = packed.float()
    if lanes > 1:
        together = 2 if dots else 1
        padded = F.pad(packed, (0, 0, 0, -rows % lanes))
        packed = padded.view(kv_heads, -1, lanes, width // together, together).transpose(2, 3)
    return packed.contiguous()


@functools.lru_cache(maxsize=256)
def _nothing_yet(shares: int, kv_heads: int, groups: int, width: int, lanes: int) -> torch.Tensor:
    """What a kernel keeps of a group, before the first key: its sums, its greatest scores, its sums of weights."""
    found = torch.zeros(shares, kv_heads, groups, width + 2, lanes)
    found[..., width, :] = _NOTHING_YET
    return found


def _merged(state: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted sums of values `[kv_heads, groups, head_dim, lanes]` and sums of weights, of all shares."""
    sums, greatest, weights = state[..., :-2, :], state[..., -2:-1, :], state[..., -1:, :]
    if len(state) == 1:
        return sums[0], weights[0]
    part = torch.exp2((greatest - greatest.amax(dim=0)) * scale)
    return (sums * part).sum(dim=0), (weights * part).sum(dim=0)


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
