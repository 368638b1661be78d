"""python -m pytest tests/unit/lab/test_route_expert.py

The expert of the scenes with walls reaches the goal and touches nothing: on the geometry for many seeds, and flown.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_airfield.scenes import build_scene
from stillwing_airfield.scenes.route import is_clear
from stillwing_lab.evaluate.blind_engine import BlindEngine
from stillwing_lab.evaluate.episode import fly_episode
from stillwing_lab.evaluate.policies import BASELINES
from stillwing_training.pilot.config import FIRST_UNSEEN_SEED, SUCCESS_WITHIN_M, VEHICLE_RADIUS_M
from stillwing_training.pilot.expert import FORWARD, STOP, Pose, apply_action
from stillwing_training.pilot.route_expert import RouteExpert

SCENES = ["street", "orchard", "maze", "maze,corridor_m=40"]


@pytest.mark.parametrize("name", SCENES)
@given(seed=st.integers(0, 2_000_000))
@settings(max_examples=20, deadline=None)
def test_it_reaches_the_goal_of_any_scene(name: str, seed: int) -> None:
    scene = build_scene(name, seed)
    expert = RouteExpert(scene)
    pose = Pose(0.0, 0.0, scene.start_yaw_deg)
    for _ in range(120):
        action = expert.action(pose, scene.goal_colour)
        if action == STOP:
            break
        after = apply_action(pose, action)
        if action == FORWARD:
            assert is_clear(scene, (pose.x_m, pose.y_m), (after.x_m, after.y_m), VEHICLE_RADIUS_M + 0.05)
        pose = after
    assert action == STOP
    goal = scene.goal().position_ned_m
    assert (goal[0] - pose.x_m) ** 2 + (goal[1] - pose.y_m) ** 2 < SUCCESS_WITHIN_M**2


@pytest.mark.parametrize("name", SCENES[:3])
def test_the_expert_of_the_evaluation_flies_every_scene(name: str) -> None:
    flown = fly_episode(name, FIRST_UNSEEN_SEED + 1, BASELINES["expert"], BlindEngine(), [])
    assert flown.success
    assert not flown.collided
