"""What fed tokens have to do with the cache, by an attention's own calls: turned, written, attended.

All tokens that are fed as they come go this way; so do static buffers on the CPU, which is what kernels are held to. It
knows nothing of models, positions or order.
"""

from collections.abc import Sequence

import torch

from stillwing_vlm.core.backend import Row
from stillwing_vlm.core.engines.attention.plain import Attention
from stillwing_vlm.core.engines.passes.static_step import StaticStep
from stillwing_vlm.core.engines.qwen.layers import Attend, LanguageLayers
from stillwing_vlm.core.engines.tensors.rotary import CosSin
from stillwing_vlm.core.engines.tensors.scaled import Cached


class EagerAppend:
    """`AppendKernels` of `count` tokens in one slab, whose place is read at the beginning."""

    def __init__(self, attention: Attention, layers: LanguageLayers, keys: Cached, values: Cached, count: int) -> None:
        self._attention = attention
        self._layers = layers
        self._keys, self._values = keys, values
        self._count = count

    def begin(self, cos_sin: CosSin, place: torch.Tensor) -> None:
        """Note both."""
        self._cos_sin = cos_sin
        self._start, self._tail = place.tolist()

    def attend(self, layer: int, raw: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Turn, write, attend."""
        end = self._tail + self._count
        queries, keys = self._layers.turned(raw, self._cos_sin)
        self._keys[layer, :, self._tail : end] = keys
        self._values[layer, :, self._tail : end] = values
        seen = slice(self._start, end)
        return self._attention.append(queries, self._keys[layer, :, seen], self._values[layer, :, seen])


def attend_rows(attention: Attention, layers: LanguageLayers, rows: Sequence[Row], cos_sin: CosSin) -> Attend:
    """What does it for tokens of several branches, row by row: a branch's are written behind what it holds."""
    counts = [len(row.token_ids) for row in rows]
    passes = [row.branch.begin(count) for row, count in zip(rows, counts, strict=True)]

    def attend(layer: int, raw: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        queries, keys = layers.turned(raw, cos_sin)
        parts = zip(passes, torch.split(keys, counts, dim=1), torch.split(values, counts, dim=1), strict=True)
        for each, row_keys, row_values in parts:
            each.write(layer, row_keys, row_values)
        return attention.rows(queries, counts, [each.segments[layer] for each in passes])

    return attend


class EagerSegments:
    """`SegmentKernels` for rows of one width of which some lanes are fed, where the host knows which."""

    def __init__(self, attention: Attention, step: StaticStep) -> None:
        self._attention = attention
        self._step = step

    def begin(self, cos_sin: CosSin) -> None:
        """Take note of what the step feeds."""
        step = self._step
        self._fed = [at * step.width + lane for at, row in enumerate(step.fed) for lane in range(len(row.token_ids))]
        cos, sin = cos_sin
        self._attend = attend_rows(self._attention, step.layers, step.fed, (cos[self._fed], sin[self._fed]))

    def attend(self, layer: int, raw: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Lanes that are not fed get zeros."""
        found = self._attend(layer, raw[:, self._fed], values[:, self._fed])
        out = found.new_zeros(found.shape[0], raw.shape[1], found.shape[2])
        out[:, self._fed] = found
        return out
