"""Training of the recall model: first what a sign shows, then what was shown when. One core, under ten minutes.

It knows nothing of the engine that will run the model.
"""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from stillwing_training.pilot.model import think
from stillwing_training.pilot.optimizer import PilotOptimizer, schedule
from stillwing_training.recall.model import export_recall, make_recall_model, recall_tokenizer, see_pairs
from stillwing_training.recall.sample import LAYOUTS, Layout, Teacher, lay_out
from stillwing_training.recall.signs import COLOUR_NAMES, KEYS
from stillwing_vlm.core.inputs.text import ChatText

FIRST_UNSEEN_SEED = 1_000_000
"""Streams from this seed on are for evaluation alone; training draws from seeds below."""


@dataclass(frozen=True)
class RecallPlan:
    """How much of what; the defaults made the published weights."""

    dense_steps: int = 250
    dense_grids: int = 192
    words_steps: int = 1100
    batch_grids: int = 240
    longest_chunks: int = 40
    questions: int = 20
    muon_lr: float = 0.02
    adam_lr: float = 3e-3
    decay_share: float = 0.4


class _DenseHeads(nn.Module):
    """Linear readings of what both frames of a grid show."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.read = nn.Linear(hidden * 4, 2 * (len(KEYS) + len(COLOUR_NAMES)))

    def loss(self, tokens: Tensor, shown: Tensor) -> tuple[Tensor, float]:
        """Loss and share of keys read right, of tokens (n, 4, hidden) and truth (n, 2, 2)."""
        read = self.read(F.rms_norm(tokens, tokens.shape[-1:]).flatten(1)).view(len(tokens), 2, -1)
        keys, colours = read.split((len(KEYS), len(COLOUR_NAMES)), -1)
        right = (keys.argmax(-1) == shown[..., 0]).float().mean().item()
        loss = F.cross_entropy(keys.flatten(0, 1), shown[..., 0].flatten())
        loss = loss + F.cross_entropy(colours.flatten(0, 1), shown[..., 1].flatten())
        # The words' side was drawn for tokens of about unit size.
        return loss + 0.02 * tokens.pow(2).mean(-1).log().pow(2).mean(), right


class RecallTrainer:
    """Model, words and optimiser of one run."""

    def __init__(self, plan: RecallPlan, seed: int, folder: Path) -> None:
        torch.manual_seed(seed)
        self._plan = plan
        self._folder = folder
        self._rng = np.random.default_rng(seed)
        self.tokenizer = recall_tokenizer()
        self._text = ChatText(self.tokenizer)
        self.model: Any = make_recall_model(self._text.vocab_size)
        self._heads = _DenseHeads(self.model.config.text_config.hidden_size)
        self._teacher = Teacher(self._text, self._rng)
        self.curve: list[dict[str, float | str]] = []

    def run(self, progress: Progress) -> None:
        """Both stages, then the folder."""
        self.model.train()
        for stage, steps in (("signs", self._plan.dense_steps), ("recall", self._plan.words_steps)):
            modules = [(self.model, 1.0), (self._heads, 1.0)]
            optimizer = PilotOptimizer(modules, self._plan.muon_lr, self._plan.adam_lr)
            task = progress.add_task(stage, total=steps)
            average: dict[str, float] = {}
            began_s = time.monotonic()
            for step in range(steps):
                loss, readings = self._dense() if stage == "signs" else self._words(step / steps)
                optimizer.step(loss, schedule(step / steps, step, self._plan.decay_share))
                for name, value in readings.items():
                    average[name] = 0.95 * average.get(name, value) + 0.05 * value
                if (step + 1) % 10 == 0:
                    shown = " ".join(f"{name} {value:.3f}" for name, value in average.items())
                    progress.update(task, completed=step + 1, description=f"{stage} {shown}")
                    row: dict[str, float | str] = {
                        "stage": stage,
                        "step": step + 1,
                        "spent_s": round(time.monotonic() - began_s, 1),
                    }
                    self.curve.append({**row, **{name: round(value, 4) for name, value in average.items()}})
        self.model.eval()
        export_recall(self.model, self.tokenizer, self._folder)
        record = {"plan": asdict(self._plan), "curve": self.curve}
        (self._folder / "training_curve.json").write_text(json.dumps(record) + "\n")

    def _layout(self) -> Layout:
        # Two signs in one temporal patch are rare in use and hard to see.
        layout = LAYOUTS[int(self._rng.integers(0, len(LAYOUTS)))]
        if layout.frames_per_sign == 1 and layout.chunk_frames > 1 and self._rng.random() < 0.5:
            layout = LAYOUTS[0]
        return layout

    def _dense(self) -> tuple[Tensor, dict[str, float]]:
        layout = self._layout()
        trunk = self._teacher.trunk(self._plan.dense_grids // layout.grids, layout, 0)
        tokens = see_pairs(self.model, torch.from_numpy(trunk.pairs))
        loss, right = self._heads.loss(tokens, torch.from_numpy(trunk.shown))
        return loss, {"loss": loss.item(), "keys_read": right}

    def _words(self, share: float) -> tuple[Tensor, dict[str, float]]:
        plan, layout = self._plan, self._layout()
        longest = int(4 + (plan.longest_chunks - 4) * min(1.0, share / 0.4))
        chunks = int(self._rng.integers(2, longest + 1))
        chunks = max(2, min(chunks, plan.longest_chunks // layout.grids))
        count = max(2, round(plan.batch_grids / (chunks * layout.grids)))
        trunks = [self._teacher.trunk(chunks, layout, min(plan.questions, 2 * chunks)) for _ in range(count)]
        batch = lay_out(trunks, self._teacher.opening, self._text)
        tokens = see_pairs(self.model, torch.from_numpy(batch.pairs))
        hidden = think(
            self.model,
            torch.from_numpy(batch.ids),
            tokens,
            torch.from_numpy(batch.positions),
            torch.from_numpy(batch.mask),
        )
        targets, weights = torch.from_numpy(batch.targets), torch.from_numpy(batch.weights)
        learnt = weights > 0
        logits = self.model.lm_head(hidden[learnt])
        right, weight = targets[learnt], weights[learnt]
        loss = (F.cross_entropy(logits, right, reduction="none") * weight).sum() / weight.sum()
        deciding = weight == 1.0
        accuracy = (logits.argmax(-1) == right)[deciding].float().mean().item()
        seeing, _ = self._heads.loss(tokens, torch.from_numpy(batch.shown))
        return loss + 0.1 * seeing, {"loss": loss.item(), "right": accuracy}


def main(*, out: Path = Path("models/recall"), seed: int = 0, threads: int = 1, plan: RecallPlan | None = None) -> None:
    """Train with a progress bar and write the model's folder to `out`; same seed and threads, same weights."""
    out.mkdir(parents=True, exist_ok=True)  # where that cannot be, it is told before hours of training
    torch.set_num_threads(threads)
    trainer = RecallTrainer(plan or RecallPlan(), seed, out)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=1) as progress:
        trainer.run(progress)
