"""Linear layers of bfloat16 weights that are multiplied in float32, for processors that do not multiply bfloat16: there
a library's product of bfloat16 takes up to three times as long as widening the weights and multiplying (measured).

What goes in and comes out keeps its type and is rounded once. It knows nothing of what the layers are for.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

_FEW_ROWS = 4
"""Rows up to which reading weights takes the time: they are left to the library."""

_WIDENED = 1 << 20
"""Weights widened at a time."""


def multiplies_bfloat16() -> bool:
    """Whether this processor does, as far as torch is to use it."""
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported()


class WideLinear(nn.Linear):
    """In the place of `nn.Linear`, over the same parameters."""

    @classmethod
    def of(cls, linear: nn.Linear) -> "WideLinear":
        """The same layer."""
        found = cls(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        found.weight, found.bias = linear.weight, linear.bias
        return found

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        return wide_product(given, self.weight, self.bias)


def wide_product(given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """`given` times the transposed weight, and the bias, as `F.linear`."""
    outputs, inputs = weight.shape
    if given.numel() <= _FEW_ROWS * inputs:
        return F.linear(given, weight, bias)
    wide, out = given.float(), given.new_empty(*given.shape[:-1], outputs)
    step = max(1, _WIDENED // inputs)
    for at in range(0, outputs, step):
        part = slice(at, at + step)
        out[..., part] = F.linear(wide, weight[part].float(), None if bias is None else bias[part].float())
    return out


def widen(model: Any) -> None:
    """Put such layers in the place of all linear ones."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, WideLinear.of(child))
