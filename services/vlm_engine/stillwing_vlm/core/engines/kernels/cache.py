"""Writing, rotating and moving cached keys and values, each in one launch for all heads, and for all layers where the
layers have nothing to wait for.

Vectors are turned in float32 and rounded once, as `rotary.rotate` does. It knows nothing of chunks, sinks or positions:
it is given cosines and sines.
"""

import torch
import triton
import triton.language as tl

from stillwing_vlm.core.engines.attention import KeyValue
from stillwing_vlm.core.engines.kernels.codes import narrowed
from stillwing_vlm.core.engines.kernels.tables import TRITON_TYPES, SegmentTable
from stillwing_vlm.core.engines.rotary import CosSin
from stillwing_vlm.core.engines.scaled import Cached, Scaled, scale_address

_MOVED_TOKENS = 128
_MOVED_BYTES = 64
"""What a program moves at a time: tokens, and bytes of either half of a vector."""


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


def place(keys: torch.Tensor, values: Cached, cos_sin: CosSin, new_keys: Cached, new_values: Cached) -> None:
    """Write kept chunks anew: un-rotated `keys[layers, kv_heads, tokens, head_dim]` turned into `new_keys`, and values.

    `new_keys` and `new_values` are slices of a slab, and must not overlap the kept ones. Where they have scales, keys
    are rounded to codes, and the kept values are codes already.
    """
    value_scales, new_key_scales, new_value_scales = None, None, None
    if isinstance(new_keys, Scaled) and isinstance(new_values, Scaled) and isinstance(values, Scaled):
        scale_address(new_keys), scale_address(new_values)
        new_key_scales, new_value_scales, value_scales = new_keys.scales, new_values.scales, values.scales
        new_keys, new_values, values = (_bytes(part) for part in (new_keys, new_values, values))
    if isinstance(new_keys, Scaled) or isinstance(new_values, Scaled) or isinstance(values, Scaled):
        raise ValueError("keys and values with scales and without are not written together")
    layers, kv_heads, tokens, head_dim = keys.shape
    if not tokens:
        return
    _check_rows(cos_sin)
    block = 32
    _place_kernel[(-(-tokens // block), layers * kv_heads)](
        keys,
        *keys.stride()[:3],
        values,
        *values.stride()[:3],
        value_scales,
        *((0, 0, 0) if value_scales is None else value_scales.stride()),
        *cos_sin,
        new_keys,
        new_values,
        new_key_scales,
        new_value_scales,
        *_equal_strides(new_keys, new_values)[:2],
        tokens,
        kv_heads,
        HALF=head_dim // 2,
        BLOCK_T=block,
        num_warps=4,
        enable_fp_fusion=True,
    )


def move(keys: Cached, values: Cached, source: int, target: int, length: int, turn: CosSin | None = None) -> None:
    """Move tokens of a slab, `[layers, kv_heads, capacity, head_dim]`, whether or not the two places overlap.

    `turn`: cosines and sines float32[1, head_dim / 2] that all moved keys are turned by besides; keys with scales are
    only moved.
    """
    if isinstance(keys, Scaled) and isinstance(values, Scaled):
        if turn is not None:
            raise ValueError("codes are not turned")
        move(_bytes(keys), _bytes(values), source, target, length)
        # Four bytes are two halves of two.
        key_scales, value_scales = (part.scales.view(torch.float16).unflatten(-1, (-1, 2)) for part in (keys, values))
        move(key_scales, value_scales, source, target, length)
        return
    if isinstance(keys, Scaled) or isinstance(values, Scaled):
        raise ValueError("keys and values with scales and without are not moved together")
    if length == 0 or (source == target and turn is None):
        return
    layers, kv_heads, _, head_dim = keys.shape
    pairs = min(head_dim // 2, _MOVED_BYTES // keys.element_size())
    cos, sin = (keys, keys) if turn is None else turn
    # A program takes part of every vector and all tokens, in an order in which nothing is overwritten unread.
    _move_kernel[(layers * kv_heads, head_dim // 2 // pairs, 2)](
        keys,
        values,
        *_equal_strides(keys, values)[:2],
        source,
        target,
        length,
        cos,
        sin,
        kv_heads,
        HALF=head_dim // 2,
        PAIRS=pairs,
        BLOCK_T=_MOVED_TOKENS,
        FORWARD=target <= source,
        TURNED=turn is not None,
        num_warps=4,
        enable_fp_fusion=True,
    )


def _launch(
    queries: torch.Tensor | None,
    keys: torch.Tensor,
    values: torch.Tensor,
    cos_sin: CosSin | None,
    turned: torch.Tensor | None,
    table: SegmentTable | None,
    there: KeyValue | None,
    layer: int,
    width: int,
) -> None:
    kv_heads, tokens, head_dim = keys.shape
    if not tokens:
        return
    new_keys, new_values = there or (None, None)
    if cos_sin is not None:
        _check_rows(cos_sin)
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
        0 if there is None else _equal_strides(*there)[0],
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


def _bytes(vectors: Scaled) -> torch.Tensor:
    return vectors.codes.view(torch.uint8)


def _check_rows(cos_sin: CosSin) -> None:
    if not all(part.is_contiguous() for part in cos_sin):
        raise ValueError("cosines and sines must lie row by row")


def _equal_strides(keys: torch.Tensor, values: torch.Tensor) -> tuple[int, ...]:
    if keys.stride() != values.stride() or keys.stride()[-2:] != (keys.shape[-1], 1):
        raise ValueError(f"keys strided {keys.stride()} beside values strided {values.stride()}")
    return keys.stride()


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


@triton.jit(do_not_specialize=["tokens"])
def _place_kernel(
    keys,
    key_layer,
    key_head,
    key_token,
    values,
    value_layer,
    value_head,
    value_token,
    value_scales,
    scale_layer,
    scale_head,
    scale_token,
    cosines,
    sines,
    new_keys,
    new_values,
    new_key_scales,
    new_value_scales,
    new_layer,
    new_head,
    tokens,
    kv_heads,
    HALF: tl.constexpr,
    BLOCK_T: tl.constexpr,
):
    token = tl.program_id(0) * BLOCK_T + tl.arange(0, BLOCK_T)
    layer, head = tl.program_id(1) // kv_heads, tl.program_id(1) % kv_heads
    layer = layer.to(tl.int64)
    real = (token < tokens)[:, None]
    pair = tl.arange(0, HALF)[None, :]
    cos = tl.load(cosines + token[:, None] * HALF + pair, mask=real, other=0.0)
    sin = tl.load(sines + token[:, None] * HALF + pair, mask=real, other=0.0)
    cell = layer * key_layer + head * key_head + token[:, None] * key_token + pair
    one = tl.load(keys + cell, mask=real, other=0.0).to(tl.float32)
    other = tl.load(keys + cell + HALF, mask=real, other=0.0).to(tl.float32)
    first, second = one * cos - other * sin, other * cos + one * sin
    base = layer * new_layer + head * new_head
    place = base + token[:, None] * 2 * HALF + pair
    if new_key_scales is not None:
        codes, more, scale = narrowed(first, second)
        tl.store(new_keys + place, codes, mask=real)
        tl.store(new_keys + place + HALF, more, mask=real)
        vectors = base // (2 * HALF) + token
        tl.store(new_key_scales + vectors, scale, mask=token < tokens)
        cell = layer * scale_layer + head * scale_head + token * scale_token
        tl.store(new_value_scales + vectors, tl.load(value_scales + cell, mask=token < tokens), mask=token < tokens)
    else:
        tl.store(new_keys + place, first.to(new_keys.dtype.element_ty), mask=real)
        tl.store(new_keys + place + HALF, second.to(new_keys.dtype.element_ty), mask=real)
    cell = layer * value_layer + head * value_head + token[:, None] * value_token + pair
    tl.store(new_values + place, tl.load(values + cell, mask=real), mask=real)
    tl.store(new_values + place + HALF, tl.load(values + cell + HALF, mask=real), mask=real)


@triton.jit(do_not_specialize=["source", "target", "length"])
def _move_kernel(
    keys,
    values,
    layer_stride,
    head_stride,
    source,
    target,
    length,
    cosines,
    sines,
    kv_heads,
    HALF: tl.constexpr,
    PAIRS: tl.constexpr,
    BLOCK_T: tl.constexpr,
    FORWARD: tl.constexpr,
    TURNED: tl.constexpr,
):
    layer, head = tl.program_id(0) // kv_heads, tl.program_id(0) % kv_heads
    pair = tl.program_id(1) * PAIRS + tl.arange(0, PAIRS)
    are_keys = tl.program_id(2) == 0
    # The branches keep which tensor is written known to the compiler.
    if are_keys:
        base = keys + layer.to(tl.int64) * layer_stride + head * head_stride
    else:
        base = values + layer.to(tl.int64) * layer_stride + head * head_stride
    if TURNED:
        cos = tl.load(cosines + pair)[None, :]
        sin = tl.load(sines + pair)[None, :]
    blocks = tl.cdiv(length, BLOCK_T)
    for step in range(blocks):
        block = step if FORWARD else blocks - 1 - step
        token = block * BLOCK_T + tl.arange(0, BLOCK_T)
        real = (token < length)[:, None]
        cell = token[:, None].to(tl.int64) * (2 * HALF) + pair[None, :]
        origin = base + source.to(tl.int64) * (2 * HALF) + cell
        first = tl.load(origin, mask=real)
        second = tl.load(origin + HALF, mask=real)
        if TURNED:
            if are_keys:
                one, other = first.to(tl.float32), second.to(tl.float32)
                first = (one * cos - other * sin).to(first.dtype)
                second = (other * cos + one * sin).to(second.dtype)
        # Where the places lie closer than a block, no thread writes before all have read.
        tl.debug_barrier()
        goal = base + target.to(tl.int64) * (2 * HALF) + cell
        tl.store(goal, first, mask=real)
        tl.store(goal + HALF, second, mask=real)
        tl.debug_barrier()
