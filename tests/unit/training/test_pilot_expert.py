"""python -m pytest tests/unit/lab/test_pilot_expert.py

The expert reaches the beacon in unseen scenes, touches nothing, and never does what was refused.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_airfield.scenes import build_scene
from stillwing_training.pilot.config import COLOURS, SUCCESS_WITHIN_M
from stillwing_training.pilot.expert import FORWARD, RIGHT, STOP, Expert, Pose, apply_action, where


@given(seed=st.integers(0, 2_000_000))
@settings(max_examples=60, deadline=None)
def test_it_reaches_every_beacon_of_any_meadow(seed: int) -> None:
    scene = build_scene("meadow", seed)
    expert = Expert(scene)
    for colour in expert.goals:
        pose = Pose(0.0, 0.0, scene.start_yaw_deg)
        for _ in range(90):
            action = expert.action(pose, colour)
            if action == STOP:
                break
            assert not (action == FORWARD and expert.path_collides(pose, 1.0))
            pose = apply_action(pose, action)
        assert action == STOP
        assert expert.to_goal(pose, colour)[0] < SUCCESS_WITHIN_M


@given(seed=st.integers(0, 1000), x_m=st.floats(-14, 14), y_m=st.floats(-14, 14), yaw_deg=st.floats(-180, 180))
@settings(max_examples=100, deadline=None)
def test_what_was_refused_is_not_tried_again(seed: int, x_m: float, y_m: float, yaw_deg: float) -> None:
    expert = Expert(build_scene("meadow", seed))
    for colour in COLOURS:
        assert expert.action(Pose(x_m, y_m, yaw_deg), colour, forward_refused=True) != FORWARD


def test_a_colour_that_is_not_there_is_looked_for_to_the_right() -> None:
    expert = Expert(build_scene("meadow", 3))
    absent = next(colour for colour in COLOURS if colour not in expert.goals)
    assert expert.action(Pose(0, 0, 0), absent) == RIGHT


def test_a_trunk_ahead_is_refused_and_a_clear_way_is_not() -> None:
    scene = build_scene("meadow", 3)
    expert, tree = Expert(scene), scene.of_kind("tree")[0]
    north, east, _ = tree.position_ned_m
    assert expert.refused(Pose(north - tree.radius_m - 1.2, east, 0.0))
    assert not expert.refused(Pose(north - tree.radius_m - 1.2, east, 180.0))
    assert not expert.refused(Pose(0.0, 0.0, scene.start_yaw_deg))


def test_where_says_the_side() -> None:
    assert [where(angle, True) for angle in (0, 9, -30, 30)] == [0, 0, 1, 2]
    assert where(0, False) == 3
