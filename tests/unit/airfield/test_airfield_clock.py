"""The steppable clock against a real-time clock that the test moves.

python -m pytest tests/unit/airfield/test_airfield_clock.py -q
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_airfield.clock import SteppableClock
from stillwing_common.clock import FakeClock


@pytest.fixture
def real() -> FakeClock:
    return FakeClock()


def take(clock: SteppableClock) -> int:
    due = clock.due()
    clock.stepped(due)
    return due


@given(st.lists(st.floats(0.0001, 0.2), max_size=200))
def test_pieces_of_real_time_never_add_up_to_drift(pieces: list[float]) -> None:
    real = FakeClock()
    clock = SteppableClock(0.005, real.monotonic_s)
    began_s = real.monotonic_s()
    for piece in pieces:
        real.advance(piece)
        take(clock)
        behind_s = real.monotonic_s() - began_s - clock.time_ns * 1e-9
        assert -1e-6 <= behind_s < 0.005 + 1e-6
    assert clock.lost_s == 0


def test_a_machine_that_is_too_slow_loses_time_instead_of_catching_up(real: FakeClock) -> None:
    clock = SteppableClock(0.005, real.monotonic_s, most_lag_s=0.25)
    real.advance(10)
    assert take(clock) == pytest.approx(50, abs=1)
    assert clock.lost_s == pytest.approx(9.75, abs=0.01)
    real.advance(0.1)
    assert take(clock) == pytest.approx(20, abs=1)


def test_pause_freezes_and_is_not_made_up_for(real: FakeClock) -> None:
    clock = SteppableClock(0.005, real.monotonic_s)
    clock.pause(True)
    real.advance(5)
    assert clock.due() == 0
    assert clock.until_due_s() is None
    clock.pause(False)
    assert clock.due() == 0
    real.advance(0.0501)
    assert take(clock) == 10


def test_continue_for_runs_exactly_that_long_and_pauses(real: FakeClock) -> None:
    clock = SteppableClock(0.005, real.monotonic_s)
    clock.pause(True)
    assert clock.continue_for(0.1) == 20
    assert not clock.paused
    real.advance(0.06)
    take(clock)
    real.advance(1)
    take(clock)
    assert clock.steps == 20
    assert clock.time_ns == 100_000_000
    assert clock.paused


def test_continue_for_nothing_is_paused_at_once(real: FakeClock) -> None:
    clock = SteppableClock(0.005, real.monotonic_s)
    clock.continue_for(0)
    assert clock.paused


def test_it_says_how_long_until_steps_are_due(real: FakeClock) -> None:
    clock = SteppableClock(0.005, real.monotonic_s)
    assert clock.until_due_s(2) == pytest.approx(0.010)
    real.advance(0.004)
    assert clock.until_due_s(2) == pytest.approx(0.006)
    real.advance(1)
    assert clock.until_due_s() == 0
