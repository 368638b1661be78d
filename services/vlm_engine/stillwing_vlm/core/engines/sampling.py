"""From logits to the next token. Drawn tokens depend on the seed alone, not on what else the device decodes."""

import numpy as np
import numpy.typing as npt
import torch

from stillwing_vlm.core.base import Sampling


def new_draw(seed: int) -> torch.Generator:
    """A seeded source of randomness, on the CPU so that every device draws alike."""
    return torch.Generator().manual_seed(seed)


def choose(
    logits: torch.Tensor, allowed: npt.NDArray[np.bool_] | None, sampling: Sampling | None, draw: torch.Generator | None
) -> int:
    """The next token of `logits` float32[vocabulary]; `allowed` bool[vocabulary] rules tokens out."""
    if allowed is not None:
        logits = logits.masked_fill(~torch.from_numpy(allowed).to(logits.device), float("-inf"))
    if sampling is None:
        return int(logits.argmax())
    probabilities, order = (logits / sampling.temperature).softmax(dim=-1).cpu().sort(descending=True)
    before = probabilities.cumsum(dim=-1) - probabilities
    # The token that crosses the mass stays in, so that at least one always does.
    kept = torch.where(before < sampling.top_p, probabilities, torch.zeros_like(probabilities))
    return int(order[torch.multinomial(kept, 1, generator=draw)])
