"""Writing kept chunks anew and moving cached keys and values, each in one launch for all layers.

Vectors are turned in float32 and rounded once, as `rotary.rotate` does. It knows nothing of chunks, sinks or positions:
it is given cosines and sines.
"""

import torch
import triton
import triton.language as tl

from stillwing_vlm.core.engines.kernels.codes import narrowed
from stillwing_vlm.core.engines.kernels.tables import check_rows, equal_strides
from stillwing_vlm.core.engines.tensors.rotary import CosSin
from stillwing_vlm.core.engines.tensors.scaled import Cached, Scaled, scale_address

_MOVED_TOKENS = 128
_MOVED_BYTES = 64
"""What a program moves at a time: tokens, and bytes of either half of a vector."""


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
    check_rows(cos_sin)
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
        *equal_strides(new_keys, new_values)[:2],
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
        *equal_strides(keys, values)[:2],
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


def _bytes(vectors: Scaled) -> torch.Tensor:
    return vectors.codes.view(torch.uint8)


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
