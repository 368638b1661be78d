"""What steps and appends have to do with the cache, by the kernels: two launches a layer, or with splitting three, and
nothing that the host reads.
"""

import torch

from stillwing_vlm.core.engines.kernels.append import append
from stillwing_vlm.core.engines.kernels.decode import decode, plan_decode
from stillwing_vlm.core.engines.kernels.tables import DecodeWorkspace, SegmentTable
from stillwing_vlm.core.engines.kernels.writing import turn_and_write
from stillwing_vlm.core.engines.passes.static_step import StaticStep
from stillwing_vlm.core.engines.qwen.layers import LanguageLayers
from stillwing_vlm.core.engines.tensors.rotary import CosSin
from stillwing_vlm.core.engines.tensors.scaled import Cached, Scaled


class KernelSegments:
    """`SegmentKernels` of one size of step."""

    def __init__(self, step: StaticStep, *, scaled: bool = False) -> None:
        """`scaled`: pieces of trunks have scales; the branches' own never do."""
        told, layers = step.inputs.told, step.layers
        self._heads = layers.heads
        # The step's own inputs: what it is told is what the kernels read.
        scales = told.scales if scaled else None
        self._table = SegmentTable(told.addresses, told.strides, told.spans, told.counts, layers.dtype, scales)
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


class KernelAppend:
    """`AppendKernels` of one size of chunk in one slab."""

    def __init__(self, layers: LanguageLayers, keys: Cached, values: Cached, count: int) -> None:
        self._keys, self._values = keys, values
        self._heads = layers.heads
        # One row with one piece, the slab: behind what it holds is where the tokens go.
        self._table = SegmentTable.empty(1, 1, layers.dtype, layers.device, scaled=isinstance(keys, Scaled))
        self._table.put(0, 0, keys, values)
        self._table.counts.fill_(count)
        self._growth = torch.tensor((0, count), device=layers.device)
        self._span = torch.zeros(2, dtype=torch.int32, device=layers.device)
        shape = (count, layers.heads, layers.head_dim)
        self._turned, self._out = (
            torch.zeros(shape, dtype=layers.dtype, device=layers.device).transpose(0, 1) for _ in range(2)
        )

    def begin(self, cos_sin: CosSin, place: torch.Tensor) -> None:
        """Say where the tokens go and what they attend."""
        self._cos_sin = cos_sin
        self._table.spans[0, 0].copy_(place)
        self._span.copy_(place + self._growth)

    def attend(self, layer: int, raw: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Turn, write, attend."""
        queries, keys = raw[: self._heads], raw[self._heads :]
        turn_and_write(queries, keys, values, self._cos_sin, self._turned, self._table, layer)
        return append(self._turned, self._keys[layer], self._values[layer], self._span, out=self._out)
