"""The two attention calls of the engine, in torch's own operations. None repeats key heads or copies cached keys.

Shapes: queries `[heads, queries, head_dim]`, keys and values `[kv_heads, tokens, head_dim]`, already rotated.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from stillwing_vlm.core.engines.tensors.scaled import CachedPair

KeyValue = tuple[torch.Tensor, torch.Tensor]

# `(query, key, value) -> (output, log-sum-exp)`; the public call keeps the second to itself.
_fused: Any = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

_WORTH_SPLITTING = 1 << 20
"""Scores from which one append in two calls is faster than in one."""

_MAX_SCORES = 1 << 25
"""Scores held at once by `branch_attention`; what is longer goes in blocks of queries."""


@dataclass(frozen=True, slots=True)
class Attention:
    """Who attends: `append(queries, keys, values)` and `branch(queries, segments)`, as the functions below; over cached
    vectors of one kind, with scales or without.

    `decode`, where there is one, attends one query of each of several branches in fewer calls than `branch` would take.
    """

    name: str
    append: Callable[..., torch.Tensor]
    branch: Callable[..., torch.Tensor]
    decode: Callable[..., torch.Tensor] | None = None
    reason: str = ""
    """Why it was chosen."""

    def rows(self, queries: torch.Tensor, counts: list[int], segments: Sequence[Sequence[CachedPair]]) -> torch.Tensor:
        """Attention of several branches: `counts` queries of each, side by side in `queries`, over its own segments."""
        if self.decode is not None and queries.shape[1] == len(counts):
            return self.decode(queries, segments)
        parts = zip(torch.split(queries, counts, dim=1), segments, strict=True)
        out = [self.branch(part, pieces) for part, pieces in parts]
        return out[0] if len(out) == 1 else torch.cat(out, dim=1)


def merge_pieces(parts: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """One softmax over pieces that were attended each for itself.

    A part: output `[heads, queries, head_dim]` and log-sum-exp of the scores `[heads, queries]`. In float32.
    """
    outputs = torch.stack([out.float() for out, _ in parts])
    weights = torch.stack([log_sum.float() for _, log_sum in parts]).softmax(dim=0)
    return (outputs * weights[..., None]).sum(dim=0).to(parts[0][0].dtype)


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


def append_attention_in_blocks(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The same as `append_attention`, by products and a softmax, and never more than a bounded number of scores.

    On CUDA torch's fused kernels take no mask with grouped heads; its other way repeats and widens all keys and holds
    all scores, gigabytes behind a long trunk.
    """
    return branch_attention(queries, [(keys, values)])


def held_bytes(element_bytes: int) -> int:
    """Most that `branch_attention` holds at once beside its results: scores, joined, as float32, and as weights."""
    return _MAX_SCORES * (3 * element_bytes + 4)


def append_attention_on_cpu(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The same as `append_attention`, by a quarter to a third faster over long caches.

    What was there before needs no mask, and its keys are read once for all query heads that share them.
    """
    heads, count, _ = queries.shape
    before = keys.shape[1] - count
    if heads * count * before < _WORTH_SPLITTING:
        return append_attention(queries, keys, values)
    pieces = [(keys[:, :before], values[:, :before]), (keys[:, before:], values[:, before:])]
    return branch_attention_on_cpu(queries, pieces)


def branch_attention_on_cpu(queries: torch.Tensor, segments: Sequence[KeyValue]) -> torch.Tensor:
    """The same as `branch_attention`, each piece by torch's fused kernel, which never holds all scores at once."""
    heads, count, width = queries.shape
    kv_heads, own = segments[-1][0].shape[:2]
    groups = heads // kv_heads
    # The query heads of one key head become more queries of one head, so that keys are read once.
    packed = queries.reshape(1, kv_heads, groups * count, width)
    later = torch.full((count, own), float("-inf"), dtype=queries.dtype).triu(own - count + 1).repeat(groups, 1)
    out, log_sum = _fused(packed, segments[-1][0][None], segments[-1][1][None], attn_mask=later)
    for keys, values in segments[:-1]:
        if keys.shape[1]:
            part, part_log_sum = _fused(packed, keys[None], values[None])
            out = torch.lerp(out, part, _share(part_log_sum, log_sum, out.dtype))
            log_sum = torch.logaddexp(log_sum, part_log_sum)
    found: torch.Tensor = out.view(heads, count, width)
    return found


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


def decode_attention_on_cpu(queries: torch.Tensor, segments: Sequence[Sequence[KeyValue]]) -> torch.Tensor:
    """One query of each of several branches, `[heads, branches, head_dim]`, over its own segments; on the CPU.

    Each piece of cache is attended by torch's fused kernel, which gives the log-sum-exp of the scores too; the merging
    is done for all branches at once. For small models the number of calls is what decoding costs.
    """
    heads, branches, width = queries.shape
    kv_heads = segments[0][0][0].shape[0]
    # The query heads of one key head become the queries of one head, so that keys are read once.
    packed = queries.transpose(0, 1).reshape(branches, kv_heads, heads // kv_heads, width)
    first, last = [], []
    for query, pieces in zip(packed.unbind(0), segments, strict=True):
        parts = [_fused(query[None], keys[None], values[None]) for keys, values in pieces]
        while len(parts) > 2:
            (out, log_sum), (next_out, next_log_sum) = parts[0], parts[1]
            merged = torch.lerp(next_out, out, _share(log_sum, next_log_sum, out.dtype))
            parts[:2] = [(merged, torch.logaddexp(log_sum, next_log_sum))]
        first.append(parts[0])
        last.append(parts[-1])
    out, log_sum = (torch.cat(part) for part in zip(*first, strict=True))
    if any(len(pieces) > 1 for pieces in segments):
        last_out, last_log_sum = (torch.cat(part) for part in zip(*last, strict=True))
        out = torch.lerp(last_out, out, _share(log_sum, last_log_sum, out.dtype))
    return out.reshape(branches, heads, width).transpose(0, 1)


def _share(log_sum: torch.Tensor, other: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """What part of one softmax over both lies in the first, from their log-sum-exps; `[..., 1]`."""
    return torch.sigmoid(log_sum - other).to(dtype)[..., None]


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
