"""Attention of many queries of one sequence over its cache: appended chunks, and questions over several pieces.

The query heads of one key head stand side by side in one tile, tokens are shared out over several programs where the
tiles alone would leave the device idle, and nothing is masked but the corner that the newest tokens make among
themselves. Lengths may be read from device memory. It knows nothing of layers, sessions or chunks.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from stillwing_vlm.core.engines.kernels.codes import reads_codes, widened, widened_scale
from stillwing_vlm.core.engines.kernels.decode import LN_2, LOG2_E
from stillwing_vlm.core.engines.kernels.shares import append_splits
from stillwing_vlm.core.engines.kernels.tables import TRITON_TYPES, multiprocessors
from stillwing_vlm.core.engines.tensors.scaled import Cached, Scaled, scale_address


class Segment(NamedTuple):
    """A piece of cache, `[kv_heads, capacity, head_dim]` each, and which of its tokens are attended: `span`
    int32[2] on the device, start and end; None: all of them.
    """

    keys: Cached
    values: Cached
    span: torch.Tensor | None = None


class Tile(NamedTuple):
    """How the kernel cuts its work: query rows and cached tokens at a time, warps, and loads under way."""

    rows: int
    tokens: int
    warps: int
    stages: int


def tile_for(device: torch.device, dtype: torch.dtype, head_dim: int, *, widens: bool = False) -> Tile:
    """A tile for the device; `widens`: it turns codes into `dtype` by arithmetic."""
    if device.type != "cuda":
        return Tile(32, 32, 4, 2)
    properties: Any = torch.cuda.get_device_properties(device)
    return tile_within(properties.shared_memory_per_block_optin, dtype, head_dim, widens=widens)


def tile_within(shared_bytes: int, dtype: torch.dtype, head_dim: int, *, widens: bool = False) -> Tile:
    """The largest tile that so much shared memory holds, and a thread's registers."""
    # float32 has no matrix units that keep its precision, and widened codes take registers: large tiles would spill.
    most_rows = 64 if widens or dtype == torch.float32 else 128
    for tile in (Tile(128, 128, 8, 2), Tile(128, 64, 8, 2), Tile(64, 64, 4, 2), Tile(64, 32, 4, 2)):
        needed = (tile.rows + 2 * tile.stages * tile.tokens) * head_dim * dtype.itemsize
        if needed + 4096 <= shared_bytes and tile.rows <= most_rows:
            return tile
    return Tile(32, 16, 4, 1)


def append(
    queries: torch.Tensor,
    keys: Cached,
    values: Cached,
    span: torch.Tensor | None = None,
    *,
    out: torch.Tensor | None = None,
    log_sum: torch.Tensor | None = None,
) -> torch.Tensor:
    """`queries[heads, count, head_dim]` are the last tokens of the attended ones; each attends all up to itself.

    `keys` and `values` `[kv_heads, capacity, head_dim]`, of equal strides, with scales or without; `span` int32[2] on
    the device says which of their tokens are attended, None: all. `out` as `queries` of any strides; `log_sum`
    float32[heads, count] receives the natural log-sum-exp of each query's scores. No host synchronisation.
    """
    return attend(queries, [Segment(keys, values, span)], out=out, log_sum=log_sum)


def attend(
    queries: torch.Tensor,
    segments: Sequence[Segment],
    *,
    out: torch.Tensor | None = None,
    log_sum: torch.Tensor | None = None,
    splits: int | None = None,
    tile: Tile | None = None,
) -> torch.Tensor:
    """The same over several pieces as if they were one; the queries are the last tokens of the last of them.

    `splits`: programs that share each piece's tokens, None: as many as pay.
    """
    heads, count, head_dim = queries.shape
    kv_heads = segments[0].keys.shape[0]
    groups, device = heads // kv_heads, queries.device
    widens = any(isinstance(each.keys, Scaled) for each in segments) and not reads_codes(device)
    tile = tile or tile_for(device, queries.dtype, head_dim, widens=widens)
    tiles = -(-count * groups // tile.rows)
    processors = multiprocessors(device)
    shares = [splits or append_splits(tiles * kv_heads, each.keys.shape[1], processors) for each in segments]
    partial = torch.empty(sum(shares), heads, count, head_dim, device=device)
    partial_log_sum = torch.empty(sum(shares), heads, count, device=device)
    first = 0
    for index, (segment, share) in enumerate(zip(segments, shares, strict=True)):
        keys, values, *scales = _checked(segment)
        _attend_kernel[(tiles, kv_heads, share)](
            queries,
            queries.stride(0),
            queries.stride(1),
            keys,
            values,
            *scales,
            segment.keys.stride()[0],
            segment.span,
            segment.keys.shape[1],
            partial[first],
            partial_log_sum[first],
            count,
            1.0 / math.sqrt(head_dim),
            GROUPS=groups,
            HEAD_DIM=head_dim,
            CAUSAL=index == len(segments) - 1,
            BLOCK_M=tile.rows,
            BLOCK_N=tile.tokens,
            TYPE=TRITON_TYPES[queries.dtype],
            PRECISE=queries.dtype == torch.float32,
            NATIVE=scales[0] is not None and reads_codes(device),
            num_warps=tile.warps,
            num_stages=tile.stages,
            enable_fp_fusion=True,
        )
        first += share
    found = torch.empty_like(queries) if out is None else out
    sums = partial_log_sum[0] if log_sum is None else log_sum
    block = 32
    _merge_kernel[(-(-heads * count // block),)](
        partial,
        partial_log_sum,
        first,
        found,
        found.stride(0),
        found.stride(1),
        sums,
        sums.stride(0),
        sums.stride(1),
        heads * count,
        count,
        HEAD_DIM=head_dim,
        BLOCK_R=block,
        LOG_SUM=log_sum is not None,
        num_warps=4,
        enable_fp_fusion=True,
    )
    return found


def _checked(segment: Segment) -> tuple[torch.Tensor | None, ...]:
    """Keys, values, and the scales of both where they have any; codes as bytes."""
    keys, values = segment.keys, segment.values
    if keys.stride() != values.stride() or keys.stride()[1:] != (keys.shape[2], 1):
        raise ValueError(f"keys strided {keys.stride()} beside values strided {values.stride()}")
    if isinstance(keys, Scaled) and isinstance(values, Scaled):
        scale_address(keys), scale_address(values)
        return keys.codes.view(torch.uint8), values.codes.view(torch.uint8), keys.scales, values.scales
    if isinstance(keys, Scaled) or isinstance(values, Scaled):
        raise ValueError("keys with scales beside values without, or the other way round")
    return keys, values, None, None


@triton.jit
def _attend_tokens(
    asked,
    keys,
    values,
    key_scales,
    value_scales,
    first,
    last,
    newest,
    scale,
    highest,
    total,
    gathered,
    HEAD_DIM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    MASKED: tl.constexpr,
    CAUSAL: tl.constexpr,
    TYPE: tl.constexpr,
    PRECISE: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """Online softmax over tokens `[first, last)`; with MASKED and CAUSAL, each row's only up to its `newest`. With
    scales, keys and values are codes.
    """
    dim = tl.arange(0, HEAD_DIM)
    for at in range(first, last, BLOCK_N):
        token = at + tl.arange(0, BLOCK_N)
        cell = token[:, None].to(tl.int64) * HEAD_DIM + dim[None, :]
        if MASKED:
            key = tl.load(keys + cell, mask=token[:, None] < last, other=0)
            value = tl.load(values + cell, mask=token[:, None] < last, other=0)
        else:
            key = tl.load(keys + cell)
            value = tl.load(values + cell)
        if key_scales is not None:
            key = widened(key, TYPE, NATIVE)
            value = widened(value, TYPE, NATIVE)
        score = tl.dot(asked, tl.trans(key), input_precision="ieee" if PRECISE else None) * scale
        if key_scales is not None:
            score *= widened_scale(tl.load(key_scales + token, mask=token < last, other=0.0), NATIVE)[None, :]
        if MASKED:
            if CAUSAL:
                score = tl.where(token[None, :] <= newest[:, None], score, float("-inf"))
            else:
                score = tl.where(token[None, :] < last, score, float("-inf"))
        now = tl.maximum(highest, tl.max(score, axis=1))
        # Minus infinity less itself is no number.
        base = tl.where(now == float("-inf"), 0.0, now) if MASKED else now
        weight = tl.exp2(score - base[:, None])
        shrink = tl.exp2(highest - base)
        total = total * shrink + tl.sum(weight, axis=1)
        gathered = gathered * shrink[:, None]
        if key_scales is not None:
            weight *= widened_scale(tl.load(value_scales + token, mask=token < last, other=0.0), NATIVE)[None, :]
        gathered = tl.dot(weight.to(TYPE), value, gathered, input_precision="ieee" if PRECISE else None)
        highest = now
    return highest, total, gathered


@triton.jit
def _attend_kernel(
    queries,
    query_head,
    query_row,
    keys,
    values,
    key_scales,
    value_scales,
    key_head,
    span,
    tokens,
    partial,
    partial_log_sum,
    count,
    scale,
    GROUPS: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    CAUSAL: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    TYPE: tl.constexpr,
    PRECISE: tl.constexpr,
    NATIVE: tl.constexpr,
):
    tile, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    splits, kv_heads = tl.num_programs(2), tl.num_programs(1)
    start, end = 0, tokens
    if span is not None:
        start = tl.load(span)
        end = tl.load(span + 1)
    lane = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    real = lane < count * GROUPS
    row = lane // GROUPS
    head = kv_head * GROUPS + lane % GROUPS
    dim = tl.arange(0, HEAD_DIM)
    asked = tl.load(
        queries + head[:, None].to(tl.int64) * query_head + row[:, None] * query_row + dim[None, :],
        mask=real[:, None],
        other=0.0,
    )
    highest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    gathered = tl.zeros([BLOCK_M, HEAD_DIM], tl.float32)
    scale *= LOG2_E

    # Tokens that this tile's queries see at all, and those that every one of them sees.
    newest = row + (end - count)
    if CAUSAL:
        last_row = tl.minimum(count - 1, (tile * BLOCK_M + BLOCK_M - 1) // GROUPS)
        seen = tl.maximum(start, end - count + last_row + 1)
        by_all = tl.maximum(start, end - count + tile * BLOCK_M // GROUPS + 1)
    else:
        seen = tl.maximum(start, end)
        by_all = seen
    blocks = tl.cdiv(seen - start, BLOCK_N)
    block = (blocks.to(tl.int64) * split // splits).to(tl.int32)
    last_block = (blocks.to(tl.int64) * (split + 1) // splits).to(tl.int32)
    plain = tl.minimum(last_block, tl.maximum(block, (by_all - start) // BLOCK_N))

    first = (kv_head * key_head).to(tl.int64)
    keys += first
    values += first
    if key_scales is not None:
        key_scales += first // HEAD_DIM
        value_scales += first // HEAD_DIM
    highest, total, gathered = _attend_tokens(
        asked, keys, values, key_scales, value_scales, start + block * BLOCK_N, start + plain * BLOCK_N, newest, scale,
        highest, total, gathered, HEAD_DIM, BLOCK_N, False, CAUSAL, TYPE, PRECISE, NATIVE,
    )  # fmt: skip
    highest, total, gathered = _attend_tokens(
        asked, keys, values, key_scales, value_scales, start + plain * BLOCK_N,
        tl.minimum(start + last_block * BLOCK_N, seen), newest, scale,
        highest, total, gathered, HEAD_DIM, BLOCK_N, True, CAUSAL, TYPE, PRECISE, NATIVE,
    )  # fmt: skip

    place = ((split * kv_heads * GROUPS + head) * count + row).to(tl.int64)
    weighed = tl.where(total == 0.0, 1.0, total)
    tl.store(partial + place[:, None] * HEAD_DIM + dim[None, :], gathered / weighed[:, None], mask=real[:, None])
    tl.store(partial_log_sum + place, highest + tl.log2(weighed), mask=real)


@triton.jit
def _merge_kernel(
    partial,
    partial_log_sum,
    splits,
    out,
    out_head,
    out_row,
    log_sum,
    log_sum_head,
    log_sum_row,
    rows,
    count,
    HEAD_DIM: tl.constexpr,
    BLOCK_R: tl.constexpr,
    LOG_SUM: tl.constexpr,
):
    row = tl.program_id(0) * BLOCK_R + tl.arange(0, BLOCK_R)
    real = row < rows
    dim = tl.arange(0, HEAD_DIM)
    highest = tl.full([BLOCK_R], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_R], tl.float32)
    gathered = tl.zeros([BLOCK_R, HEAD_DIM], tl.float32)
    for split in range(splits):
        place = tl.cast(split, tl.int64) * rows + row
        part = tl.load(partial_log_sum + place, mask=real, other=float("-inf"))
        values = tl.load(partial + place[:, None] * HEAD_DIM + dim[None, :], mask=real[:, None], other=0.0)
        now = tl.maximum(highest, part)
        base = tl.where(now == float("-inf"), 0.0, now)
        weight = tl.exp2(part - base)
        shrink = tl.exp2(highest - base)
        total = total * shrink + weight
        gathered = gathered * shrink[:, None] + values * weight[:, None]
        highest = now
    weighed = tl.where(total == 0.0, 1.0, total)
    head, query = row // count, row % count
    cell = head.to(tl.int64)[:, None] * out_head + query[:, None] * out_row + dim[None, :]
    tl.store(out + cell, (gathered / weighed[:, None]).to(out.dtype.element_ty), mask=real[:, None])
    if LOG_SUM:
        found = (highest + tl.log2(weighed)) * LN_2
        tl.store(log_sum + head * log_sum_head + query * log_sum_row, found, mask=real)
