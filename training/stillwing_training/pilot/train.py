"""Training of the pilot from nothing: fly and record, then three stages, with rounds of the student's own flights.

Resumable at any moment; the same plan and seed see the same samples, however the work is cut up.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Idle OpenMP threads that spin cost a factor of five as soon as anything else runs beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stillwing_common.errors import InvalidInput
from stillwing_training.pilot.collect import Bar, record_flights, record_planned_flights
from stillwing_training.pilot.config import TrainingPlan
from stillwing_training.pilot.dense import DenseHeads
from stillwing_training.pilot.export import export_pilot
from stillwing_training.pilot.model import make_model
from stillwing_training.pilot.model_card import History, write_model_card
from stillwing_training.pilot.objective import Objective, uses_bfloat16
from stillwing_training.pilot.optimizer import PilotOptimizer, schedule
from stillwing_training.pilot.policy import student_policy
from stillwing_training.pilot.recorded_frames import Frames
from stillwing_training.pilot.sequence import Words
from stillwing_training.pilot.start import start_from as take_weights
from stillwing_training.pilot.tokenizer import build_tokenizer

STAGES = ("dense", "grounding", "joint")
_MINUTES_SHARE = {"dense": 0.1, "grounding": 0.2, "joint": 0.7}
_DAGGER_SALT = 100
_LOG_EVERY = 25
_DAGGER_FIRST_SEED = 500_000


class NotResumable(InvalidInput):
    """There is no checkpoint of this training to go on from."""

    reason = "NOT_RESUMABLE"


@dataclass
class Progressed:
    """How far training is: the stage, its step, the seconds spent in it, and rounds of student flights behind it."""

    stage: int = 0
    step: int = 0
    spent_s: float = 0.0
    rounds: int = 0
    samples: int = 0


class Trainer:
    """Everything one training holds. `minutes` cuts the stages by the clock in place of the plan's steps."""

    def __init__(
        self,
        plan: TrainingPlan,
        seed: int,
        work: Path,
        out: Path,
        device: str,
        minutes: float | None,
        workers: int,
        start_from: Path | None = None,
    ) -> None:
        self.plan, self.seed, self.work, self.out, self.workers = plan, seed, work, out, workers
        self.device, self.minutes = torch.device(device), minutes
        self.bfloat16 = uses_bfloat16(plan, self.device)
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.tokenizer = build_tokenizer()
        self.words = Words(self.tokenizer)
        self.model: Any = make_model(len(self.tokenizer)).to(self.device)
        if start_from is not None:
            take_weights(self.model, self.tokenizer, start_from)
        self.heads = DenseHeads(self.model.config.text_config.hidden_size).to(self.device)
        self.at = Progressed()
        self.curve: list[dict[str, Any]] = []
        self.optimizer = self._optimizer()
        self.shards: list[Path] = []

    # --- what is trained in each stage

    def _optimizer(self) -> PilotOptimizer:
        stage, plan = STAGES[self.at.stage], self.plan
        # Muon's steps are of one size however faint the gradient: while the words still know nothing they would wear
        # away what the vision tower has learnt, so it rests until they know something, and then learns slowly.
        tower_share = {"dense": 1.0, "grounding": 0.0, "joint": plan.tower_lr_share}[stage]
        for parameter in self.model.model.visual.parameters():
            parameter.requires_grad_(tower_share > 0)
        modules = [(self.model.model.visual, tower_share)] if tower_share > 0 else []
        if stage != "grounding":
            modules.append((self.heads, 1.0))
        if stage != "dense":
            modules.append((self.model.model.language_model, 1.0))
        return PilotOptimizer(modules, plan.muon_lr, plan.adam_lr, bfloat16=self.bfloat16)

    def _steps(self, stage: str) -> int:
        return {
            "dense": self.plan.dense_steps,
            "grounding": self.plan.grounding_steps,
            "joint": self.plan.joint_steps,
        }[stage]

    def share(self) -> float:
        """How much of the present stage is done, 0 to 1."""
        stage = STAGES[self.at.stage]
        if self.minutes is not None:
            return self.at.spent_s / (self.minutes * 60 * _MINUTES_SHARE[stage])
        return self.at.step / self._steps(stage)

    # --- the loop

    def run(self, progress: Progress) -> None:
        """Record what is missing, then train what is left, writing weights and checkpoints on the way."""
        self.shards = record_planned_flights(self.work / "data", self.plan, self.workers, _bars(progress))
        self.shards += [path for done in range(self.at.rounds) for path in self._fly_round(done, progress)]
        while self.at.stage < len(STAGES):
            self._run_stage(progress)
            self.at = Progressed(self.at.stage + 1, rounds=self.at.rounds, samples=self.at.samples)
            if self.at.stage < len(STAGES):
                self.optimizer = self._optimizer()
                self.save()
        self.export()
        self.save()

    def _objective(self) -> Objective:
        frames = Frames.load_all(self.shards)
        return Objective(self.plan, frames, self.words, self.model, self.heads, self.rng, self.device)

    def _run_stage(self, progress: Progress) -> None:
        stage, objective = STAGES[self.at.stage], self._objective()
        task = progress.add_task(stage, total=1000)
        self.model.train()
        saved, averages = time.monotonic(), Averages()
        while (share := self.share()) < 1:
            if stage == "joint" and self.at.rounds < sum(share >= at for at in self.plan.dagger_at):
                self.export()
                self.shards += self._fly_round(self.at.rounds, progress)
                self.at.rounds += 1
                # Both at once would not fit beside each other.
                del objective
                objective = self._objective()
                saved = time.monotonic()
            began = time.monotonic()
            loss, readings, samples = objective.loss(stage)
            self.at.samples += samples
            self.optimizer.step(loss, schedule(share, self.at.step, self.plan.decay_share))
            self.at.step += 1
            self.at.spent_s += time.monotonic() - began
            text = averages.add(readings)
            if self.at.step % _LOG_EVERY == 0:
                self._log(stage, averages)
                progress.update(task, completed=int(share * 1000), description=f"{stage} step {self.at.step} {text}")
            if time.monotonic() - saved > self.plan.checkpoint_s:
                self.save()
                if stage == "joint":
                    self.export()
                saved = time.monotonic()
        if self.at.step % _LOG_EVERY:
            self._log(stage, averages)
        progress.update(task, completed=1000)

    def _fly_round(self, number: int, progress: Progress) -> list[Path]:
        """Flights by the student of the moment, or those of that round if they are there already."""
        first = _DAGGER_FIRST_SEED + number * max(self.plan.dagger_scenes.values())
        return record_flights(
            self.work / "data",
            f"student-{self.seed}",
            self.plan.dagger_scenes,
            first,
            _DAGGER_SALT + number,
            student_policy(self.out),
            self.workers,
            _bars(progress)(f"fly round {number + 1} of the student's own"),
        )

    def _log(self, stage: str, averages: "Averages") -> None:
        row = {
            "stage": stage,
            "step": self.at.step,
            "spent_s": round(self.at.spent_s, 1),
            "samples": self.at.samples,
            **{name: round(value, 4) for name, value in averages.values.items()},
        }
        self.curve.append(row)
        with (self.work / "log.jsonl").open("a") as log:
            log.write(json.dumps(row) + "\n")

    # --- what is kept

    def export(self) -> None:
        """Write weights, tokenizer and configs to the output folder, whole or not at all."""
        export_pilot(self.model, self.tokenizer, self.out)

    def save(self) -> None:
        """Write a checkpoint that `resume` goes on from."""
        state = {
            "model": self.model.state_dict(),
            "heads": self.heads.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "at": vars(self.at),
            "curve": self.curve,
            "rng": self.rng.bit_generator.state,
            "torch_rng": torch.get_rng_state(),
        }
        self.work.mkdir(parents=True, exist_ok=True)
        partial_path = self.work / "checkpoint.partial"
        torch.save(state, partial_path)
        partial_path.rename(self.work / "checkpoint.pt")

    def resume(self) -> None:
        """Go on from the checkpoint in the work folder. Raises `NotResumable` where there is none."""
        path = self.work / "checkpoint.pt"
        if not path.exists():
            raise NotResumable(f"nothing at {path}; leave out --resume to begin anew", path=path)
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.heads.load_state_dict(state["heads"])
        self.at, self.curve = Progressed(**state["at"]), state["curve"]
        if self.at.stage < len(STAGES):
            self.optimizer = self._optimizer()
            self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        torch.set_rng_state(state["torch_rng"].cpu())


class Averages:
    """Running means of readings, the last hundred weighing most."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, readings: dict[str, float]) -> str:
        """Take new readings in; returns all means as text."""
        for name, value in readings.items():
            self.values[name] = 0.97 * self.values.get(name, value) + 0.03 * value
        return " ".join(f"{name} {value:.3f}" for name, value in self.values.items())


def _bars(progress: Progress) -> Bar:
    def begin(text: str) -> Callable[[int, int], None]:
        task = progress.add_task(text, total=None)
        return lambda done, total: progress.update(task, completed=done, total=total)

    return begin


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, refresh_per_second=2) as progress:
        yield progress


def main(
    *,
    out: Path = Path("models/pilot"),
    work: Path = Path(".stillwing/pilot"),
    seed: int = 0,
    minutes: float | None = None,
    resume: bool = False,
    device: str = "cpu",
    threads: int = 2,
    workers: int = 2,
    plan: TrainingPlan | None = None,
    start_from: Path | None = None,
    episodes: int = 60,
) -> None:
    """Train the pilot and write it to `out`, with its model card.

    Args:
        out: Folder for weights, tokenizer, configs and model card.
        work: Folder for recorded flights, checkpoint and log; may be deleted afterwards.
        seed: Same seed, plan and number of threads, same weights on the same machine.
        minutes: Training time in place of the plan's steps; recording flights comes on top.
        resume: Go on from the checkpoint in `work`.
        device: `cpu` or `cuda`.
        threads: Threads of torch on the CPU.
        workers: Processes that fly, for data and for the model card.
        plan: Sizes and budgets; the published run's if not given.
        start_from: Folder of an earlier pilot whose weights are the beginning; random ones if not given. A training
            that is resumed goes on from its checkpoint, whatever it began with.
        episodes: Unseen scenes of each family that the pilot flies for its model card.
    """
    torch.set_num_threads(threads)
    work.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(plan or TrainingPlan(), seed, work, out, device, minutes, workers, start_from)
    if resume:
        trainer.resume()
    with _progress() as progress:
        trainer.run(progress)
        frames = sum(Frames.count(path) for path in trainer.shards)
        options = {"seed": seed, "minutes": minutes, "start-from": start_from}
        command = "".join(f" --{name} {value}" for name, value in options.items() if value is not None)
        history = History(f"stillwing train-pilot{command}", trainer.plan, trainer.curve, frames, trainer.at.rounds)
        write_model_card(out, history, episodes, workers, _bars(progress)("fly unseen scenes"))
