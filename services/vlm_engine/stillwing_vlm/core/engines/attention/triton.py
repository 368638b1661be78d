"""The engine's attention calls on kernels of our own: any NVIDIA card from compute capability 8.0 on, any type.

Same shapes and meaning as in `plain`.
"""

from collections.abc import Sequence

import torch

from stillwing_vlm.core.engines.attention.plain import Attention
from stillwing_vlm.core.engines.kernels.append import Segment, append, attend
from stillwing_vlm.core.engines.tensors.scaled import Cached, CachedPair


def _append(queries: torch.Tensor, keys: Cached, values: Cached) -> torch.Tensor:
    return append(queries, keys, values)


def _branch(queries: torch.Tensor, segments: Sequence[CachedPair]) -> torch.Tensor:
    return attend(queries, [Segment(keys, values) for keys, values in segments])


TRITON = Attention("triton", _append, _branch)
