"""Muon for matrices, batched over equal shapes; everything else goes to AdamW. It knows no model.

Newton-Schulz coefficients and momentum as in Keller Jordan's Muon; torch's own always runs the iteration in bfloat16,
which processors without hardware for it take seconds over.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

_A, _B, _C = 3.4445, -4.7750, 2.0315


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised: every singular value of an update is brought near one. Matrices only."""

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.05,
        *,
        bfloat16: bool = False,
    ) -> None:
        """With `bfloat16` directions are found in it; averages and weights stay as they are."""
        self._precision = torch.bfloat16 if bfloat16 else torch.float32
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient; `closure` is not supported."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                average = self.state[parameter].setdefault("average", torch.zeros_like(parameter))
                average.lerp_(parameter.grad, 1 - group["momentum"])
                update = parameter.grad.lerp(average, group["momentum"])
                by_shape[tuple(update.shape)].append((parameter, update))
            for (rows, columns), pairs in by_shape.items():
                directions = orthogonalise(torch.stack([update for _, update in pairs]).to(self._precision))
                scale = max(1.0, rows / columns) ** 0.5
                for (parameter, _), direction in zip(pairs, directions, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(
                        direction.to(parameter.dtype), alpha=-group["lr"] * scale
                    )


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of (n, rows, columns) matrices near one, by Newton-Schulz."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * (gram @ gram)) @ x
    straight: Tensor = x.mT if tall else x
    return straight


class PilotOptimizer:
    """Muon on the hidden matrices, AdamW on embeddings, biases, norms and the patch filter, one schedule for both."""

    def __init__(
        self, modules: Iterable[tuple[nn.Module, float]], muon_lr: float, adam_lr: float, *, bfloat16: bool = False
    ) -> None:
        """Each module comes with its share of the learning rates; `bfloat16` is Muon's."""
        matrices: list[dict[str, Any]] = []
        others: list[dict[str, Any]] = []
        for module, share in modules:
            named = list(module.named_parameters())
            hidden = [p for name, p in named if p.ndim == 2 and "embed_tokens" not in name and "head" not in name]
            chosen = {id(parameter) for parameter in hidden}
            matrices.append({"params": hidden, "share": share})
            others.append({"params": [p for _, p in named if id(p) not in chosen], "share": share})
        self._others = [parameter for group in others for parameter in group["params"]]
        self._optimizers = (
            Muon(matrices, lr=muon_lr, bfloat16=bfloat16),
            torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.95), weight_decay=0.0),
        )
        self._base_lr = (muon_lr, adam_lr)

    def step(self, loss: Tensor, scale: float) -> None:
        """One update against `loss` with the learning rates times `scale`."""
        for optimizer, base in zip(self._optimizers, self._base_lr, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * scale * group["share"]
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._others, 1.0)
        for optimizer in self._optimizers:
            optimizer.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """State of both, for a checkpoint."""
        return [optimizer.state_dict() for optimizer in self._optimizers]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Go on from a checkpoint."""
        for optimizer, state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)


def schedule(share: float, step: int, decay_share: float, warmup_steps: int = 20, floor: float = 0.02) -> float:
    """Learning-rate factor: a short warm-up, a plateau, then linear decay over the last `decay_share` of the stage."""
    warm = min(1.0, (step + 1) / warmup_steps)
    return warm * max(floor, min(1.0, (1.0 - share) / max(decay_share, 1e-9)))
