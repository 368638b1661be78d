"""From logits to the next tokens, on the device they lie on and without waiting for it.

What is drawn depends on a number between 0 and 1 alone, which the caller draws from the answer's seed: not on the
device, nor on what else it decodes.
"""

from dataclasses import dataclass

import torch

from stillwing_vlm.core.backend import Choosing, Repeats


def choose_tokens(logits: torch.Tensor, allowed: torch.Tensor | None = None) -> torch.Tensor:
    """The most probable tokens int64[rows] of `logits` float32[rows, vocabulary]; `allowed` rules others out."""
    return _ruled(logits, allowed).argmax(dim=-1)


def draw_tokens(
    logits: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor,
    uniform: torch.Tensor,
    allowed: torch.Tensor | None = None,
) -> torch.Tensor:
    """Drawn tokens int64[rows]; the three are float64[rows]. Rows of temperature 0 take the most probable."""
    logits = _ruled(logits, allowed)
    drawn = temperature > 0
    warmth = torch.where(drawn, temperature, 1.0)[:, None].to(logits.dtype)
    probabilities, order = (logits / warmth).softmax(dim=-1).double().sort(dim=-1, descending=True, stable=True)
    upto = probabilities.cumsum(dim=-1)
    # The token that crosses the mass stays in, so that at least one always does.
    upto = torch.where(upto - probabilities < top_p[:, None], probabilities, 0.0).cumsum(dim=-1)
    # The first whose sum is beyond the number: one of probability 0 adds nothing, so it never is.
    place = torch.searchsorted(upto, uniform[:, None] * upto[:, -1:], right=True).clamp(max=logits.shape[-1] - 1)
    return torch.where(drawn, order.gather(1, place)[:, 0], logits.argmax(dim=-1))


def _ruled(logits: torch.Tensor, allowed: torch.Tensor | None) -> torch.Tensor:
    return logits if allowed is None else logits.masked_fill(~allowed, float("-inf"))


def choose(logits: torch.Tensor, how: Choosing) -> torch.Tensor:
    """The next token int64[1] of one row, `logits` float32[vocabulary]."""
    allowed = None if how.allowed is None else torch.from_numpy(how.allowed)[None].to(logits.device)
    if how.repeats is not None:
        logits = _less_repeated(logits, how.repeats)
    if how.sampling is None:
        return choose_tokens(logits[None], allowed)
    if how.sampling.top_k:
        logits, allowed = _most_probable(_ruled(logits[None], allowed)[0], how.sampling.top_k), None
    figures = (how.sampling.temperature, how.sampling.top_p, how.uniform)
    temperature, top_p, uniform = torch.tensor(figures, dtype=torch.float64, device=logits.device).unbind()
    return draw_tokens(logits[None], temperature[None], top_p[None], uniform[None], allowed)


def _less_repeated(logits: torch.Tensor, repeats: Repeats) -> torch.Tensor:
    places = torch.from_numpy(repeats.token_ids).to(logits.device)
    scores = logits[places]
    return logits.index_put((places,), torch.where(scores < 0, scores * repeats.penalty, scores / repeats.penalty))


def _most_probable(logits: torch.Tensor, count: int) -> torch.Tensor:
    """Without those that have a smaller score than the `count`-th largest."""
    least = logits.topk(min(count, logits.shape[-1])).values[-1]
    return logits.masked_fill(logits < least, float("-inf"))


@dataclass(frozen=True, slots=True, eq=False)
class ReadToken:
    """A `Token` that is there."""

    token_id: int

    def read(self) -> int:
        """Its id."""
        return self.token_id
