"""The model under test, and budgets that mean the same on any of them.

The reference is a 3B model on a 24 GB card fed four full-HD frames a chunk: 5,389 tokens each. A budget is carried over
to another model by the number of such chunks it holds, so 100,000 tokens are 18.6 chunks anywhere.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from stillwing_common.errors import InvalidInput
from stillwing_lab.experiments.footage import FrameLoop
from stillwing_lab.tiny_model import write_middle_model
from stillwing_training.recall.catalog import RECALL, recall_directory
from stillwing_vlm.core.catalog import PILOT, ModelSource
from stillwing_vlm.core.local import LocalEngine

REFERENCE_CHUNK_TOKENS = 5389
REFERENCE_BUDGETS = (100_000, 130_000, 150_000)
RANDOM = "random"
"""The random-weight model of middling size: 8 layers, 4 key heads of 64."""

SYSTEM_TEXT = "You watch a video that never ends."


@dataclass(frozen=True, slots=True)
class Subject:
    """A loaded model; `answers_mean` says whether its words can be about the video at all."""

    engine: LocalEngine
    name: str
    answers_mean: str

    def chunk_tokens(self, frames: FrameLoop, chunk_frames: int) -> int:
        """Tokens one chunk of these frames takes, measured."""
        session = self.engine.open(SYSTEM_TEXT, 1 << 15)
        return session.append(*(frames(index) for index in range(chunk_frames))).chunk_tokens

    def budget(self, reference_tokens: int, chunk_tokens: int) -> int:
        """A budget of the reference set-up carried over: as many chunks, and this model's own opening text."""
        opening = len(self.engine.loaded.preparer.opening(SYSTEM_TEXT))
        return opening + round(reference_tokens / REFERENCE_CHUNK_TOKENS * chunk_tokens)

    def memory_bytes(self) -> int:
        """Memory this process holds: of the GPU where the model runs on one, of the host otherwise."""
        backend = self.engine.loaded.backend
        if backend.device == "cpu":
            return int(psutil.Process().memory_info().rss)
        import torch

        return int(torch.cuda.memory_allocated(backend.device))


def load_subject(model: str, work: Path, *, device: str = "auto", threads: int = 1, **how: Any) -> Subject:
    """`model`: "pilot", "recall", "random", or the directory of a model; `how`: other fields of its `ModelSource`.

    Raises ModelNotUsable, InvalidInput, DeviceAbsent.
    """
    if model == PILOT:
        source, means = (
            ModelSource(PILOT, device=device, threads=threads, **how),
            "a pilot's, who knows no such question",
        )
    elif model == RECALL:
        directory = str(recall_directory())
        source, means = (
            ModelSource(directory, device=device, threads=threads, **how),
            "about the signs, when asked for them",
        )
    elif model == RANDOM:
        directory = str(write_middle_model(work / "random-model"))
        source, means = ModelSource(directory, device=device, threads=threads, **how), "noise: the weights are random"
    elif Path(model).is_dir():
        source, means = ModelSource(model, device=device, threads=threads, **how), "the model's own; read them"
    else:
        raise InvalidInput(f"{model!r} is neither pilot, recall, random nor a directory", field="model")
    return Subject(LocalEngine.load(source), model if not Path(model).is_dir() else Path(model).name, means)
