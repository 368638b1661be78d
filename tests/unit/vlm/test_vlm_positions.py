"""python -m pytest tests/unit/vlm/test_vlm_positions.py -v

Our positions are those of transformers wherever its rule is consistent with itself, and those of its older rule beyond.
"""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwing_vlm.core.inputs.chunk_tokens import ChunkFormat, lay_out
from stillwing_vlm.core.inputs.positions import Grid, text_positions, vision_positions
from stillwing_vlm.core.inputs.text import ChatText

PIECES = st.lists(st.one_of(st.integers(1, 9), st.tuples(st.integers(1, 6), st.integers(1, 6))), min_size=1, max_size=8)


PLAIN = ChunkFormat(merge=2, tokens_per_second=2.0, timed_grids=False)


@given(pieces=PIECES)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_text_and_images_equal_transformers(hf_model: Any, text: ChatText, pieces: list[Any]) -> None:
    cursor, ours, ids, kinds, grids = 0, [], [], [], []
    for piece in pieces:
        if isinstance(piece, int):
            positions, cursor = text_positions(cursor, piece)
            kinds += [0] * piece
        else:
            grid = Grid(1, 2 * piece[0], 2 * piece[1])
            layout = lay_out(cursor, grid, PLAIN, text)
            positions, cursor = layout.positions, layout.cursor
            kinds += [0, *[1] * grid.merged_tokens(2), 0]
            grids.append(list(grid))
        ours.append(positions)
    ids = [1] * len(kinds)
    theirs, delta = hf_model.model.get_rope_index(
        torch.tensor([ids]),
        mm_token_type_ids=torch.tensor([kinds]),
        image_grid_thw=torch.tensor(grids) if grids else None,
    )
    np.testing.assert_array_equal(np.concatenate(ours, axis=1), theirs[:, 0].numpy())
    assert cursor == len(ids) + int(delta[0, 0])


@pytest.mark.parametrize(("grids", "agrees"), [(1, True), (3, True), (12, False)])
def test_long_videos_follow_the_older_rule(hf_model: Any, grids: int, agrees: bool) -> None:
    """The newer one would put the text after a long video inside it."""
    grid = Grid(grids, 8, 12)
    ours, cursor = vision_positions(5, grid, merge=2, tokens_per_second=2, seconds_per_grid=1.0)
    kinds = [0] * 5 + [2] * grid.merged_tokens(2) + [0]
    theirs, _ = hf_model.model.get_rope_index(
        torch.tensor([[1] * len(kinds)]),
        mm_token_type_ids=torch.tensor([kinds]),
        video_grid_thw=torch.tensor([list(grid)]),
        second_per_grid_ts=torch.tensor([1.0]),
    )
    np.testing.assert_array_equal(ours, theirs[:, 0, 5:-1].numpy())
    assert cursor == ours.max() + 1
    assert (int(theirs[0, 0, -1]) == cursor) is agrees


@given(
    cursor=st.integers(0, 2**50),
    time=st.integers(1, 5),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    timed=st.booleans(),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_cursor_moves_everything_alike(
    text: ChatText, cursor: int, time: int, rows: int, columns: int, timed: bool
) -> None:
    grid, how = Grid(time, 2 * rows, 2 * columns), ChunkFormat(2, 2.0, timed)
    labels = [f"<{second:.1f} seconds>" for second in range(time)]
    here, there = lay_out(0, grid, how, text, labels=labels), lay_out(cursor, grid, how, text, labels=labels)
    np.testing.assert_array_equal(there.positions, here.positions + cursor)
    np.testing.assert_array_equal(there.token_ids, here.token_ids)
    assert there.cursor - here.cursor == cursor
    assert here.cursor == here.positions.max() + 1
    assert here.features.size == grid.merged_tokens(2)
