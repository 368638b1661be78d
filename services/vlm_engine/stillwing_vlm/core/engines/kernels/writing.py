"""Turning what a step feeds, and writing it behind what its rows' pieces of cache hold: one launch a layer.

Vectors are turned in float32 and rounded once, as `rotary.rotate` does. It knows nothing of chunks, sinks or positions:
it is given cosines and sines.
"""

import torch
import triton
import triton.language as tl

from stillwing_vlm.core.engines.kernels.codes import narrowed
from stillwing_vlm.core.engines.kernels.tables import TRITON_TYPES, SegmentTable, check_rows, equal_strides
from stillwing_vlm.core.engines.tensors.rotary import CosSin


def turn_and_write(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    cos_sin: CosSin,
    turned: torch.Tensor,
    table: SegmentTable,
    layer: int,
) -> None:
    """Turn the queries of a step's tokens, and put their turned keys and their values behind the rows' own pieces,
    rounded to codes where those have scales.

    `queries[heads, rows * width, head_dim]`, and `keys` and `values` with kv_heads, of any strides; `cos_sin`
    float32[rows * width, head_dim / 2] each; `turned` as `queries`. Lengths and counts are the table's, on the device.
    """
    _launch(queries, keys, values, cos_sin, turned, table, None, layer, queries.shape[1] // table.rows)


def write(keys: torch.Tensor, values: torch.Tensor, table: SegmentTable, layer: int) -> None:
    """Put the keys, turned already, and values of a step's tokens behind the rows' own pieces."""
    _launch(None, keys, values, None, None, table, None, layer, keys.shape[1] // table.rows)


def turn_into(
    queries: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    cos_sin: CosSin,
    turned: torch.Tensor,
    new_keys: torch.Tensor,
    new_values: torch.Tensor,
) -> None:
    """The same where the place is known: `new_keys` and `new_values` `[kv_heads, tokens, head_dim]`, slices of a slab,
    of equal strides.
    """
    _launch(queries, keys, values, cos_sin, turned, None, (new_keys, new_values), 0, queries.shape[1])


def _launch(
    queries: torch.Tensor | None,
    keys: torch.Tensor,
    values: torch.Tensor,
    cos_sin: CosSin | None,
    turned: torch.Tensor | None,
    table: SegmentTable | None,
    there: tuple[torch.Tensor, torch.Tensor] | None,
    layer: int,
    width: int,
) -> None:
    kv_heads, tokens, head_dim = keys.shape
    if not tokens:
        return
    new_keys, new_values = there or (None, None)
    if cos_sin is not None:
        check_rows(cos_sin)
    _turn_kernel[(tokens,)](
        queries,
        *((0, 0) if queries is None else queries.stride()[:2]),
        keys,
        *keys.stride()[:2],
        values,
        *values.stride()[:2],
        *(cos_sin or (None, None)),
        turned,
        *((0, 0) if turned is None else turned.stride()[:2]),
        None if table is None else table.addresses,
        None if table is None else table.strides,
        None if table is None else table.scales,
        None if table is None else table.spans,
        None if table is None else table.counts,
        new_keys,
        new_values,
        0 if there is None else equal_strides(*there)[0],
        layer,
        width,
        0 if queries is None else queries.shape[0],
        kv_heads,
        SEGMENTS=1 if table is None else table.segments,
        HEADS=1 if queries is None else triton.next_power_of_2(queries.shape[0]),
        KV_HEADS=triton.next_power_of_2(kv_heads),
        HALF=head_dim // 2,
        TYPE=TRITON_TYPES[keys.dtype],
        num_warps=4,
        enable_fp_fusion=True,
    )


@triton.jit(do_not_specialize=["layer"])
def _turn_kernel(
    queries,
    query_head,
    query_token,
    keys,
    key_head,
    key_token,
    values,
    value_head,
    value_token,
    cosines,
    sines,
    turned,
    turned_head,
    turned_token,
    addresses,
    strides,
    scales,
    spans,
    counts,
    new_keys,
    new_values,
    new_head,
    layer,
    width,
    heads,
    kv_heads,
    SEGMENTS: tl.constexpr,
    HEADS: tl.constexpr,
    KV_HEADS: tl.constexpr,
    HALF: tl.constexpr,
    TYPE: tl.constexpr,
):
    token = tl.program_id(0)
    row, fed_as = token // width, token % width
    if addresses is not None:
        if fed_as >= tl.load(counts + row):
            return
    pair = tl.arange(0, HALF)
    if cosines is not None:
        cos = tl.load(cosines + token * HALF + pair)[None, :]
        sin = tl.load(sines + token * HALF + pair)[None, :]
    if queries is not None:
        head = tl.arange(0, HEADS)
        real = (head < heads)[:, None]
        cell = head[:, None].to(tl.int64) * query_head + token * query_token + pair[None, :]
        first = tl.load(queries + cell, mask=real).to(tl.float32)
        second = tl.load(queries + cell + HALF, mask=real).to(tl.float32)
        cell = head[:, None].to(tl.int64) * turned_head + token * turned_token + pair[None, :]
        tl.store(turned + cell, (first * cos - second * sin).to(TYPE), mask=real)
        tl.store(turned + cell + HALF, (second * cos + first * sin).to(TYPE), mask=real)

    head = tl.arange(0, KV_HEADS)
    real = (head < kv_heads)[:, None]
    cell = head[:, None].to(tl.int64) * key_head + token * key_token + pair[None, :]
    first = tl.load(keys + cell, mask=real, other=0.0)
    second = tl.load(keys + cell + HALF, mask=real, other=0.0)
    if cosines is not None:
        one, other = first.to(tl.float32), second.to(tl.float32)
        first = (one * cos - other * sin).to(TYPE)
        second = (other * cos + one * sin).to(TYPE)
    cell = head[:, None].to(tl.int64) * value_head + token * value_token + pair[None, :]
    value = tl.load(values + cell, mask=real, other=0.0)
    value_second = tl.load(values + cell + HALF, mask=real, other=0.0)
    if addresses is not None:
        own = row * SEGMENTS + SEGMENTS - 1
        behind = (tl.load(spans + 2 * own + 1) + fed_as).to(tl.int64)
        offset = layer * tl.load(strides + 2 * own) + behind * 2 * HALF
        head_stride = tl.load(strides + 2 * own + 1)
        place = head[:, None] * head_stride + pair[None, :]
        key_address, value_address = tl.load(addresses + 2 * own), tl.load(addresses + 2 * own + 1)
        if scales is None:
            _write(first, second, key_address, offset, place, real, TYPE, HALF)
            _write(value, value_second, value_address, offset, place, real, TYPE, HALF)
        else:
            key_scales, value_scales = tl.load(scales + 2 * own), tl.load(scales + 2 * own + 1)
            if key_scales != 0:
                vectors = offset // (2 * HALF) + head * (head_stride // (2 * HALF))
                there = head < kv_heads
                _write_codes(first, second, key_address, key_scales, offset, place, vectors, there, HALF)
                _write_codes(value, value_second, value_address, value_scales, offset, place, vectors, there, HALF)
            else:
                _write(first, second, key_address, offset, place, real, TYPE, HALF)
                _write(value, value_second, value_address, offset, place, real, TYPE, HALF)
    else:
        place = head[:, None].to(tl.int64) * new_head + token * 2 * HALF + pair[None, :]
        tl.store(new_keys + place, first, mask=real)
        tl.store(new_keys + place + HALF, second, mask=real)
        tl.store(new_values + place, value, mask=real)
        tl.store(new_values + place + HALF, value_second, mask=real)


@triton.jit
def _write(first, second, address, offset, place, real, TYPE: tl.constexpr, HALF: tl.constexpr):
    """Put one vector of each head."""
    there = tl.multiple_of(address.to(tl.pointer_type(TYPE)) + offset, 16)
    tl.store(there + place, first, mask=real)
    tl.store(there + place + HALF, second, mask=real)


@triton.jit
def _write_codes(first, second, address, scale_address, offset, place, vectors, real, HALF: tl.constexpr):
    """Round one vector of each head, and put codes and scales."""
    codes, more, scale = narrowed(first.to(tl.float32), second.to(tl.float32))
    there = tl.multiple_of(address.to(tl.pointer_type(tl.uint8)) + offset, 16)
    tl.store(there + place, codes, mask=real[:, None])
    tl.store(there + place + HALF, more, mask=real[:, None])
    tl.store(scale_address.to(tl.pointer_type(tl.float32)) + vectors, scale, mask=real)
