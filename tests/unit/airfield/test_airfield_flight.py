"""Flight as simple_flight flies: hovering, steps, the hold after 60 ms, tasks and what ends them.

python -m pytest tests/unit/airfield/test_airfield_flight.py -q
"""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_airfield.flight import motions, path, tasks
from stillwing_airfield.flight.controller import MAX_SPEED_M_S, MAX_TILT_RAD, Controller, Goal, VehicleState
from stillwing_airfield.flight.path import PathStyle, YawMode
from stillwing_airfield.flight.tasks import MotionRefused
from stillwing_airfield.vehicle import Vehicle

STEP_S = 0.005
STILL = YawMode()


def let(vehicle: Vehicle, seconds: float) -> None:
    for _ in range(round(seconds / STEP_S)):
        vehicle.step()


def finish(vehicle: Vehicle, task: tasks.Task, at_most_s: float = 60.0) -> bool:
    answer = vehicle.tasks.start(task)
    for _ in range(round(at_most_s / STEP_S)):
        if answer.done():
            return answer.result()
        vehicle.step()
    raise AssertionError(f"no end within {at_most_s} s")


def north_m(vehicle: Vehicle) -> float:
    return vehicle.state().position_ned_m[0]


def test_takeoff_climbs_two_metres_at_half_a_metre_a_second(vehicle: Vehicle) -> None:
    assert vehicle.landed
    assert finish(vehicle, motions.takeoff(vehicle, 20)) is True
    assert 4.0 < vehicle.time_s() < 6.0
    assert vehicle.state().position_ned_m[2] == pytest.approx(-2.0, abs=0.05)
    assert not vehicle.landed


def test_takeoff_is_refused_in_motion(hovering: Vehicle) -> None:
    hovering.tasks.start(motions.move_by_velocity(hovering, (2.0, 0.0, 0.0), 5, False, STILL))
    let(hovering, 2)
    answer = hovering.tasks.start(motions.takeoff(hovering, 20))
    with pytest.raises(MotionRefused, match=r"already moving with velocity 1\.\d+ m/s"):
        answer.result(0)


def test_hover_does_not_drift(hovering: Vehicle) -> None:
    start = hovering.state().position_ned_m
    for _ in range(30):
        let(hovering, 1)
        assert math.dist(hovering.state().position_ned_m, start) < 0.05
    assert hovering.state().speed_m_s < 0.01


def test_a_step_of_one_metre_settles_within_two_seconds(hovering: Vehicle) -> None:
    down = hovering.state().position_ned_m[2]
    goal = Goal(position_ne_m=(1.0, 0.0), position_down_m=down, yaw_deg=0.0)
    furthest_m = last_off_s = 0.0
    for step in range(800):
        if step % 4 == 0:
            hovering.command(goal)
        hovering.step()
        furthest_m = max(furthest_m, north_m(hovering))
        if abs(north_m(hovering) - 1) > 0.05:
            last_off_s = step * STEP_S
    assert last_off_s < 2.0
    assert furthest_m < 1.05


def test_a_move_of_one_metre_does_not_overshoot(hovering: Vehicle) -> None:
    down = hovering.state().position_ned_m[2]
    assert finish(hovering, path.move_on_path(hovering, [(1.0, 0.0, down)], 1.0, 20)) is True
    furthest_m = north_m(hovering)
    for _ in range(600):
        hovering.step()
        furthest_m = max(furthest_m, north_m(hovering))
    assert 0.8 < north_m(hovering) < 1.1
    assert furthest_m < 1.1


def test_without_setpoints_it_holds_after_60_ms(hovering: Vehicle) -> None:
    hovering.tasks.start(motions.move_by_velocity(hovering, (1.0, 0.0, 0.0), 60, False, STILL))
    let(hovering, 2)
    assert hovering.state().velocity_ned_m_s[0] == pytest.approx(1.0, abs=0.05)
    hovering.tasks.cancel()
    silent_since_s = hovering.time_s()
    while not hovering.autopilot.holding:
        hovering.step()
    assert 0.04 <= hovering.time_s() - silent_since_s <= 0.08
    let(hovering, 1.5)
    assert hovering.state().speed_m_s < 0.1
    rest = hovering.state().position_ned_m
    let(hovering, 3)
    assert math.dist(hovering.state().position_ned_m, rest) < 0.1


def test_a_new_motion_ends_the_old_one_with_false(hovering: Vehicle) -> None:
    first = hovering.tasks.start(motions.move_by_velocity(hovering, (1.0, 0.0, 0.0), 60, False, STILL))
    let(hovering, 0.5)
    second = hovering.tasks.start(motions.move_by_velocity(hovering, (0.0, 1.0, 0.0), 1.0, False, STILL))
    assert first.result(0) is False
    assert not second.done()
    let(hovering, 1.1)
    assert second.result(0) is True


def test_duration_is_simulated_time(hovering: Vehicle) -> None:
    began_s = hovering.time_s()
    assert finish(hovering, motions.move_by_velocity(hovering, (0.5, 0.0, 0.0), 1.5, False, STILL)) is True
    assert hovering.time_s() - began_s == pytest.approx(1.5, abs=0.025)


def test_nothing_moves_without_api_control_and_the_answer_is_true(hovering: Vehicle) -> None:
    hovering.autopilot.enable_api_control(False)
    start = hovering.state().position_ned_m
    assert finish(hovering, motions.move_by_velocity(hovering, (2.0, 0.0, 0.0), 2.0, False, STILL)) is True
    assert math.dist(hovering.state().position_ned_m, start) < 0.05


def test_motors_that_are_not_armed_do_not_lift(vehicle: Vehicle) -> None:
    assert vehicle.autopilot.arm(False)
    assert finish(vehicle, motions.takeoff(vehicle, 3)) is False
    assert abs(vehicle.state().position_ned_m[2]) < 0.01


def test_arming_needs_api_control(vehicle: Vehicle) -> None:
    vehicle.reset()
    assert vehicle.autopilot.arm(True) is False


@pytest.mark.parametrize(("target_deg", "margin_deg"), [(90, 2), (-170, 2), (15, 1), (-15, 1)])
def test_rotate_to_yaw_turns_on_the_spot(hovering: Vehicle, target_deg: float, margin_deg: float) -> None:
    start = hovering.state().position_ned_m
    assert finish(hovering, motions.rotate_to_yaw(hovering, target_deg, 20, margin_deg)) is True
    let(hovering, 1)
    off_deg = math.remainder(math.degrees(hovering.state().yaw_rad) - target_deg, 360)
    assert abs(off_deg) <= margin_deg + 0.2
    assert math.dist(hovering.state().position_ned_m, start) < 0.05


def test_next_to_180_degrees_a_turn_arrives_and_does_not_know_it(hovering: Vehicle) -> None:
    finish(hovering, motions.rotate_to_yaw(hovering, -178, 20, 0.3))
    assert finish(hovering, motions.rotate_to_yaw(hovering, 180, 3, 0.3)) is False
    assert abs(math.remainder(math.degrees(hovering.state().yaw_rad) - 180, 360)) < 1.0


def test_a_fast_path_brakes_before_its_end(hovering: Vehicle) -> None:
    answer = hovering.tasks.start(path.move_on_path(hovering, [(20.0, 6.0, -2.0)], 5.0, 30))
    fastest_m_s, near_m_s = 0.0, 9.0
    while not answer.done():
        hovering.step()
        speed_m_s = hovering.state().speed_m_s
        fastest_m_s = max(fastest_m_s, speed_m_s)
        if math.dist(hovering.state().position_ned_m[:2], (20.0, 6.0)) < 0.5:
            near_m_s = min(near_m_s, speed_m_s)
    assert fastest_m_s > 4.5
    assert near_m_s < 2.5


def test_rotate_by_yaw_rate_turns_at_the_rate(hovering: Vehicle) -> None:
    assert finish(hovering, motions.rotate_by_yaw_rate(hovering, -30, 2)) is True
    assert math.degrees(hovering.state().yaw_rad) == pytest.approx(-60, abs=4)


def test_body_frame_velocity_follows_the_heading_of_the_start(hovering: Vehicle) -> None:
    finish(hovering, motions.rotate_to_yaw(hovering, 90, 20, 0.5))
    start = hovering.state().position_ned_m
    north_m_s, east_m_s = motions.to_world(hovering, 1.0, 0.0)
    finish(hovering, motions.move_by_velocity(hovering, (north_m_s, east_m_s, 0.0), 2, False, STILL))
    moved = hovering.state().position_ned_m
    assert moved[1] - start[1] > 1.3
    assert abs(moved[0] - start[0]) < 0.05


def test_forward_only_turns_the_nose_into_the_way(hovering: Vehicle) -> None:
    finish(hovering, motions.move_by_velocity(hovering, (0.0, 2.0, 0.0), 3, True, YawMode(False, 0.0)))
    assert math.degrees(hovering.state().yaw_rad) == pytest.approx(90, abs=3)
    answer = hovering.tasks.start(
        path.move_on_path(hovering, [(9.0, 0.0, -2.0)], 1.0, 20, PathStyle(True, YawMode(True, 0.0)))
    )
    with pytest.raises(MotionRefused, match="Yaw cannot be specified as rate if drivetrain is ForwardOnly"):
        answer.result(0)


def test_speed_and_tilt_stay_within_simple_flights_limits(hovering: Vehicle) -> None:
    hovering.tasks.start(motions.move_by_velocity(hovering, (0.0, 20.0, 0.0), 6, False, STILL))
    for _ in range(1100):
        hovering.step()
        _, x, y, _ = hovering.state().orientation_wxyz
        assert 2 * math.asin(min(math.hypot(x, y), 1)) < MAX_TILT_RAD + 0.05
        assert hovering.state().speed_m_s < MAX_SPEED_M_S + 0.2
    assert hovering.state().speed_m_s > MAX_SPEED_M_S - 0.3
    assert hovering.state().position_ned_m[2] == pytest.approx(-2, abs=0.15)


def test_path_goes_round_its_corners(hovering: Vehicle) -> None:
    corners = [(0.0, 3.0, -2.0), (-3.0, 3.0, -2.0), (-3.0, 0.0, -3.0)]
    seen: list[tuple[float, float, float]] = []
    answer = hovering.tasks.start(path.move_on_path(hovering, corners, 1.0, 60))
    while not answer.done():
        hovering.step()
        seen.append(hovering.state().position_ned_m)
    assert answer.result() is True
    for corner in corners[:-1]:
        assert min(math.dist(corner, place) for place in seen) < 0.8
    assert math.dist(seen[-1], corners[-1]) < 0.5


def test_a_path_shorter_than_the_carrots_lead_is_not_flown(hovering: Vehicle) -> None:
    down = hovering.state().position_ned_m[2]
    assert finish(hovering, path.move_on_path(hovering, [(0.5, 0.0, down)], 1.0, 20), 0.1) is False
    assert finish(hovering, motions.hover(hovering), 0.1) is True
    let(hovering, 1)
    assert abs(north_m(hovering)) < 0.05


@pytest.mark.parametrize(
    ("style", "words"),
    [
        (PathStyle(lookahead_m=0.0), "lookahead distance cannot be 0"),
        (PathStyle(lookahead_m=0.2), "smaller than drone's distance accuracy 0.500000"),
    ],
)
def test_leads_that_cannot_work_are_refused(hovering: Vehicle, style: PathStyle, words: str) -> None:
    answer = hovering.tasks.start(path.move_on_path(hovering, [(9.0, 0.0, -2.0)], 1.0, 20, style))
    with pytest.raises(MotionRefused, match=words):
        answer.result(0)


def test_a_motion_that_takes_too_long_is_false(hovering: Vehicle) -> None:
    assert finish(hovering, path.move_on_path(hovering, [(-50.0, 0.0, -2.0)], 1.0, 2)) is False


def test_land_sinks_slowly_and_is_landed(hovering: Vehicle) -> None:
    began_s = hovering.time_s()
    assert finish(hovering, motions.land(hovering, 60)) is True
    assert 8 < hovering.time_s() - began_s < 13
    assert hovering.landed
    assert hovering.take_collision().object_name == "ground"
    assert finish(hovering, motions.takeoff(hovering, 20)) is True


def test_flying_into_the_post_is_a_collision_until_it_is_read(hovering: Vehicle) -> None:
    assert not hovering.collision.has_collided
    hovering.tasks.start(motions.move_by_velocity(hovering, (2.0, 0.0, 0.0), 10, False, STILL))
    let(hovering, 5)
    collision = hovering.take_collision()
    assert collision.has_collided
    assert collision.object_name == "post"
    assert collision.impact_point_ned_m[0] == pytest.approx(4.7, abs=0.05)
    assert collision.normal_ned[0] == pytest.approx(-1, abs=0.05)
    assert not hovering.take_collision().has_collided


def test_reset_drops_control_and_motors_and_goes_back(hovering: Vehicle) -> None:
    answer = hovering.tasks.start(motions.move_by_velocity(hovering, (0.0, 1.0, 0.0), 60, False, STILL))
    let(hovering, 2)
    time_s = hovering.time_s()
    hovering.reset()
    assert answer.result(0) is False
    assert hovering.landed
    assert not hovering.autopilot.api_control
    assert not hovering.autopilot.armed
    assert hovering.state().position_ned_m == (0.0, 0.0, 0.0)
    assert hovering.time_s() == time_s


def test_teleport_keeps_what_is_nan_and_holds_there(hovering: Vehicle) -> None:
    hovering.place((math.nan, -7.0, -4.0), (math.nan,) * 4)
    let(hovering, 2)
    assert math.dist(hovering.state().position_ned_m, (0.0, -7.0, -4.0)) < 0.05


def test_accelerometer_feels_gravity_on_the_ground(vehicle: Vehicle) -> None:
    let(vehicle, 1)
    assert vehicle.accelerometer_body_m_s2() == pytest.approx((0, 0, -9.81), abs=0.02)


def test_the_same_flight_twice_is_the_same_to_the_bit(field) -> None:
    from stillwing_airfield.world import World

    ends = []
    for _ in range(2):
        vehicle = Vehicle(World(field))
        vehicle.autopilot.enable_api_control(True)
        vehicle.autopilot.arm(True)
        finish(vehicle, motions.takeoff(vehicle, 20))
        finish(vehicle, motions.move_by_velocity(vehicle, (0.3, -1.2, 0.1), 2, True, YawMode(False, 20)))
        ends.append((vehicle.state(), vehicle.time_ns))
    assert ends[0] == ends[1]


_ANGLE = st.floats(-math.pi, math.pi)
_SPEED = st.floats(-10, 10)


@settings(deadline=None)
@given(velocity=st.tuples(_SPEED, _SPEED, _SPEED), wanted=st.tuples(_SPEED, _SPEED, _SPEED), yaw=_ANGLE, tilt=_ANGLE)
def test_thrust_is_bounded_and_along_the_body_in_any_attitude(
    velocity: tuple[float, float, float], wanted: tuple[float, float, float], yaw: float, tilt: float
) -> None:
    cy, sy, ct, s_t = math.cos(yaw / 2), math.sin(yaw / 2), math.cos(tilt / 2), math.sin(tilt / 2)
    state = VehicleState((0.0, 0.0, -5.0), velocity, (cy * ct, -sy * s_t, cy * s_t, sy * ct), (0.1, -0.2, 0.3))
    wrench = Controller(1.0, (0.007, 0.007, 0.012)).wrench(Goal(wanted), state)
    w, x, y, z = state.orientation_wxyz
    down_axis = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
    thrust_n = -sum(a * b for a, b in zip(wrench.force_ned_n, down_axis, strict=True))
    assert 0 < thrust_n <= 2.2 * 9.81 + 1e-9
    assert math.dist(wrench.force_ned_n, tuple(-thrust_n * part for part in down_axis)) < 1e-9
    assert all(abs(part) < 10 for part in wrench.torque_body_nm)
