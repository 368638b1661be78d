"""The engine's attention calls over vectors with scales, in torch's own operations: block by block, so that a cache is
never held at its full width. Same shapes and meaning as in `attention`; pieces without scales may stand among them.
"""

import math
from collections.abc import Sequence

import torch

from stillwing_vlm.core.engines.tensors.scaled import HALF_TO_ONE, Cached, CachedPair, Scaled, halves

_BLOCK_SCORES = 1 << 22
"""Scores held at once; the block of cached tokens is as long as they allow."""

_LEAST_BLOCK, _MOST_BLOCK = 128, 4096


def append_scaled(queries: torch.Tensor, keys: Cached, values: Cached) -> torch.Tensor:
    """Queries are the last tokens of `keys`; each attends everything up to itself. `[heads, queries, head_dim]`."""
    return branch_scaled(queries, [(keys, values)])


def branch_scaled(queries: torch.Tensor, segments: Sequence[CachedPair]) -> torch.Tensor:
    """Attention over pieces as if they were one; the queries are the last tokens of the last piece."""
    heads, count, width = queries.shape
    kv_heads = segments[0][0].shape[0]
    # The query heads of one key head become more queries of one head, so that keys are widened once.
    packed = queries.reshape(kv_heads, heads // kv_heads * count, width).float() * (1.0 / math.sqrt(width))
    running = _Softmax(packed)
    block = min(_MOST_BLOCK, max(_LEAST_BLOCK, _BLOCK_SCORES // (heads * count)))
    for index, (keys, values) in enumerate(segments):
        tokens = keys.shape[1]
        newest = tokens - count if index == len(segments) - 1 else None
        for at in range(0, tokens, block):
            part = slice(at, min(at + block, tokens))
            running.take(keys[:, part], values[:, part], None if newest is None else _hidden(newest, count, part))
    return running.output().view(heads, count, width).to(queries.dtype)


def _hidden(newest: int, count: int, part: slice) -> torch.Tensor | None:
    """bool[queries, tokens]: what of `part` comes after each query; None where nothing does."""
    if part.stop <= newest + 1:
        return None
    return torch.arange(part.start, part.stop)[None] > torch.arange(newest, newest + count)[:, None]


class _Softmax:
    """One softmax over blocks that come one after another. The first block shows each query something."""

    def __init__(self, packed: torch.Tensor) -> None:
        self._packed = packed
        self._highest = packed.new_full(packed.shape[:2], float("-inf"))
        self._total = packed.new_zeros(packed.shape[:2])
        self._gathered = torch.zeros_like(packed)

    def take(self, keys: Cached, values: Cached, hidden: torch.Tensor | None) -> None:
        """Attend a block `[kv_heads, tokens, head_dim]`."""
        key, key_scales = _parts(keys)
        score = self._packed @ key.transpose(1, 2)
        if key_scales is not None:
            score *= key_scales[:, None]
        if hidden is not None:
            rows = score.view(score.shape[0], -1, *hidden.shape)
            rows.masked_fill_(hidden.to(score.device), float("-inf"))
        now = torch.maximum(self._highest, score.amax(dim=-1))
        weight = (score - now[..., None]).exp_()
        shrink = (self._highest - now).exp_()
        self._total = self._total * shrink + weight.sum(dim=-1)
        value, value_scales = _parts(values)
        if value_scales is not None:
            weight *= value_scales[:, None]
        self._gathered = self._gathered * shrink[..., None] + weight @ value
        self._highest = now

    def output(self) -> torch.Tensor:
        """float32, as `packed`."""
        return self._gathered / self._total[..., None]


def _parts(vectors: Cached) -> tuple[torch.Tensor, torch.Tensor | None]:
    """float32 vectors, and what their products are multiplied by."""
    if isinstance(vectors, Scaled):
        return halves(vectors.codes).float(), vectors.scales * HALF_TO_ONE
    return vectors.float(), None
