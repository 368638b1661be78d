"""Linear layers whose weights are whole numbers of 8 bits with one scale for each output: half the memory of bfloat16.

What goes in and comes out keeps its type, and sums are those of the type. On CUDA a kernel widens weights in registers;
elsewhere a part of them is widened at a time. It knows nothing of what the layers are for.
"""

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

LARGEST = 127.0

_LEAST_SCALE = 1e-30
_WIDENED = 1 << 22
"""Weights widened at a time where there is no kernel."""


class Int8Linear(nn.Module):
    """In the place of `nn.Linear`. `codes` int8[outputs, inputs], `weight_scale` float32[outputs]."""

    def __init__(self, codes: torch.Tensor, weight_scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.codes = nn.Parameter(codes, requires_grad=False)
        self.weight_scale = nn.Parameter(weight_scale, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    @classmethod
    @torch.no_grad()
    def of(cls, linear: nn.Linear) -> "Int8Linear":
        """Its weights rounded to the nearest of 255 steps between the largest of each output and its negative."""
        wide = linear.weight.data.float()
        scale = (wide.abs().amax(dim=1) / LARGEST).clamp(min=_LEAST_SCALE)
        codes = (wide / scale[:, None]).round_().to(torch.int8)
        return cls(codes, scale, None if linear.bias is None else linear.bias.data)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """`[..., inputs]` to `[..., outputs]`."""
        rows = given.reshape(-1, given.shape[-1])
        return self._product(rows).view(*given.shape[:-1], self.codes.shape[0])

    def _product(self, rows: torch.Tensor) -> torch.Tensor:
        if rows.is_cuda and _has_kernel():
            from stillwing_vlm.core.engines.kernels.int8_linear import linear

            return linear(rows, self.codes, self.weight_scale, self.bias)
        outputs, inputs = self.codes.shape
        out = rows.new_empty(rows.shape[0], outputs)
        step = max(1, _WIDENED // inputs)
        for at in range(0, outputs, step):
            part = slice(at, at + step)
            found = F.linear(rows, self.codes[part].to(rows.dtype)).float() * self.weight_scale[part]
            out[:, part] = found if self.bias is None else found + self.bias[part]
        return out


@functools.cache
def _has_kernel() -> bool:
    return importlib.util.find_spec("triton") is not None


@torch.no_grad()
def side_by_side(modules: Sequence[Int8Linear]) -> Int8Linear:
    """One that gives what all of them give of the same input; they go on as views of it."""
    sizes = [module.codes.shape[0] for module in modules]
    names = ["codes", "weight_scale", *(["bias"] if modules[0].bias is not None else [])]
    whole: dict[str, torch.Tensor] = {}
    for name in names:
        whole[name] = torch.cat([getattr(module, name).data for module in modules])
        for module, part in zip(modules, torch.split(whole[name], sizes), strict=True):
            getattr(module, name).data = part
    return Int8Linear(whole["codes"], whole["weight_scale"], whole.get("bias"))


def quantise(language_model: Any) -> None:
    """Put such layers in the place of all linear ones, one after another, so that no more than one is there twice.
    Embeddings, norms and the head are no part of it.
    """
    for parent in list(language_model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear.of(child))
