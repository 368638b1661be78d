"""What stands between the products of a layer, in one launch each instead of two: sums with the norms behind them, and
the feed-forward layer's gate. Rounded where the published modules round. It knows nothing of layers or caches.
"""

import torch
import triton
import triton.language as tl

_GATED_BLOCK = 1024


def add_norm(
    hidden: torch.Tensor, added: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`hidden + added` `[tokens, width]`, and its root-mean-square norm times `weight` `[width]`. Rows side by side."""
    tokens, width = hidden.shape
    total, normed = torch.empty_like(hidden), torch.empty_like(hidden)
    _add_norm_kernel[(tokens,)](
        hidden,
        added,
        weight,
        total,
        normed,
        width,
        epsilon,
        BLOCK=triton.next_power_of_2(width),
        num_warps=8 if width > 1024 else 4,
        enable_fp_fusion=True,
    )
    return total, normed


def gated(flat: torch.Tensor) -> torch.Tensor:
    """`silu(gate) * up` `[tokens, width]` of `flat` `[tokens, 2 * width]`, which holds one after the other."""
    tokens, width = flat.shape[0], flat.shape[1] // 2
    out = torch.empty(tokens, width, dtype=flat.dtype, device=flat.device)
    _gated_kernel[(tokens, triton.cdiv(width, _GATED_BLOCK))](
        flat, out, width, BLOCK=_GATED_BLOCK, num_warps=4, enable_fp_fusion=True
    )
    return out


@triton.jit
def _add_norm_kernel(hidden, added, weight, total, normed, width, epsilon, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * width
    at = tl.arange(0, BLOCK)
    there = at < width
    one = tl.load(hidden + row + at, mask=there, other=0.0)
    other = tl.load(added + row + at, mask=there, other=0.0)
    both = (one.to(tl.float32) + other.to(tl.float32)).to(total.dtype.element_ty)
    tl.store(total + row + at, both, mask=there)
    wide = both.to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(wide * wide, axis=0) / width + epsilon)
    factor = tl.load(weight + at, mask=there, other=0.0).to(tl.float32)
    tl.store(normed + row + at, (wide * scale * factor).to(normed.dtype.element_ty), mask=there)


@triton.jit
def _gated_kernel(flat, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    there = at < width
    gate = tl.load(flat + row * 2 * width + at, mask=there, other=0.0).to(tl.float32)
    up = tl.load(flat + row * 2 * width + width + at, mask=there, other=0.0)
    opened = (gate / (1.0 + tl.exp(-gate))).to(up.dtype)
    tl.store(out + row * width + at, (opened.to(tl.float32) * up.to(tl.float32)).to(up.dtype), mask=there)
