"""A stand-in as an engine: the templates, tokenizer and picture figures of a model's directory, and no weights.

Sessions, budgets, grammars and the wire are the real ones.
"""

import json
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from stillwing_common.clock import WallClock
from stillwing_common.types import Frame
from stillwing_lab.stand_in.backend import Mind, MindBackend
from stillwing_lab.stand_in.sight import Picture
from stillwing_vlm.core.catalog import LoadedEngine, planned_use
from stillwing_vlm.core.chat_format import Pointing
from stillwing_vlm.core.inputs.chat import ModelChat
from stillwing_vlm.core.inputs.generation import read_generation
from stillwing_vlm.core.inputs.images import PatchChunk, Preprocessing
from stillwing_vlm.core.inputs.prepare import PreparedChunk, Preparer
from stillwing_vlm.core.inputs.text import ChatText
from stillwing_vlm.core.limits import Limits
from stillwing_vlm.core.planner import plan_budget

WINDOW_FRAMES = 12
"""How far it looks back where nobody says: half as far as the pilot, so that missions soon outlast it."""
_UNDER_WAY = 64

Look = Callable[[Frame], Picture]
"""What is seen in a frame. Any thread may call it."""


class SeeingPreparer(Preparer):
    """Makes frames ready, and looks at them."""

    def __init__(self, look: Look, text: ChatText, chat: ModelChat, preprocessing: Preprocessing, limits: Limits):
        super().__init__(text, chat, text.vocab_size, preprocessing, limits)
        self._look = look
        # The newest chunks: those that gave way to newer ones are never asked for.
        self._shown: deque[tuple[PatchChunk, tuple[Picture, ...]]] = deque(maxlen=_UNDER_WAY)

    def chunk(self, frames: Sequence[Frame]) -> PreparedChunk:
        """See `Preparer`."""
        prepared = super().chunk(frames)
        self._shown.append((prepared.patches, tuple(self._look(frame) for frame in frames)))
        return prepared

    def shown(self, patches: PatchChunk) -> Sequence[Picture]:
        """The pictures that a chunk was made of."""
        return next(pictures for chunk, pictures in self._shown if chunk is patches)


def stand_in_engine(
    directory: Path, mind: Mind, look: Look, *, limits: Limits | None = None, window_frames: int = WINDOW_FRAMES
) -> LoadedEngine:
    """`mind` behind the templates and the tokenizer of a model's directory. Raises ModelNotUsable."""
    limits = limits or Limits()
    clock = WallClock()
    text = ChatText.from_file(directory / "tokenizer.json", read_generation(directory).end_ids)
    chat = ModelChat.from_directory(directory, text, datetime.fromtimestamp(clock.wall_ns() / 1e9))
    preprocessing = _preprocessing(directory)
    preparer = SeeingPreparer(look, text, chat, preprocessing, limits)
    backend = MindBackend(mind, text, preprocessing, preparer.shown, Pointing.RESIZED_PIXELS)
    plan = plan_budget(
        backend.figures,
        planned_use(preprocessing, limits),
        free_bytes=backend.free_bytes(),
        window_frames=window_frames,
    )
    return LoadedEngine(backend, text, preparer, plan, limits, clock, chat_format=chat.format(backend.pointing))


def _preprocessing(directory: Path) -> Preprocessing:
    raw = json.loads((directory / "preprocessor_config.json").read_text(encoding="utf-8"))
    return Preprocessing(
        patch_px=raw["patch_size"],
        merge=raw["merge_size"],
        temporal_patch=raw["temporal_patch_size"],
        min_pixels=raw["min_pixels"],
        max_pixels=raw["max_pixels"],
        mean=tuple(raw["image_mean"]),
        std=tuple(raw["image_std"]),
    )
