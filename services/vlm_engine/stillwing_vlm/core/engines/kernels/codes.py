"""8-bit floats inside kernels: read as numbers in registers, and rounded from float32, as `tensors.scaled` does.

Codes are bytes to the kernels. Cards from compute capability 8.9 on turn them into numbers themselves; for others, and
for the interpreter, their bits are put where float16 has them. It knows nothing of attention or of where things lie.
"""

import functools

import torch
import triton
import triton.language as tl

from stillwing_vlm.core.engines.tensors.scaled import HALF_TO_ONE, LARGEST, LEAST

_HALF_TO_ONE = tl.constexpr(HALF_TO_ONE)
_LARGEST = tl.constexpr(LARGEST)
_LEAST = tl.constexpr(LEAST)


@functools.cache
def reads_codes(device: torch.device) -> bool:
    """Whether the card turns such codes into numbers itself."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 9)


@triton.jit
def widened(codes, TYPE: tl.constexpr, NATIVE: tl.constexpr):
    """Codes as numbers of a type; to be multiplied by their scale as `widened_scale` gives it."""
    if NATIVE:
        return codes.to(tl.float8e4nv, bitcast=True).to(TYPE)
    bits = codes.to(tl.int16)
    bits = ((bits & 0x80) << 8) | ((bits & 0x7F) << 7)
    return bits.to(tl.float16, bitcast=True).to(TYPE)


@triton.jit
def widened_scale(scale, NATIVE: tl.constexpr):
    """What a widened vector's products are multiplied by."""
    if NATIVE:
        return scale
    return scale * _HALF_TO_ONE


@triton.jit
def narrowed(first, second):
    """float32 halves `[vectors, dimensions / 2]` of vectors as codes, and the vectors' scales."""
    # As whole numbers, what is no number is larger than all others.
    one = tl.max(first.to(tl.int32, bitcast=True) & 0x7FFFFFFF, axis=1)
    other = tl.max(second.to(tl.int32, bitcast=True) & 0x7FFFFFFF, axis=1)
    largest = tl.maximum(one, other).to(tl.float32, bitcast=True)
    largest = tl.where(largest < _LEAST, _LEAST, largest)
    inverse = tl.div_rn(tl.full(largest.shape, _LARGEST, tl.float32), largest)[:, None]
    return _coded(first * inverse), _coded(second * inverse), largest * (1.0 / _LARGEST)


@triton.jit
def _coded(number):
    """To the nearest code, ties to even; the numbers are at most the largest."""
    bits = number.to(tl.int32, bitcast=True)
    size = bits & 0x7FFFFFFF
    normal = ((size + 0x7FFFF + ((size >> 20) & 1)) >> 20) - (120 << 3)
    # Below 2**-6 codes are 2**-9 apart, as float32 is beside 2**14.
    small = (size.to(tl.float32, bitcast=True) + 16384.0).to(tl.int32, bitcast=True) & 0xF
    code = tl.where(size < 0x3C800000, small, normal)
    return (code | ((bits >> 24) & 0x80)).to(tl.uint8)
