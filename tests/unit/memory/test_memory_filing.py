"""python -m pytest tests/unit/memory/test_memory_filing.py

Which frame is filed, which three stay in sight, and which are recalled: the walk-through of ten chunks, row by row.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.errors import InvalidInput
from stillwing_memory.core.filing.rules import (
    Filed,
    Layout,
    Scored,
    WorkMode,
    admit,
    best_frame,
    evicted_chunk,
    frame_name,
    initial_memory,
    input_frames,
    memory_of_instruction,
    unfiled_chunks,
    work_mode,
)

# Scores of the three frames of chunks 1 to 4 of instruction 1; the best of each are those of the walk-through.
SCORES = {1: (0.5, 0.61, 0.87), 2: (0.7, 0.91, 0.4), 3: (0.93, 0.2, 0.92), 4: (0.1, 0.3, 0.89)}

# chunk, evicted, filed with its score, active after, input to the model
WALK_THROUGH = [
    (1, None, None, [], (0, 0, 0)),
    (2, None, None, [], (3, 0, 3)),
    (3, 1, ("p1_c1_f2", 0.87), ["p1_c1_f2"], (3, 0, 6)),
    (4, 2, ("p1_c2_f1", 0.91), ["p1_c2_f1", "p1_c1_f2"], (3, 1, 6)),
    (5, 3, ("p1_c3_f0", 0.93), ["p1_c3_f0", "p1_c2_f1", "p1_c1_f2"], (3, 2, 6)),
    (6, 4, ("p1_c4_f2", 0.89), ["p1_c3_f0", "p1_c2_f1", "p1_c4_f2"], (3, 3, 6)),
]


def test_the_walk_through_row_by_row() -> None:
    active: tuple[Scored, ...] = ()
    for chunk, evicted, filed, after, model_input in WALK_THROUGH:
        assert input_frames(chunk, len(active)) == model_input
        assert evicted_chunk(chunk) == evicted
        if evicted is not None and filed is not None:
            place = best_frame(SCORES[evicted])
            found = Scored(frame_name(1, evicted, place), SCORES[evicted][place])
            assert (found.key, found.score) == filed
            active = admit(active, found, 3)
        assert [one.key for one in active] == after


@pytest.mark.parametrize(
    ("instruction", "chunk", "mode"),
    [(1, 1, WorkMode.BEGIN), (1, 2, WorkMode.FILL), (1, 3, WorkMode.FILE), (1, 10, WorkMode.FILE),
     (2, 1, WorkMode.MATCH), (2, 2, WorkMode.FILL), (2, 3, WorkMode.FILE), (6, 1, WorkMode.MATCH)],
)  # fmt: skip
def test_the_work_mode_follows_from_instruction_and_chunk(instruction: int, chunk: int, mode: WorkMode) -> None:
    assert work_mode(instruction, chunk) is mode


def test_numbers_below_one_and_layouts_that_cannot_be_are_refused() -> None:
    for numbers in ((0, 1), (1, 0)):
        with pytest.raises(InvalidInput):
            work_mode(*numbers)
    for bad in ({"window": 5}, {"window": 2}, {"chunk": 0}, {"memory": -1}):
        with pytest.raises(InvalidInput):
            Layout(**bad)
    with pytest.raises(InvalidInput):
        best_frame(())


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 5))
def test_every_chunk_of_an_instruction_is_filed_once(chunks: int, window_chunks: int, chunk_frames: int) -> None:
    layout = Layout(window=window_chunks * chunk_frames, chunk=chunk_frames)
    evicted = [gone for chunk in range(1, chunks + 1) if (gone := evicted_chunk(chunk, layout)) is not None]
    assert [*evicted, *unfiled_chunks(chunks, layout)] == list(range(1, chunks + 1))


@given(st.lists(st.floats(-1, 1), max_size=30), st.integers(0, 5))
def test_the_active_memory_holds_the_best(scores: list[float], size: int) -> None:
    active: tuple[Scored, ...] = ()
    for number, score in enumerate(scores):
        active = admit(active, Scored(str(number), score), size)
        assert admit(active, Scored(str(number), 2.0), size) == active or str(number) not in {one.key for one in active}
    assert [one.score for one in active] == sorted(scores, reverse=True)[:size]


def _filed(key: str, score: float, things: str, instruction: int = 1) -> Filed:
    return Filed(key, score, frozenset(things), instruction)


def test_recall_goes_by_share_of_things_then_by_score() -> None:
    archive = [_filed("a", 0.9, "1"), _filed("b", 0.2, "12"), _filed("c", 0.5, "2"), _filed("d", 0.99, "3")]
    assert [one.key for one in initial_memory(archive, "12", 3)] == ["b", "a", "c"]
    assert [one.key for one in initial_memory(archive, "3", 3)] == ["d"]
    assert initial_memory(archive, "9", 3) == () == initial_memory(archive, "", 3)


def test_without_any_known_thing_the_best_of_one_instruction_are_recalled() -> None:
    archive = [
        _filed(key, score, "1", 1 + number % 2)
        for number, (key, score) in enumerate(zip("abcde", (1, 2, 3, 4, 5), strict=True))
    ]
    assert [one.key for one in memory_of_instruction(archive, 1, 2)] == ["e", "c"]
    assert memory_of_instruction(archive, 7, 2) == ()
