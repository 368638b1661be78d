"""Attention of a few queries of each of several branches over pieces of cache that lie anywhere on the device.

Where the pieces lie and how long they are is read from device memory, so that a captured graph goes on being right
while trunks grow and slide, sessions come and go, and branches lengthen. Keys that several branches share are read once
for all of them; all query heads of one key head are attended together. It knows nothing of layers, sessions or chunks.
"""

import math

import torch
import triton
import triton.language as tl

from stillwing_vlm.core.engines.kernels.codes import reads_codes, widened, widened_scale
from stillwing_vlm.core.engines.kernels.tables import TRITON_TYPES, DecodeWorkspace, SegmentTable

BLOCK_TOKENS = 64
"""Cached tokens that a program attends at a time."""

LEAST_BLOCKS = 4
"""Blocks that a program gets before another one is given any."""

LOG2_E = tl.constexpr(math.log2(math.e))
LN_2 = tl.constexpr(math.log(2.0))


def plan_decode(table: SegmentTable, workspace: DecodeWorkspace) -> None:
    """Take note of the table's addresses, spans and counts, once before the layers of a step: one small kernel."""
    units = workspace.together * workspace.segments
    _plan_kernel[(workspace.jobs.shape[0],)](
        table.addresses,
        table.spans,
        table.counts,
        workspace.jobs,
        workspace.rows,
        units,
        SEGMENTS=workspace.segments,
        TOGETHER=workspace.together,
        UNITS=max(2, 1 << (units - 1).bit_length()),
        BLOCK_N=BLOCK_TOKENS,
        num_warps=1,
        enable_fp_fusion=True,
    )


def decode(
    queries: torch.Tensor,
    table: SegmentTable,
    layer: int,
    out: torch.Tensor,
    workspace: DecodeWorkspace,
    log_sum: torch.Tensor | None = None,
) -> None:
    """Attend `queries[heads, rows * width, head_dim]`, row by row, into `out` of the same shape and any strides.

    A query attends the pieces before its row's own whole, and the own one up to itself: its keys and values must be
    there. `layer` of the pieces is attended; `log_sum` float32[heads, rows * width] receives the natural log-sum-exp of
    each query's scores. Queries that are not fed get zeros and minus infinity. `plan_decode` must have run since the
    table changed. No host synchronisation, and a grid that depends on the workspace alone.
    """
    work = workspace
    groups = work.heads // work.kv_heads
    row_groups, units = work.jobs.shape[:2]
    tiles = -(-work.together * work.width * groups // work.lanes)
    sizes = {"WIDTH": work.width, "TOGETHER": work.together, "HEAD_DIM": work.head_dim, "LEAST": LEAST_BLOCKS}
    native = table.scales is not None and reads_codes(queries.device)
    _decode_kernel[(work.splits, work.kv_heads, row_groups * tiles)](
        queries,
        queries.stride(0),
        queries.stride(1),
        table.addresses,
        table.strides,
        table.scales,
        table.spans,
        table.counts,
        work.jobs,
        layer,
        work.partial,
        work.partial_log_sum,
        work.rows,
        work.heads,
        units,
        1.0 / math.sqrt(work.head_dim),
        GROUPS=groups,
        SEGMENTS=work.segments,
        TILES=tiles,
        BLOCK_M=work.lanes,
        BLOCK_N=BLOCK_TOKENS,
        TYPE=TRITON_TYPES[table.dtype],
        PRECISE=table.dtype == torch.float32,
        NATIVE=native,
        num_warps=8 if work.lanes == 128 else 4,
        num_stages=_stages(work.lanes, widens=table.scales is not None and not native),
        enable_fp_fusion=True,
        **sizes,
    )
    sums = out if log_sum is None else log_sum
    _merge_kernel[(work.rows * work.width, work.heads)](
        work.partial,
        work.partial_log_sum,
        work.jobs,
        table.counts,
        out,
        out.stride(0),
        out.stride(1),
        sums,
        sums.stride(0),
        sums.stride(1),
        work.splits,
        units,
        BLOCK_S=16,
        LOG_SUM=log_sum is not None,
        num_warps=4,
        enable_fp_fusion=True,
        **sizes,
    )


def _stages(lanes: int, *, widens: bool) -> int:
    """Blocks of keys and values on their way at a time."""
    if lanes == 16:
        return 3
    # Codes that a card widens by arithmetic need registers: with two blocks on their way a thread of an 8.6 card puts
    # 400 to 1100 bytes aside in each turn of the loop, with one no more than 40.
    return 1 if widens and lanes == 128 else 2


@triton.jit
def _active_splits(blocks, splits, LEAST: tl.constexpr):
    """Programs that get any of `blocks`."""
    return tl.minimum(splits, tl.maximum(1, tl.cdiv(blocks, LEAST)))


@triton.jit
def _plan_kernel(
    addresses,
    spans,
    counts,
    jobs,
    rows,
    units,
    SEGMENTS: tl.constexpr,
    TOGETHER: tl.constexpr,
    UNITS: tl.constexpr,
    BLOCK_N: tl.constexpr,
):
    group = tl.program_id(0)
    unit = tl.arange(0, UNITS)
    row = group * TOGETHER + unit // SEGMENTS
    real = (unit < units) & (row < rows)
    segment = unit % SEGMENTS
    place = row * SEGMENTS + segment
    fed = tl.load(counts + row, mask=real, other=0).to(tl.int32)
    start = tl.load(spans + 2 * place, mask=real, other=0).to(tl.int32)
    end = tl.load(spans + 2 * place + 1, mask=real, other=0).to(tl.int32)
    end += tl.where(segment == SEGMENTS - 1, fed, 0)
    # Rows that attend nothing of a piece take no part in its job.
    real &= (end > start) & (fed > 0)
    address = tl.load(addresses + 2 * place, mask=real, other=0)
    same = (address[:, None] == address[None, :]) & real[:, None] & real[None, :]
    same &= segment[:, None] == segment[None, :]
    earlier = tl.sum((same & (unit[None, :] < unit[:, None])).to(tl.int32), axis=1)
    first = tl.min(tl.where(same, start[None, :], 2147483647), axis=1)
    last = tl.max(tl.where(same, end[None, :], 0), axis=1)
    blocks = tl.where(real & (earlier == 0), tl.cdiv(last - first, BLOCK_N), 0)
    job = jobs + (group * units + unit) * 3
    tl.store(job, first, mask=unit < units)
    tl.store(job + 1, last, mask=unit < units)
    tl.store(job + 2, tl.cumsum(blocks, axis=0), mask=unit < units)


@triton.jit
def _attend_piece(
    asked,
    keys,
    values,
    key_scales,
    value_scales,
    first,
    last,
    beyond,
    start,
    end,
    scale,
    highest,
    total,
    gathered,
    HEAD_DIM: tl.constexpr,
    BLOCK_N: tl.constexpr,
    TYPE: tl.constexpr,
    PRECISE: tl.constexpr,
    NATIVE: tl.constexpr,
):
    """Online softmax over a piece's tokens `[first, last)` that come before `beyond`; each lane's from its `start` to
    its `end`. With scales, keys and values are codes.
    """
    dim = tl.arange(0, HEAD_DIM)
    for at in range(first, last, BLOCK_N):
        cached = at + tl.arange(0, BLOCK_N)
        there = cached[:, None] < beyond
        cell = cached[:, None].to(tl.int64) * HEAD_DIM + dim[None, :]
        key = tl.load(keys + cell, mask=there, other=0)
        value = tl.load(values + cell, mask=there, other=0)
        if key_scales is not None:
            key = widened(key, TYPE, NATIVE)
            value = widened(value, TYPE, NATIVE)
        score = tl.dot(asked, tl.trans(key), input_precision="ieee" if PRECISE else None) * scale
        if key_scales is not None:
            score *= widened_scale(tl.load(key_scales + cached, mask=cached < beyond, other=0.0), NATIVE)[None, :]
        seen = (cached[None, :] >= start[:, None]) & (cached[None, :] < end[:, None])
        score = tl.where(seen, score, float("-inf"))
        now = tl.maximum(highest, tl.max(score, axis=1))
        # Minus infinity less itself is no number.
        base = tl.where(now == float("-inf"), 0.0, now)
        weight = tl.exp2(score - base[:, None])
        shrink = tl.exp2(highest - base)
        total = total * shrink + tl.sum(weight, axis=1)
        gathered = gathered * shrink[:, None]
        if key_scales is not None:
            weight *= widened_scale(tl.load(value_scales + cached, mask=cached < beyond, other=0.0), NATIVE)[None, :]
        gathered = tl.dot(weight.to(TYPE), value, gathered, input_precision="ieee" if PRECISE else None)
        highest = now
    return highest, total, gathered


@triton.jit(do_not_specialize=["layer"])
def _decode_kernel(
    queries,
    query_head,
    query_token,
    addresses,
    strides,
    scales,
    spans,
    counts,
    jobs,
    layer,
    partial,
    partial_log_sum,
    rows,
    heads,
    units,
    scale,
    GROUPS: tl.constexpr,
    SEGMENTS: tl.constexpr,
    WIDTH: tl.constexpr,
    TOGETHER: tl.constexpr,
    TILES: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    LEAST: tl.constexpr,
    TYPE: tl.constexpr,
    PRECISE: tl.constexpr,
    NATIVE: tl.constexpr,
):
    split, kv_head = tl.program_id(0), tl.program_id(1)
    group, tile = tl.program_id(2) // TILES, tl.program_id(2) % TILES
    splits = tl.num_programs(0)
    jobs += group * units * 3
    blocks = tl.load(jobs + (units - 1) * 3 + 2)
    active = _active_splits(blocks, splits, LEAST)
    if split >= active:
        return
    block = (blocks.to(tl.int64) * split // active).to(tl.int32)
    last_block = (blocks.to(tl.int64) * (split + 1) // active).to(tl.int32)

    lane = tile * BLOCK_M + tl.arange(0, BLOCK_M)
    row = group * TOGETHER + lane // (WIDTH * GROUPS)
    fed_as = lane % (WIDTH * GROUPS) // GROUPS
    head = kv_head * GROUPS + lane % GROUPS
    real = (lane < TOGETHER * WIDTH * GROUPS) & (row < rows)
    real &= fed_as < tl.load(counts + row, mask=real, other=0).to(tl.int32)
    token = row * WIDTH + fed_as
    dim = tl.arange(0, HEAD_DIM)
    asked = tl.load(
        queries + head[:, None] * query_head + token[:, None] * query_token + dim[None, :],
        mask=real[:, None],
        other=0.0,
    )
    highest = tl.full([BLOCK_M], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_M], tl.float32)
    gathered = tl.zeros([BLOCK_M, HEAD_DIM], tl.float32)
    scale *= LOG2_E

    unit = 0
    before = 0
    while block < last_block:
        until = tl.load(jobs + unit * 3 + 2)
        if until > block:
            first = tl.load(jobs + unit * 3)
            beyond = tl.load(jobs + unit * 3 + 1)
            segment = unit % SEGMENTS
            place = (group * TOGETHER + unit // SEGMENTS) * SEGMENTS + segment
            offset = layer * tl.load(strides + 2 * place) + kv_head * tl.load(strides + 2 * place + 1)
            address = tl.load(addresses + 2 * place)
            value_address = tl.load(addresses + 2 * place + 1)
            own = row * SEGMENTS + segment
            attends = real & (tl.load(addresses + 2 * own, mask=real, other=0) == address)
            start = tl.load(spans + 2 * own, mask=attends, other=0).to(tl.int32)
            end = tl.load(spans + 2 * own + 1, mask=attends, other=0).to(tl.int32)
            end += tl.where(attends & (segment == SEGMENTS - 1), fed_as + 1, 0)
            stop = tl.minimum(last_block, until)
            at, last = first + (block - before) * BLOCK_N, first + (stop - before) * BLOCK_N
            # What is known of a pointer is said where it is made: told of an argument, it would be lost.
            keys = tl.multiple_of(address.to(tl.pointer_type(TYPE)) + offset, 16)
            values = tl.multiple_of(value_address.to(tl.pointer_type(TYPE)) + offset, 16)
            if scales is None:
                highest, total, gathered = _attend_piece(
                    asked, keys, values, None, None, at, last, beyond, start, end, scale,
                    highest, total, gathered, HEAD_DIM, BLOCK_N, TYPE, PRECISE, NATIVE,
                )  # fmt: skip
            else:
                key_scales, value_scales = tl.load(scales + 2 * place), tl.load(scales + 2 * place + 1)
                if key_scales != 0:
                    key_codes = tl.multiple_of(address.to(tl.pointer_type(tl.uint8)) + offset, 16)
                    value_codes = tl.multiple_of(value_address.to(tl.pointer_type(tl.uint8)) + offset, 16)
                    vectors = offset // HEAD_DIM
                    highest, total, gathered = _attend_piece(
                        asked, key_codes, value_codes,
                        key_scales.to(tl.pointer_type(tl.float32)) + vectors,
                        value_scales.to(tl.pointer_type(tl.float32)) + vectors,
                        at, last, beyond, start, end, scale,
                        highest, total, gathered, HEAD_DIM, BLOCK_N, TYPE, PRECISE, NATIVE,
                    )  # fmt: skip
                else:
                    highest, total, gathered = _attend_piece(
                        asked, keys, values, None, None, at, last, beyond, start, end, scale,
                        highest, total, gathered, HEAD_DIM, BLOCK_N, TYPE, PRECISE, NATIVE,
                    )  # fmt: skip
            block = stop
        before = until
        unit += 1

    place = (token.to(tl.int64) * heads + head) * splits + split
    weighed = tl.where(total == 0.0, 1.0, total)
    tl.store(partial + place[:, None] * HEAD_DIM + dim[None, :], gathered / weighed[:, None], mask=real[:, None])
    tl.store(partial_log_sum + place, highest + tl.log2(weighed), mask=real)


@triton.jit
def _merge_kernel(
    partial,
    partial_log_sum,
    jobs,
    counts,
    out,
    out_head,
    out_token,
    log_sum,
    log_sum_head,
    log_sum_token,
    splits,
    units,
    WIDTH: tl.constexpr,
    TOGETHER: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    BLOCK_S: tl.constexpr,
    LEAST: tl.constexpr,
    LOG_SUM: tl.constexpr,
):
    token, head = tl.program_id(0), tl.program_id(1)
    heads = tl.num_programs(1)
    row = token // WIDTH
    blocks = tl.load(jobs + ((row // TOGETHER + 1) * units - 1) * 3 + 2)
    fed = token % WIDTH < tl.load(counts + row)
    active = tl.where(fed & (blocks > 0), _active_splits(blocks, splits, LEAST), 0)
    dim = tl.arange(0, HEAD_DIM)
    first = (token * heads + head).to(tl.int64) * splits
    highest = tl.full([1], float("-inf"), tl.float32)
    total = tl.zeros([1], tl.float32)
    gathered = tl.zeros([HEAD_DIM], tl.float32)
    for at in range(0, active, BLOCK_S):
        split = at + tl.arange(0, BLOCK_S)
        there = split < active
        part = tl.load(partial_log_sum + first + split, mask=there, other=float("-inf"))
        values = tl.load(partial + (first + split)[:, None] * HEAD_DIM + dim[None, :], mask=there[:, None], other=0.0)
        now = tl.maximum(highest, tl.max(part, axis=0))
        base = tl.where(now == float("-inf"), 0.0, now)
        weight = tl.exp2(part - base)
        shrink = tl.exp2(highest - base)
        total = total * shrink + tl.sum(weight, axis=0)
        gathered = gathered * shrink + tl.sum(values * weight[:, None], axis=0)
        highest = now
    weighed = tl.where(total == 0.0, 1.0, total)
    cell = head.to(tl.int64) * out_head + token * out_token
    tl.store(out + cell + dim, (gathered / weighed).to(out.dtype.element_ty))
    if LOG_SUM:
        found = (highest + tl.log2(weighed)) * LN_2
        tl.store(log_sum + head * log_sum_head + token * log_sum_token + tl.arange(0, 1), found)
