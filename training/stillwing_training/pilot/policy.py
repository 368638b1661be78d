"""The pilot flying in-process: a window of frames behind a sink, one whole forward pass for each decision.

The engine does the same incrementally; this is the plain form that training and its evaluation use.
"""

from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen2_5_VLForConditionalGeneration
from transformers.utils import logging as transformers_logging

from stillwing_agent.core.prompting.prompts import CHOICES, decision_prompt, dump_tool_call, system_prompt
from stillwing_training.pilot.config import ACTIONS
from stillwing_training.pilot.expert import RIGHT, Pose
from stillwing_training.pilot.flights import Policy
from stillwing_training.pilot.model import as_tensor, see, think
from stillwing_training.pilot.recorder import Recorder
from stillwing_training.pilot.sequence import Branch, Sequence, Words, lay_out
from stillwing_training.pilot.tokenizer import goal_texts

WINDOW_FRAMES = 23


class Pilot:
    """One model and one stream of frames. Not thread-safe."""

    def __init__(self, model: Any, words: Words, window_frames: int = WINDOW_FRAMES) -> None:
        self._model, self._words = model.eval(), words
        self._system = words.system(system_prompt())
        self._window: deque[Tensor] = deque(maxlen=window_frames)
        self._sink: Tensor | None = None
        # `{"name":"` NAME `","arguments":{"direction":"` DIRECTION: one pass reads both decisions.
        calls = {action: words.ids(dump_tool_call(CHOICES[action])) for action in ACTIONS}
        self._opening, self._glue = calls["left"][0], calls["left"][2]
        self._turn = calls["left"][1]
        self._names = [calls["forward"][1], self._turn, calls["stop"][1]]
        self._sides = [calls["left"][3], calls["right"][3]]

    def forget(self) -> None:
        """Begin a new stream."""
        self._window.clear()
        self._sink = None

    @torch.no_grad()
    def observe(self, pixels: npt.NDArray[np.uint8]) -> None:
        """Append one frame (112, 140, 3)."""
        tokens = see(self._model, as_tensor(pixels[None], self._model.device))
        if self._sink is None:
            self._sink = tokens
        else:
            self._window.append(tokens)

    @torch.no_grad()
    def decide(self, goal: str, refusal: str | None = None) -> tuple[int, npt.NDArray[np.float64]]:
        """The action (index into `ACTIONS`) towards one of `GOALS`, and the probability of each, (4,)."""
        assert self._sink is not None, "nothing was seen yet"
        pictures = torch.cat([self._sink, *self._window])
        asked = self._words.question(decision_prompt(goal_texts(goal)[0], refusal))
        ids = [*asked, self._opening, self._turn, self._glue]
        branch = Branch(len(pictures) - 1, ids, [0] * len(ids), [0.0] * len(ids))
        batch = lay_out([Sequence(self._system, len(pictures), [branch])])
        device = self._model.device
        hidden = think(
            self._model,
            as_tensor(batch.ids, device),
            pictures,
            as_tensor(batch.positions, device),
            as_tensor(batch.mask, device),
        )
        logits = self._model.lm_head(hidden[0, [-3, -1]]).double()
        move, turn, stop = logits[0, self._names].softmax(-1).tolist()
        left, right = logits[1, self._sides].softmax(-1).tolist()
        chances = np.array([move, turn * left, turn * right, stop])
        return int(chances.argmax()), chances


def load_pilot(folder: Path) -> Pilot:
    """A pilot from a folder of weights and tokenizer."""
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    return Pilot(model, Words(PreTrainedTokenizerFast.from_pretrained(folder)))


def _student(folder: Path, rng: np.random.Generator) -> Policy:
    torch.set_num_threads(1)
    pilot = _loaded(folder)
    pilot.forget()
    seen = [0]
    # Where a student goes round in circles the expert takes it on to where there is something else to learn.
    helped = float(rng.choice([0.0, 0.2, 0.4]))

    def choose(recorder: Recorder, pose: Pose, goal: str, seen_goal: bool) -> int:
        for pixels in recorder.pictures[seen[0] :]:
            pilot.observe(pixels)
        seen[0] = len(recorder.pictures)
        if rng.random() < helped:
            return recorder.expert.action(pose, goal) if seen_goal else RIGHT
        chances = pilot.decide(goal)[1]
        # A little heat, so that rounds of the same weights do not fly the same ways.
        heated = chances**0.8
        return int(rng.choice(len(ACTIONS), p=heated / heated.sum()))

    return choose


_LOADED: dict[Path, Pilot] = {}


def _loaded(folder: Path) -> Pilot:
    if folder not in _LOADED:
        _LOADED[folder] = load_pilot(folder)
    return _LOADED[folder]


def student_policy(folder: Path) -> "partial[Policy]":
    """For `record_flights`: the pilot kept in `folder` flies, and every frame is labelled by the expert. It pickles."""
    return partial(_student, folder)
