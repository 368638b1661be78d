"""Products with weights of 8 bits, widened in registers, so that a token reads half the bytes. It knows nothing of
layers.
"""

import torch
import triton
import triton.language as tl

from stillwing_vlm.core.engines.kernels.tables import TRITON_TYPES

_FEW_ROWS = 16
_FEW_OUTPUTS = 4096
"""Up to so many, tiles are narrower, so that there is one for each part of the card."""


def linear(rows: torch.Tensor, codes: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`rows[count, inputs]` times `codes` int8[outputs, inputs], each output times its `scales` float32[outputs], plus
    `bias`. Sums in float32, one rounding.
    """
    rows = rows.contiguous()
    count, inputs = rows.shape
    outputs = codes.shape[0]
    if not codes.is_contiguous() or not scales.is_contiguous():
        raise ValueError("codes and scales must lie row by row")
    out = torch.empty(count, outputs, dtype=rows.dtype, device=rows.device)
    if count == 0:
        return out
    few = count <= _FEW_ROWS
    high = _FEW_ROWS if few else min(128, triton.next_power_of_2(count))
    wide = (16 if outputs <= _FEW_OUTPUTS else 64) if few else (64 if outputs <= _FEW_OUTPUTS else 128)
    _linear_kernel[(triton.cdiv(outputs, wide), triton.cdiv(count, high))](
        rows,
        codes,
        scales,
        bias,
        out,
        count,
        outputs,
        inputs,
        BLOCK_M=high,
        BLOCK_N=wide,
        BLOCK_K=128 if few else 64,
        TYPE=TRITON_TYPES[rows.dtype],
        PRECISE=rows.dtype == torch.float32,
        num_warps=4 if few else 8,
        num_stages=4 if few else 3,
        enable_fp_fusion=True,
    )
    return out


@triton.jit(do_not_specialize=["count"])
def _linear_kernel(
    rows,
    codes,
    scales,
    bias,
    out,
    count,
    outputs,
    inputs,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    TYPE: tl.constexpr,
    PRECISE: tl.constexpr,
):
    column = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    row = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    rows += row[:, None].to(tl.int64) * inputs
    codes += column[:, None].to(tl.int64) * inputs
    total = tl.zeros([BLOCK_M, BLOCK_N], tl.float32)
    for at in range(0, inputs, BLOCK_K):
        part = at + tl.arange(0, BLOCK_K)[None, :]
        given = tl.load(rows + part, mask=(row < count)[:, None] & (part < inputs), other=0.0)
        weight = tl.load(codes + part, mask=(column < outputs)[:, None] & (part < inputs), other=0)
        total = tl.dot(given, tl.trans(weight.to(TYPE)), total, input_precision="ieee" if PRECISE else None)
    total *= tl.load(scales + column, mask=column < outputs, other=0.0)[None, :]
    if bias is not None:
        total += tl.load(bias + column, mask=column < outputs, other=0.0).to(tl.float32)[None, :]
    there = (row < count)[:, None] & (column < outputs)[None, :]
    tl.store(out + row[:, None].to(tl.int64) * outputs + column[None, :], total.to(TYPE), mask=there)
