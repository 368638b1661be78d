"""The two attention calls of the engine. Neither repeats key heads nor copies cached keys.

Shapes: queries `[heads, queries, head_dim]`, keys and values `[kv_heads, tokens, head_dim]`, already rotated.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

KeyValue = tuple[torch.Tensor, torch.Tensor]

_MAX_SCORES = 1 << 26
"""Scores held at once by `branch_attention`; longer questions go in blocks of queries."""


def append_attention(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Queries are the last tokens of `keys`.

    Each attends everything up to itself. Returns `[heads, queries, head_dim]`.
    """
    count, total = queries.shape[1], keys.shape[1]
    grouped = queries.shape[0] != keys.shape[0]
    mask = None
    if count > 1:
        # Bottom-right causal: the queries are the newest rows of the square.
        mask = torch.ones(count, total, dtype=torch.bool, device=queries.device).tril(total - count)
    out = F.scaled_dot_product_attention(queries[None], keys[None], values[None], attn_mask=mask, enable_gqa=grouped)
    return out[0]


def branch_attention(queries: torch.Tensor, segments: Sequence[KeyValue]) -> torch.Tensor:
    """Attention over several pieces of cache as if they were one; the queries are the last tokens of the last piece.

    The scores of the pieces are normalised together, which equals merging partial results by their log-sum-exp, and no
    piece is copied. Returns `[heads, queries, head_dim]`.
    """
    count = queries.shape[1]
    total = sum(keys.shape[1] for keys, _ in segments)
    block = max(1, _MAX_SCORES // (queries.shape[0] * total))
    if count <= block:
        return _attend(queries, segments, 0, count)
    parts = [_attend(queries[:, at : at + block], segments, at, count) for at in range(0, count, block)]
    return torch.cat(parts, dim=1)


def _attend(queries: torch.Tensor, segments: Sequence[KeyValue], first: int, count: int) -> torch.Tensor:
    heads, rows, width = queries.shape
    kv_heads = segments[0][0].shape[0]
    # The query heads of one key head become more rows of one product, so that keys are read once.
    packed = queries.reshape(kv_heads, heads // kv_heads * rows, width) * (1.0 / math.sqrt(width))
    scores = [torch.matmul(packed, keys.transpose(1, 2)) for keys, _ in segments]
    if count > 1:
        own = scores[-1].view(kv_heads, -1, rows, scores[-1].shape[-1])
        newest = own.shape[-1] - count + first
        hidden = torch.ones(rows, own.shape[-1], dtype=torch.bool, device=own.device).triu(newest + 1)
        own.masked_fill_(hidden, float("-inf"))
    weights = torch.cat(scores, dim=-1).softmax(dim=-1, dtype=torch.float32).to(queries.dtype)
    out: torch.Tensor | None = None
    at = 0
    for _, values in segments:
        part = torch.matmul(weights[..., at : at + values.shape[1]], values)
        out = part if out is None else out + part
        at += values.shape[1]
    assert out is not None
    return out.view(heads, rows, width)
