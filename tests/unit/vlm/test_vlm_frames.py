"""python -m pytest tests/unit/vlm/test_vlm_frames.py -v

Frames that come faster than they can be appended: which go in, which give way, and that something always goes in.
"""

from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.errors import InvalidInput
from stillwing_vlm.core.serving.newest_wins import NewestWins


class NumberedChunk:
    """A chunk that a rig holds, and notes the end of."""

    def __init__(self, rig: "Rig", number: int) -> None:
        self.deadline_s = float(number)
        self._rig = rig
        self._number = number

    def prepare(self) -> Future[Any]:
        self._rig.making[self._number] = Future()
        return self._rig.making[self._number]

    def append(self, ready: Future[Any]) -> None:
        self._rig.appended.append(ready.result())

    def drop(self) -> None:
        self._rig.dropped.append(self._number)

    def fail(self, error: Exception) -> None:
        self._rig.failed.append(self._number)


class Rig:
    """A run of frames whose making ready is done by hand."""

    def __init__(self) -> None:
        self.making: dict[int, Future[Any]] = {}
        self.appended: list[int] = []
        self.dropped: list[int] = []
        self.failed: list[int] = []
        self.wakes = 0
        self.run = NewestWins(self.chunk(0), self._wake)

    def _wake(self) -> None:
        self.wakes += 1

    def chunk(self, number: int) -> "NumberedChunk":
        return NumberedChunk(self, number)

    def ready(self, number: int) -> None:
        self.making.pop(number).set_result(number)

    def turn(self) -> bool:
        """What the device does with it; True once it has left its lane."""
        if self.run.is_ready():
            self.run.run()
            return self.run.spent()
        return False


def test_a_newer_frame_takes_the_place_of_the_newest_that_waits() -> None:
    rig = Rig()
    for number in (1, 2, 3):
        assert rig.run.offer(rig.chunk(number))
    assert rig.dropped == [1, 2]
    assert not rig.run.is_ready()
    rig.ready(0)
    assert rig.run.is_ready()
    rig.ready(3)
    assert rig.dropped == [1, 2, 0]
    assert rig.turn()
    assert rig.appended == [3]


def test_what_is_being_made_ready_is_never_dropped_so_something_always_goes_in() -> None:
    rig = Rig()
    number = 0
    for _ in range(20):
        # Ten frames come while one is made ready.
        for _ in range(10):
            number += 1
            assert rig.run.offer(rig.chunk(number))
        (making,) = rig.making
        rig.ready(making)
        assert not rig.turn()
    assert len(rig.appended) == 20
    assert rig.appended == sorted(rig.appended)
    assert rig.run.deadline_s == min(rig.making)


def test_a_sealed_run_waits_for_its_newest_and_takes_no_more() -> None:
    rig = Rig()
    rig.run.offer(rig.chunk(1))
    rig.ready(0)
    assert rig.run.is_ready()
    rig.run.seal()
    assert not rig.run.is_ready()
    assert not rig.run.takes_more()
    assert not rig.run.offer(rig.chunk(2))
    rig.ready(1)
    assert rig.dropped == [0]
    assert rig.turn()
    assert rig.appended == [1]


def test_a_bad_newer_frame_leaves_the_older_one_in() -> None:
    rig = Rig()
    rig.run.offer(rig.chunk(1))
    rig.run.seal()
    rig.ready(0)
    rig.making.pop(1).set_exception(InvalidInput("no picture"))
    assert (rig.failed, rig.dropped) == ([1], [])
    assert rig.turn()
    assert rig.appended == [0]


def test_an_empty_run_leaves_its_lane_and_takes_no_more() -> None:
    rig = Rig()
    rig.making.pop(0).set_exception(InvalidInput("no picture"))
    assert rig.wakes == 1
    assert rig.turn()
    assert not rig.run.offer(rig.chunk(1))
    assert rig.appended == []


@pytest.mark.parametrize("ready", [False, True])
def test_a_closed_lane_fails_all_of_it(ready: bool) -> None:
    rig = Rig()
    if ready:
        rig.ready(0)
        rig.run.offer(rig.chunk(1))
    rig.run.offer(rig.chunk(2))
    rig.run.fail(InvalidInput("closed"))
    assert sorted(rig.failed) == ([0, 1, 2] if ready else [0, 2])
    for number in list(rig.making):
        rig.ready(number)
    assert rig.run.spent()
    assert rig.appended == rig.dropped == []


@given(st.lists(st.sampled_from(("offer", "ready", "turn", "seal")), max_size=60))
def test_each_frame_has_one_end_and_the_last_goes_in(acts: list[str]) -> None:
    rig = Rig()
    last = offered = 0
    for act in acts:
        if act == "offer":
            offered += 1
            if rig.run.offer(rig.chunk(offered)):
                last = offered
        elif act == "ready" and rig.making:
            rig.ready(next(iter(rig.making)))
        elif act == "seal":
            rig.run.seal()
        elif act == "turn" and rig.turn():
            break
        assert len(rig.making) <= 1
    while not rig.run.spent():
        for number in list(rig.making):
            rig.ready(number)
        rig.turn()
    assert rig.appended == sorted(rig.appended)
    assert rig.appended[-1] == last
    assert sorted([*rig.appended, *rig.dropped]) == list(range(last + 1))
