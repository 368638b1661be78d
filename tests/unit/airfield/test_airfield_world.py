"""python -m pytest tests/unit/airfield/test_airfield_world.py

Scenes are drawn from their seeds, the world keeps NED, and pictures, rays and objects agree with one another.
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_airfield.axes import flip_quaternion, flip_vector, quaternion_from_euler, rotation_matrix
from stillwing_airfield.camera import NOTHING_THERE_M, Camera, CameraPose
from stillwing_airfield.scenes import SceneSpec, build_scene
from stillwing_airfield.scenes.parts import BEACON_COLOURS
from stillwing_airfield.world import World
from stillwing_common.types import Quaternion

ANGLES = st.floats(-179.0, 179.0)


@pytest.fixture(scope="module")
def meadow_world() -> World:
    return World(build_scene("meadow", 7))


@pytest.fixture(scope="module")
def camera(meadow_world: World) -> Iterator[Camera]:
    with Camera(meadow_world, 160, 120) as camera:
        yield camera


def looking(
    yaw_deg: float, position: tuple[float, float, float] = (0.0, 0.0, -2.0), pitch_deg: float = 0
) -> CameraPose:
    w, x, y, z = quaternion_from_euler(pitch_deg=pitch_deg, yaw_deg=yaw_deg).tolist()
    return CameraPose(position, (w, x, y, z))


@given(st.integers(0, 2_000_000))
@settings(max_examples=60)
def test_every_meadow_can_be_flown(seed: int) -> None:
    scene = build_scene("meadow", seed)
    assert scene == build_scene("meadow", seed)
    beacons, trees = scene.of_kind("beacon"), scene.of_kind("tree")
    assert 2 <= len(beacons) <= 3
    assert len(trees) == 5
    assert {beacon.colour for beacon in beacons} <= set(BEACON_COLOURS)
    assert scene.mission == f"Fly to the {scene.goal_colour} beacon."
    assert 6 <= math.hypot(*scene.goal().position_ned_m[:2]) <= 15
    things = [*beacons, *trees]
    for index, one in enumerate(things):
        assert math.hypot(*one.position_ned_m[:2]) > 2.9, "the vehicle climbs through nothing"
        for other in things[index + 1 :]:
            gap_m = math.dist(one.position_ned_m, other.position_ned_m) - one.radius_m - other.radius_m
            assert gap_m > 1.2, f"{one.name} and {other.name} leave no way between them"


@given(roll=ANGLES, pitch=st.floats(-89, 89), yaw=ANGLES)
def test_frames_turn_back_and_keep_heading(roll: float, pitch: float, yaw: float) -> None:
    quaternion = quaternion_from_euler(roll, pitch, yaw)
    assert np.allclose(flip_quaternion(flip_quaternion(quaternion)), quaternion)
    matrix = rotation_matrix(quaternion)
    assert np.allclose(matrix @ matrix.T, np.eye(3))
    assert math.isclose(Quaternion(*quaternion).yaw_deg, yaw, abs_tol=1e-6)
    # The same turn seen from MuJoCo's side turns flipped vectors alike.
    forward = flip_vector(rotation_matrix(flip_quaternion(quaternion))[:, 0])
    assert np.allclose(forward, matrix[:, 0])


def test_the_vehicle_rests_on_the_ground_and_says_so(meadow_world: World) -> None:
    meadow_world.reset()
    meadow_world.step(200)
    assert np.allclose(meadow_world.data.qpos[:3], 0, atol=2e-3)
    assert Quaternion(*meadow_world.vehicle_orientation_ned()).yaw_deg == pytest.approx(
        meadow_world.scene.start_yaw_deg, abs=0.1
    )
    contact = meadow_world.contacts()[0]
    assert contact.object_name == "ground"
    assert np.allclose(contact.normal_ned, (0, 0, -1), atol=1e-6)
    assert meadow_world.time_s == pytest.approx(1.0)


def test_a_push_north_moves_it_north_and_a_yaw_torque_turns_it_clockwise(meadow_world: World) -> None:
    meadow_world.reset()
    meadow_world.place_vehicle((0, 0, -5), quaternion_from_euler(yaw_deg=90))
    for _ in range(40):
        meadow_world.apply_body_wrench((2.0, 0.0, -9.81), (0.0, 0.0, 0.01))
        meadow_world.step()
    velocity = flip_vector(meadow_world.data.qvel[:3])
    assert velocity[0] == pytest.approx(0.4, abs=0.02)
    assert np.allclose(velocity[1:], 0, atol=0.02)
    assert flip_vector(meadow_world.data.qvel[3:6])[2] > 0.1
    assert 90 < Quaternion(*meadow_world.vehicle_orientation_ned()).yaw_deg < 120


def test_flying_into_a_tree_is_a_contact_with_that_tree(meadow_world: World) -> None:
    tree = meadow_world.scene.of_kind("tree")[0]
    north, east, _ = tree.position_ned_m
    meadow_world.reset()
    meadow_world.place_vehicle((north - 0.4, east, -1.0), (1, 0, 0, 0))
    contact = meadow_world.contacts()[0]
    assert contact.object_name == tree.name
    assert contact.normal_ned[0] < -0.9, "it is pushed back south"
    assert contact.penetration_m > 0


def test_rays_measure_what_the_depth_picture_shows(meadow_world: World, camera: Camera) -> None:
    meadow_world.reset()
    compared = 0
    for yaw_deg in range(0, 360, 30):
        pose = looking(yaw_deg, pitch_deg=-25)
        depth = camera.render(meadow_world.copy_render_state(), pose, ("depth",))["depth"]
        forward = rotation_matrix(pose.orientation_wxyz_ned)[:, 0]
        ray_m = meadow_world.cast_ray(pose.position_ned_m, forward, 60.0)
        middle_m = float(np.median(depth[59:61, 79:81]))
        if ray_m is None:
            assert middle_m > 59
        elif np.ptp(depth[58:62, 78:82]) < 0.6:
            assert middle_m == pytest.approx(ray_m, rel=0.02)
            compared += 1
    assert compared >= 4


def test_rays_miss_what_is_not_there(meadow_world: World) -> None:
    up, down = meadow_world.cast_rays((0, 0, -2), [(0, 0, -1), (0, 0, 1)], 50.0)
    assert up == math.inf
    assert down == pytest.approx(2.0)
    assert meadow_world.cast_ray((0, 0, -2), (0, 0, 1), 1.5) is None


def test_a_beacon_is_red_where_it_is_the_red_beacon(camera: Camera) -> None:
    scene = next(s for s in (build_scene("meadow", seed) for seed in range(50)) if s.goal_colour == "red")
    world = World(scene)
    camera.show(world)
    north, east, _ = scene.goal().position_ned_m
    pose = looking(math.degrees(math.atan2(east, north)))
    images = camera.render(world.copy_render_state(), pose, ("scene", "depth", "segmentation"))
    assert images["scene"].shape == (120, 160, 3)
    index = world.object_names.index("beacon_red")
    mine = images["segmentation"] == index
    rgb = images["scene"].astype(int)
    reddish = (rgb[..., 0] > 110) & (rgb[..., 1] < 60) & (rgb[..., 2] < 60)
    assert (mine & reddish).sum() / (mine | reddish).sum() > 0.9
    sky = images["segmentation"] == -1
    assert (images["depth"][sky] == NOTHING_THERE_M).mean() > 0.98
    with pytest.raises(ValueError, match="kinds"):
        camera.render(world.copy_render_state(), pose, ("lidar",))


def test_a_camera_that_moves_to_another_world_draws_as_a_new_one(meadow_world: World) -> None:
    other: SceneSpec = build_scene("meadow", 11)
    world = World(other)
    with Camera(world, 64, 48) as fresh:
        expected = fresh.render(world.copy_render_state(), looking(other.start_yaw_deg))["scene"]
    with Camera(meadow_world, 64, 48) as moved:
        moved.show(world)
        assert np.array_equal(moved.render(world.copy_render_state(), looking(other.start_yaw_deg))["scene"], expected)
