"""The same tokens through the published code: does the engine compute what the model's makers do?

It knows nothing of sessions beyond one append and one ask.
"""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch

from stillwing_common.types import Stamp
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.inputs.images import Pixels
from stillwing_vlm.core.local import LocalEngine, LocalSession
from stillwing_vlm.core.requests import AskRequest

SYSTEM_TEXT = "You watch a video that never ends."
QUESTION = "What is to be seen?"

MOST_SHARE = {"float32": 1e-3, "bfloat16": 0.1}
"""What the same sums in another order may be off by, of the scores' spread."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """`share`: root mean square of what the scores differ by after two frames and a question, over their spread;
    `allowed` is its bound. `same_token`: both would answer with the same first token.
    """

    library: str
    share: float
    allowed: float
    same_token: bool

    @property
    def holds(self) -> bool:
        """Whether they agree."""
        return self.share <= self.allowed


def compare(loaded: LoadedEngine, first: Pixels, second: Pixels) -> Agreement:
    """Two frames, one after the other, and a question: the engine's stream beside one pass of transformers."""
    session = LocalEngine(loaded).open(SYSTEM_TEXT)
    for pixels in (first, second):
        session.append(pixels)
    ours = _ours(loaded, session)
    theirs = _theirs(loaded, [first, second])
    off = ours - theirs
    share = float((off - off.mean()).std() / theirs.std())
    allowed = MOST_SHARE[loaded.backend.dtype]
    return Agreement(
        f"transformers {version('transformers')}", share, allowed, int(ours.argmax()) == int(theirs.argmax())
    )


def _ours(loaded: LoadedEngine, session: LocalSession) -> Any:
    branch = session.fork(AskRequest(QUESTION))
    try:
        rows = branch.rows()
        for row in rows:
            row.choosing = None
        return loaded.backend.log_probabilities(loaded.backend.step(rows)[-1])
    finally:
        session.video.release(branch, answered=False)


def _theirs(loaded: LoadedEngine, pictures: list[Pixels]) -> Any:
    backend: Any = loaded.backend
    model, config, text = backend.published, backend.published.config, loaded.text
    device, dtype = torch.device(backend.device), getattr(torch, backend.dtype)
    ids = list(loaded.preparer.opening(SYSTEM_TEXT))
    kinds = [0] * len(ids)
    pixels, grids, seconds = [], [], []
    for index, picture in enumerate(pictures):
        prepared = loaded.preparer.pixels((f"local/{index}",), [picture], 1.0, Stamp(index * 1_000_000_000, "local"))
        grid = prepared.patches.grid
        pixels.append(torch.from_numpy(prepared.patches.patches))
        grids.append(list(grid))
        seconds.append(prepared.seconds_per_grid)
        label = f"<{index:.1f} seconds>" if backend.chunk_format.timed_grids else ""
        before = [*text.encode(label), text.vision_start]
        tokens = grid.merged_tokens(backend.chunk_format.merge)
        ids += [*before, *[config.video_token_id] * tokens, text.vision_end]
        kinds += [0] * len(before) + [2] * tokens + [0]
    question = text.question(QUESTION)
    extra = {"second_per_grid_ts": torch.tensor(seconds, device=device)} if backend.name == "qwen2_5_vl" else {}
    model.model.rope_deltas = None
    with torch.inference_mode():
        found = model(
            input_ids=torch.tensor([ids + question], device=device),
            mm_token_type_ids=torch.tensor([kinds + [0] * len(question)], device=device),
            pixel_values_videos=torch.cat(pixels).to(device, dtype),
            video_grid_thw=torch.tensor(grids, device=device),
            **extra,
        )
    return loaded.backend.log_probabilities(found.logits[0, -1].float()).astype(np.float64)
