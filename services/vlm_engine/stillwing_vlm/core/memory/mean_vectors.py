"""What memory scorers compare: a frame's mean keys and a text's mean queries, before rotation.

It changes nothing in the trunk and knows no scorer. Used on the device's owner thread.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stillwing_common.vectors import Vectors
from stillwing_vlm.core.backend import Backend, Kept, Store
from stillwing_vlm.core.inputs.chunk_tokens import VISION, ChunkLayout
from stillwing_vlm.core.inputs.positions import text_positions
from stillwing_vlm.core.inputs.prepare import PreparedChunk
from stillwing_vlm.core.memory.chunks import Chunk
from stillwing_vlm.core.results import FrameKeys, TextQuery


def mean_keys(
    backend: Backend, store: Store, chunk: PreparedChunk, layout: ChunkLayout, kept: Kept | None, layers: Sequence[int]
) -> tuple[npt.NDArray[np.float32], ...]:
    """Of each frame of a chunk, float32[layers, key heads, dimensions]: those of the grid in time it is part of."""
    grids, frames_a_grid = chunk.patches.grid.time, backend.preprocessing.temporal_patch
    tokens_a_grid = chunk.patches.grid.merged_tokens(backend.chunk_format.merge) // grids
    groups = np.full(layout.tokens, -1, np.int64)
    groups[layout.token_ids == VISION] = layout.features // tokens_a_grid
    means = store.mean_keys(kept, layers, groups)
    return tuple(means[place // frames_a_grid] for place in range(len(chunk.frame_ids)))


def frame_keys(chunk: Chunk) -> list[FrameKeys]:
    """Of each frame of a chunk in the trunk or just gone from it; none of one that came from an export."""
    pairs = zip(chunk.frame_ids, chunk.mean_keys, strict=False)
    return [FrameKeys(frame_id, Vectors(keys)) for frame_id, keys in pairs]


def text_query(backend: Backend, opening: Chunk, text: str, ids: list[int], layers: Sequence[int]) -> TextQuery:
    """Mean queries of a text with its tokens, read behind the opening text alone, in a store that is let go after."""
    scratch = backend.new_store(opening.tokens + len(ids))
    scratch.place([(opening.kept, 0)], opening.tokens)
    positions, _ = text_positions(opening.span, len(ids))
    means = backend.mean_queries(scratch, opening.tokens, backend.embed_text(ids), positions, layers)
    return TextQuery(text, Vectors(means), len(ids))
