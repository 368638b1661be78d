"""The engine's attention calls on flash-attn, where that package is installed: CUDA, bfloat16 or float16.

Same shapes and meaning as in `attention`. Keys are read in place: the kernel takes the slab's strides. Pieces of cache
are attended one by one and merged by the log-sum-exp of their scores, which equals one softmax over all of them.
"""

from collections.abc import Sequence
from typing import Any

import torch
from flash_attn import flash_attn_with_kvcache

from stillwing_vlm.core.engines.attention.plain import Attention, KeyValue, merge_pieces

_call: Any = flash_attn_with_kvcache


def _append(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    # The kernel's causal mask is aligned to the bottom right: the queries are the newest rows.
    out: torch.Tensor = _call(_rows(queries), _rows(keys), _rows(values), causal=True)
    return out[0].transpose(0, 1)


def _branch(queries: torch.Tensor, segments: Sequence[KeyValue]) -> torch.Tensor:
    rows, parts = _rows(queries), []
    for index, (keys, values) in enumerate(segments):
        own = index == len(segments) - 1
        out, log_sum = _call(rows, _rows(keys), _rows(values), causal=own, return_softmax_lse=True)
        parts.append((out[0].transpose(0, 1), log_sum[0]))
    return merge_pieces(parts)


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    """`[heads, tokens, head_dim]` as the kernel's `[1, tokens, heads, head_dim]`, without a copy."""
    return tensor.transpose(0, 1)[None]


FLASH = Attention("flash", _append, _branch)
