"""A decoding step's part in the cache by the kernels: two launches a layer and one before; the host reads nothing."""

import torch

from stillwing_vlm.core.engines.kernels.cache import turn_and_write
from stillwing_vlm.core.engines.kernels.decode import DecodeWorkspace, SegmentTable, decode, plan_decode
from stillwing_vlm.core.engines.rotary import CosSin
from stillwing_vlm.core.engines.static_step import StaticStep


class KernelSegments:
    """`SegmentKernels` of one size of step."""

    def __init__(self, step: StaticStep) -> None:
        told, layers = step.inputs.told, step.layers
        self._heads = layers.heads
        # The step's own inputs: what it is told is what the kernels read.
        self._table = SegmentTable(told.addresses, told.strides, told.spans, told.counts, layers.dtype)
        self._workspace = DecodeWorkspace.empty(
            self._table, layers.heads, layers.kv_heads, layers.head_dim, width=step.width
        )
        shape = (step.rows * step.width, layers.heads, layers.head_dim)
        # Token by token, as the layers go on with them. Tokens that are not fed are never turned: zeros stay zeros.
        self._turned, self._out = (
            torch.zeros(shape, dtype=layers.dtype, device=layers.device).transpose(0, 1) for _ in range(2)
        )

    def begin(self, cos_sin: CosSin) -> None:
        """Plan who reads what."""
        plan_decode(self._table, self._workspace)
        self._cos_sin = cos_sin

    def attend(self, layer: int, raw: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Turn, write, attend."""
        queries, keys = raw[: self._heads], raw[self._heads :]
        turn_and_write(queries, keys, values, self._cos_sin, self._turned, self._table, layer)
        decode(self._turned, self._table, layer, self._out, self._workspace)
        return self._out
