"""The simulator in process: stepped flight and images, the live clock, cameras on the vehicle.

python -m pytest tests/unit/airfield/test_airfield_sim.py -q
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest

from stillwing_airfield.axes import rotation_matrix
from stillwing_airfield.flight import motions, tasks
from stillwing_airfield.flight.path import YawMode
from stillwing_airfield.mounts import Mount, camera_name, multiply
from stillwing_airfield.rendering import Optics
from stillwing_airfield.sim import Airfield, RunningLive, Take
from stillwing_common.errors import InternalFault, UnknownCamera, WrongState

SKY_M = 65504.0


@pytest.fixture
def airfield() -> Iterator[Airfield]:
    with Airfield.of("meadow", 7, Optics(160, 120)) as made:
        made.do(lambda v: v.autopilot.enable_api_control(True))
        made.do(lambda v: v.autopilot.arm(True))
        yield made


def test_a_stepped_flight_ends_where_it_should_and_images_follow(airfield: Airfield) -> None:
    before = airfield.capture(kinds=("scene",))
    assert airfield.fly(lambda v: motions.takeoff(v, 20)) is True
    after = airfield.capture(kinds=("scene",))
    assert after.time_ns == airfield.time_ns > before.time_ns
    assert after.vehicle.position_ned_m[2] == pytest.approx(-2, abs=0.05)
    assert after.images["scene"].shape == (120, 160, 3)
    assert np.abs(after.images["scene"].astype(int) - before.images["scene"]).mean() > 2


def test_a_task_without_end_is_given_up(airfield: Airfield) -> None:
    assert airfield.fly(lambda v: motions.move_by_velocity(v, (0, 0, 0), 60, False, YawMode()), at_most_s=0.1) is None


def test_segmentation_depth_and_colour_show_the_same_things_in_the_same_place(airfield: Airfield) -> None:
    for thing in airfield.scene.of_kind("beacon"):
        north, east, _ = thing.position_ned_m
        yaw = math.atan2(east, north)
        back = 4.0 / math.hypot(north, east)
        place = (north * (1 - back), east * (1 - back), -3.5)
        # Turned a little off, so that the beacon is not in the middle, where every lens agrees.
        half = (yaw + 0.35) / 2
        airfield.do(lambda v, p=place, h=half: v.place(p, (math.cos(h), 0.0, 0.0, math.sin(h))))
        shot = airfield.capture(kinds=("scene", "depth", "segmentation"))
        mask = shot.images["segmentation"] == airfield.scene.objects.index(thing)
        assert mask.sum() > 100
        depth_m = shot.images["depth"][mask]
        assert depth_m.min() > 1.5
        assert depth_m.max() < 6
        inside = shot.images["scene"][mask].astype(int)
        outside = shot.images["scene"][~mask].astype(int)
        strength = np.ptp(inside, axis=1)
        assert np.median(strength) > 80
        assert (np.ptp(outside, axis=1) > 2 * np.median(strength)).mean() < 0.02
        columns = np.flatnonzero(mask.any(axis=0))
        expected_px = 80 - math.tan(0.35) * 80
        assert columns[0] - 2 < expected_px < columns[-1] + 2


def test_sky_is_as_deep_as_a_half_float_goes(airfield: Airfield) -> None:
    airfield.do(lambda v: v.place((0.0, 0.0, -20.0), (math.cos(math.pi / 8), 0.0, math.sin(math.pi / 8), 0.0)))
    shot = airfield.capture(kinds=("depth", "segmentation"))
    nothing = shot.images["segmentation"] == -1
    assert nothing.mean() > 0.9
    assert (shot.images["depth"][nothing] == SKY_M).all()


def test_depth_agrees_with_a_ray(airfield: Airfield) -> None:
    airfield.do(lambda v: v.place((0.0, 0.0, -2.0), (math.cos(0.2), 0.0, -math.sin(0.2), 0.0)))
    shot = airfield.capture(kinds=("depth",))
    forward = rotation_matrix(shot.camera_pose.orientation_wxyz_ned)[:, 0]
    ray_m = airfield.cast_ray(shot.camera_pose.position_ned_m, tuple(forward), 100)
    assert ray_m is not None
    assert shot.images["depth"][59:61, 79:81].mean() == pytest.approx(ray_m, rel=0.02)


def test_cameras_answer_to_names_and_numbers(airfield: Airfield) -> None:
    assert [camera_name(name) for name in ("", "0", "3", "back_center", "roof")] == [
        "front_center",
        "front_center",
        "bottom_center",
        "back_center",
        None,
    ]
    airfield.do(lambda v: v.place((0.0, 0.0, -3.0), (1.0, 0.0, 0.0, 0.0)))
    below, front = airfield.shoot([Take("3", ["depth"]), Take("0", ["depth"])])
    assert below.time_ns == front.time_ns
    assert np.median(below.images["depth"]) == pytest.approx(3.02, abs=0.05)
    with pytest.raises(UnknownCamera):
        airfield.capture("roof")


def test_a_moved_camera_looks_elsewhere_until_reset(airfield: Airfield) -> None:
    straight_down = (math.sqrt(0.5), 0.0, -math.sqrt(0.5), 0.0)
    airfield.set_mount("0", Mount((0.0, 0.0, -4.0), straight_down))
    assert np.median(airfield.capture(kinds=("depth",)).images["depth"]) == pytest.approx(4, abs=0.1)
    airfield.reset()
    assert airfield.capture(kinds=("depth",)).camera_pose.position_ned_m[2] == pytest.approx(-0.06)


def test_quaternion_products_turn_twice() -> None:
    quarter = (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5))
    assert multiply(quarter, quarter) == pytest.approx((0, 0, 0, 1))


def test_live_it_keeps_real_time_and_cannot_be_stepped(airfield: Airfield) -> None:
    with pytest.raises(WrongState):
        airfield.capture_later([Take("0", ["scene"])])
    airfield.start()
    with pytest.raises(RunningLive):
        airfield.advance(1)
    began_ns = airfield.time_ns
    airfield.continue_for(0.2).result(10)
    assert airfield.paused
    assert airfield.time_ns - began_ns >= 200_000_000
    assert airfield.capture().time_ns == airfield.time_ns
    frozen_ns = airfield.time_ns
    going = airfield.begin(lambda v: motions.move_by_velocity(v, (0, 0, -1), 60, False, YawMode()))
    airfield.pause(False)
    airfield.continue_for(0.05).result(10)
    assert airfield.time_ns > frozen_ns
    airfield.close()
    assert going.result(0) is False


def test_a_motion_that_breaks_tells_its_caller_and_nobody_else_suffers(airfield: Airfield) -> None:
    def broken() -> tasks.Task:
        yield
        raise ZeroDivisionError("oh")

    airfield.start()
    answer = airfield.begin(lambda _: broken())
    with pytest.raises(ZeroDivisionError):
        answer.result(10)
    airfield.continue_for(0.05).result(10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_when_physics_breaks_every_caller_is_told(airfield: Airfield, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise FloatingPointError("lost")

    monkeypatch.setattr(type(airfield._world), "step", explode)
    airfield.start()
    waiting = airfield.continue_for(60)
    waiting.result(10)
    with pytest.raises(InternalFault, match="lost"):
        airfield.do(lambda v: v.state())
