"""Errors, ids, clocks and registry. Run: python -m pytest tests/unit/common -v"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_common.clock import FakeClock, WallClock
from stillwing_common.errors import MissingExtra, Obstructed, StillwingError, UnknownBackend, error_classes
from stillwing_common.ids import new_id
from stillwing_common.registry import Registry
from stillwing_common.types import PositionNed, Quaternion


def test_every_error_has_a_sentence_and_its_own_reason() -> None:
    for reason, cls in error_classes().items():
        assert cls.reason == reason
        assert reason == reason.upper()
        assert len(cls.sentence().split()) >= 3, f"{cls.__name__} needs a sentence that says what happened"
        assert not cls.sentence().endswith(".")


def test_error_text_joins_sentence_and_detail_and_keeps_metadata_as_text() -> None:
    error = Obstructed("a tree 1.2 m ahead", distance_m=1.2)
    assert str(error) == "Something is in the way: a tree 1.2 m ahead"
    assert str(Obstructed()) == "Something is in the way."
    assert error.metadata == {"distance_m": "1.2"}


def test_a_reason_cannot_be_taken_twice_or_left_out() -> None:
    with pytest.raises(TypeError, match="belongs to Obstructed"):
        type("Blocked", (StillwingError,), {"reason": "OBSTRUCTED"})
    with pytest.raises(TypeError, match="no reason of its own"):
        type("Nameless", (StillwingError,), {})


def test_ids_are_unique_sortable_and_refuse_bad_prefixes() -> None:
    ids = [new_id("ses") for _ in range(200)]
    assert len(set(ids)) == 200
    assert all(identifier.startswith("ses_") and len(identifier) == 30 for identifier in ids)
    with pytest.raises(ValueError, match="no id prefix"):
        new_id("a_b")


def test_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(monotonic_s=5.0, wall_ns=10)
    assert (clock.monotonic_s(), clock.wall_ns()) == (5.0, 10)
    clock.advance(0.5)
    assert (clock.monotonic_s(), clock.wall_ns()) == (5.5, 500_000_010)
    clock.set_wall_ns(3)
    assert (clock.monotonic_s(), clock.wall_ns()) == (5.5, 3)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1)


def test_wall_clock_never_goes_back() -> None:
    clock = WallClock()
    readings = [clock.monotonic_s() for _ in range(100)]
    assert readings == sorted(readings)


def test_registry_names_what_it_knows_and_what_to_install() -> None:
    registry = Registry("engine", {"json": "json:loads", "gone": "no_such_package_here:thing"}, extra="engine")
    assert registry.load("json")("1") == 1
    with pytest.raises(UnknownBackend, match="known: gone, json"):
        registry.load("other")
    with pytest.raises(MissingExtra, match=r"pip install .*\[engine\]'"):
        registry.load("gone")


@given(st.floats(-179.9, 180.0))
def test_yaw_survives_the_quaternion(yaw_deg: float) -> None:
    assert Quaternion.from_yaw_deg(yaw_deg).yaw_deg == pytest.approx(yaw_deg, abs=1e-6)


@given(st.floats(-180, 180), st.floats(-50, 50), st.floats(-50, 50), st.floats(-50, 50))
def test_rotation_keeps_length_and_heads_where_yaw_says(yaw_deg: float, x: float, y: float, z: float) -> None:
    rotated = Quaternion.from_yaw_deg(yaw_deg).rotate(x, y, z)
    origin = PositionNed(0, 0, 0)
    assert origin.distance_m(PositionNed(*rotated)) == pytest.approx(origin.distance_m(PositionNed(x, y, z)), abs=1e-6)
    assert Quaternion.from_yaw_deg(90).rotate(1, 0, 0) == pytest.approx((0, 1, 0), abs=1e-9)
