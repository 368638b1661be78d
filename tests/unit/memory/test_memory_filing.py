"""python -m pytest tests/unit/memory/test_memory_filing.py

Which frame of a chunk is filed, and which three stay in sight: a walk-through of chunks, row by row.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.errors import InvalidInput
from stillwing_memory.core.filing.rules import Scored, admit, best_frame

# Scores of the three frames of chunks 1 to 4, the name and score of what is filed, and the active memory after it.
WALK_THROUGH = [
    ((0.5, 0.61, 0.87), ("c1_f2", 0.87), ["c1_f2"]),
    ((0.7, 0.91, 0.4), ("c2_f1", 0.91), ["c2_f1", "c1_f2"]),
    ((0.93, 0.2, 0.92), ("c3_f0", 0.93), ["c3_f0", "c2_f1", "c1_f2"]),
    ((0.1, 0.3, 0.89), ("c4_f2", 0.89), ["c3_f0", "c2_f1", "c4_f2"]),
]


def test_the_walk_through_row_by_row() -> None:
    active: tuple[Scored, ...] = ()
    for chunk, (scores, filed, after) in enumerate(WALK_THROUGH, 1):
        place = best_frame(scores)
        best = Scored(f"c{chunk}_f{place}", scores[place])
        assert (best.key, best.score) == filed
        active = admit(active, best, 3)
        assert [one.key for one in active] == after


def test_a_chunk_without_frames_is_refused() -> None:
    with pytest.raises(InvalidInput):
        best_frame(())


@given(st.lists(st.floats(-1, 1), max_size=30), st.integers(0, 5))
def test_the_active_memory_holds_the_best(scores: list[float], size: int) -> None:
    active: tuple[Scored, ...] = ()
    for number, score in enumerate(scores):
        active = admit(active, Scored(str(number), score), size)
        assert admit(active, Scored(str(number), 2.0), size) == active or str(number) not in {one.key for one in active}
    assert [one.score for one in active] == sorted(scores, reverse=True)[:size]
