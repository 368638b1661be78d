"""What each stage of the training minimises, and how much of it is right.

It knows nothing of steps, of the clock and of checkpoints.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stillwing_training.pilot.config import TrainingPlan
from stillwing_training.pilot.dense import DenseHeads, dense_loss, truth_loss
from stillwing_training.pilot.labels import Trunk
from stillwing_training.pilot.model import as_tensor, see
from stillwing_training.pilot.packed import pack, think_packed
from stillwing_training.pilot.recorded_frames import Frames
from stillwing_training.pilot.sample import Sampler
from stillwing_training.pilot.sequence import Sequence, Words


class Objective:
    """Draws batches from some recorded flights; the same generator draws the same ones."""

    def __init__(
        self,
        plan: TrainingPlan,
        frames: Frames,
        words: Words,
        model: Any,
        heads: DenseHeads,
        rng: np.random.Generator,
        device: torch.device,
    ) -> None:
        self._plan, self._frames, self._model, self._heads = plan, frames, model, heads
        self._rng, self._device, self._bfloat16 = rng, device, uses_bfloat16(plan, device)
        flown_first = sum(plan.scenes.values()) + sum(plan.headlong_scenes.values())
        self._sampler = Sampler(frames, words, rng, flown_first, plan.off_course_share, plan.maze_share)

    def loss(self, stage: str) -> tuple[Tensor, dict[str, float], int]:
        """The loss of one batch of this stage, readings to tell, and how many samples it is the loss of."""
        if stage == "dense":
            rows = np.sort(self._rng.integers(0, len(self._frames), self._plan.dense_batch))
            loss, f1 = dense_loss(self._model, self._heads, self._frames, rows, self._rng)
            return loss, {"loss": loss.item(), "beacon_f1": f1}, len(rows)
        drawn = self._draw(stage)
        # The weights and their updates stay float32.
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._bfloat16):
            loss, readings, tokens = self._words_loss(drawn)
        if stage == "joint" and self._plan.truth_share > 0:
            rows = np.concatenate([trunk.rows for _, trunk in drawn])
            mirrored = np.concatenate([np.full(len(trunk.rows), trunk.mirrored) for _, trunk in drawn])
            off, readings["beacon_f1"] = truth_loss(self._heads, tokens.float(), self._frames, rows, mirrored)
            loss = loss + self._plan.truth_share * off
        return loss, readings, sum(len(sequence.branches) for sequence, _ in drawn)

    def _draw(self, stage: str) -> list[tuple[Sequence, Trunk]]:
        plan, sampler = self._plan, self._sampler
        if stage == "grounding":
            return [sampler.grounding() for _ in range(plan.grounding_batch)]
        # Trunks of one length side by side waste nothing on padding.
        length = int(self._rng.integers(2, plan.longest_trunk + 1))
        return [sampler.joint(length) for _ in range(max(2, plan.joint_frames // length))]

    def _words_loss(self, drawn: list[tuple[Sequence, Trunk]]) -> tuple[Tensor, dict[str, float], Tensor]:
        """Weighted cross-entropy, readings, and the image tokens (pictures, 20, hidden) of all trunks."""
        packed = pack([sequence for sequence, _ in drawn])
        pixels = as_tensor(np.concatenate([self._sampler.trunks.pixels(trunk) for _, trunk in drawn]), self._device)
        tokens = see(self._model, pixels)
        hidden = think_packed(self._model, packed, tokens)
        targets, weights = as_tensor(packed.targets, self._device), as_tensor(packed.weights, self._device)
        learnt = weights > 0
        logits = self._model.lm_head(hidden[learnt]).float()
        right, weight = targets[learnt], weights[learnt]
        loss = (F.cross_entropy(logits, right, reduction="none") * weight).sum() / weight.sum()
        deciding = weight >= 0.5
        accuracy = (logits.argmax(-1) == right)[deciding].float().mean()
        return loss, {"loss": loss.item(), "accuracy": accuracy.item()}, tokens


def uses_bfloat16(plan: TrainingPlan, device: torch.device) -> bool:
    """Whether to multiply in it: where the processor has to imitate it, it is many times slower than float32."""
    return plan.bfloat16 and (device.type != "cpu" or bool(torch.cpu.get_capabilities().get("avx512_bf16")))
