"""Attention in float64, written as the formula stands, to hold kernels against."""

from collections.abc import Sequence

import torch


def attended(
    queries: torch.Tensor, segments: Sequence[tuple[torch.Tensor, torch.Tensor]], *, causal: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output float64[heads, count, head_dim] and natural log-sum-exp float64[heads, count] of `queries[heads, count,
    head_dim]`, the last tokens of the joined pieces, each `[kv_heads, tokens, head_dim]`.
    """
    keys, values = (torch.cat([piece[part] for piece in segments], dim=1).double() for part in (0, 1))
    groups = queries.shape[0] // keys.shape[0]
    keys, values = keys.repeat_interleave(groups, 0), values.repeat_interleave(groups, 0)
    scores = queries.double() @ keys.transpose(1, 2) / queries.shape[2] ** 0.5
    count, tokens = scores.shape[1:]
    if causal:
        later = torch.ones(count, tokens, dtype=torch.bool, device=scores.device).triu(tokens - count + 1)
        scores = scores.masked_fill(later, float("-inf"))
    if tokens == 0:
        return torch.zeros_like(queries, dtype=torch.float64), scores.logsumexp(-1)
    return scores.softmax(-1) @ values, scores.logsumexp(-1)
