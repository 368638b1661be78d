"""The model families that one engine path serves, as one table of their differences.

The published modules and their weights come from transformers; what the engine does around them (cache, positions,
rotation, attention call, the order of layers) is the same for all, up to the entries here. It knows no devices, caches
or sessions.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from stillwing_vlm.core.chat_format import Pointing


@dataclass(frozen=True, slots=True)
class Family:
    """What one family does differently. `name` is the `model_type` in config.json."""

    name: str
    config: Any
    architecture: Any
    windowed_vision: bool = False
    """Most vision layers attend within windows of the picture."""
    learned_places: bool = False
    """The vision encoder adds a learned grid of place embeddings, resampled to the picture's size."""
    deepstack: bool = False
    """Features of inner vision layers are added to the vision tokens after the first layers of the language model."""
    interleaved_axes: bool = False
    """Rotary frequencies go time, row, column, time, row, column ... instead of one section an axis."""
    query_key_norms: bool = False
    """Queries and keys are normalised head by head before they are turned."""
    counts_seconds: bool = False
    """Time positions follow the seconds between grids, at the model's own rate; otherwise each grid takes one."""
    timed_grids: bool = False
    """Each grid in time stands between delimiters of its own, behind its time in words."""
    pointing: Pointing = Pointing.THOUSANDTHS
    """In which figures its published models name a place in a picture."""


FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        Family("qwen2_vl", Qwen2VLConfig, Qwen2VLForConditionalGeneration),
        Family(
            "qwen2_5_vl",
            Qwen2_5_VLConfig,
            Qwen2_5_VLForConditionalGeneration,
            windowed_vision=True,
            counts_seconds=True,
            pointing=Pointing.RESIZED_PIXELS,
        ),
        Family(
            "qwen3_vl",
            Qwen3VLConfig,
            Qwen3VLForConditionalGeneration,
            learned_places=True,
            deepstack=True,
            interleaved_axes=True,
            query_key_norms=True,
            timed_grids=True,
        ),
    )
}


def rotary_axes(family: Family, sections: list[int]) -> npt.NDArray[np.int64]:
    """Which axis (0 time, 1 row, 2 column) turns each of the `sum(sections)` planes of a head.

    Interleaved: planes 1, 4, 7 ... belong to the rows and 2, 5, 8 ... to the columns, as many of each as its section
    says; all others to time.
    """
    if not family.interleaved_axes:
        return np.repeat(np.arange(3), sections)
    axes = np.zeros(sum(sections), np.int64)
    for axis in (1, 2):
        axes[axis : 3 * sections[axis] : 3] = axis
    return axes
