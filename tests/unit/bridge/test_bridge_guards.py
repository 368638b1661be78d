"""python -m pytest tests/unit/bridge/test_bridge_guards.py -v

Guards' geometry: what a command means in metres, the fence, and the depth along the way, on pictures drawn here from
spheres whose true distance is known.
"""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stillwing_bridge.core.commands import FlyTowards, GoTo, SetVelocity, Step, Takeoff, Turn
from stillwing_bridge.core.judge import guards
from stillwing_bridge.core.judge.guards import GuardSettings, Way
from stillwing_bridge.core.judge.seen_frames import FrameRecord
from stillwing_bridge.core.sight import depth as sight
from stillwing_bridge.core.sight.depth import DepthView
from stillwing_bridge.core.types import Limits
from stillwing_bridge.core.vehicle import ClimbTo, FlyTo, FlyVelocity, TurnTo, VehicleState
from stillwing_common.errors import (
    InvalidInput,
    LimitExceeded,
    ObservationStale,
    Obstructed,
    OutsideFence,
    SimulatorError,
)
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

LIMITS = Limits()
SETTINGS = GuardSettings()
WIDTH, HEIGHT, HFOV_DEG = 160, 120, 90.0
yaws = st.floats(-179, 179)


def state_at(north: float, east: float, down: float, yaw_deg: float = 0.0) -> VehicleState:
    pose = Pose(PositionNed(north, east, down), Quaternion.from_yaw_deg(yaw_deg))
    return VehicleState(Stamp(0, "c"), pose, VelocityNed(0, 0, 0), True, True)


def camera_of(state: VehicleState) -> Pose:
    """A quarter of a metre ahead of the centre."""
    here, q = state.pose.position, state.pose.orientation
    north, east, down = q.rotate(0.25, 0, 0)
    return Pose(PositionNed(here.north_m + north, here.east_m + east, here.down_m + down), q)


def picture(state: VehicleState, centre: PositionNed | None, radius_m: float) -> DepthView:
    """Planar depth of one sphere before the open sky, ray by ray."""
    camera = camera_of(state)
    half = math.tan(math.radians(HFOV_DEG) / 2)
    right = ((np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1) * half
    down = ((np.arange(HEIGHT) + 0.5) / HEIGHT * 2 - 1) * half * HEIGHT / WIDTH
    depth = np.full((HEIGHT, WIDTH), 65504.0, np.float32)
    if centre is not None:
        q = camera.orientation
        back = Quaternion(q.w, -q.x, -q.y, -q.z)
        c = np.array(
            back.rotate(
                centre.north_m - camera.position.north_m,
                centre.east_m - camera.position.east_m,
                centre.down_m - camera.position.down_m,
            )
        )
        rays = np.stack(
            (
                np.ones((HEIGHT, WIDTH)),
                np.broadcast_to(right, depth.shape),
                np.broadcast_to(down[:, None], depth.shape),
            ),
            axis=-1,
        )
        a = (rays**2).sum(-1)
        b = rays @ c
        inside = b * b - a * (c @ c - radius_m**2)
        hit = (inside > 0) & (b > 0)
        depth[hit] = ((b - np.sqrt(np.where(hit, inside, 0))) / a)[hit]
    return DepthView(depth, camera, HFOV_DEG)


# Commands to plans


@settings(deadline=None)
@given(yaw_deg=yaws, forward=st.floats(-4, 4), right=st.floats(-4, 4), up=st.floats(-1, 4))
def test_a_step_goes_as_far_as_it_says_in_the_level_frame_of_the_body(
    yaw_deg: float, forward: float, right: float, up: float
) -> None:
    here = state_at(3, -2, -5, yaw_deg)
    plan = guards.plan_of(Step(forward, right, up), here, LIMITS, SETTINGS)
    assert isinstance(plan, FlyTo)
    assert plan.goal.distance_m(here.pose.position) == pytest.approx(math.hypot(forward, right, up), abs=1e-6)
    assert plan.goal.down_m == pytest.approx(-5 - up)
    heading = math.radians(yaw_deg)
    ahead = (plan.goal.north_m - 3) * math.cos(heading) + (plan.goal.east_m + 2) * math.sin(heading)
    assert ahead == pytest.approx(forward, abs=1e-6)


def test_a_tilted_vehicle_steps_level() -> None:
    half = math.radians(20) / 2
    tilted = Pose(PositionNed(0, 0, -2), Quaternion(math.cos(half), 0, math.sin(half), 0))
    plan = guards.plan_of(
        Step(forward_m=2), VehicleState(Stamp(0, "c"), tilted, VelocityNed(0, 0, 0), True, True), LIMITS, SETTINGS
    )
    assert isinstance(plan, FlyTo)
    assert plan.goal.down_m == pytest.approx(-2)


@settings(deadline=None)
@given(yaw_deg=yaws, angle_deg=st.floats(-360, 360))
def test_a_turn_ends_at_the_heading_asked_for(yaw_deg: float, angle_deg: float) -> None:
    plan = guards.plan_of(Turn(angle_deg), state_at(0, 0, -2, yaw_deg), LIMITS, SETTINGS)
    assert isinstance(plan, TurnTo)
    assert -180 < plan.yaw_deg <= 180
    assert math.cos(math.radians(plan.yaw_deg - yaw_deg - angle_deg)) == pytest.approx(1, abs=1e-6)


def test_zeros_mean_the_defaults() -> None:
    assert guards.plan_of(Takeoff(), state_at(0, 0, 0), LIMITS, SETTINGS) == ClimbTo(2.0)
    plan = guards.plan_of(Step(forward_m=1), state_at(0, 0, -2), LIMITS, SETTINGS)
    assert isinstance(plan, FlyTo)
    assert plan.speed_m_s == SETTINGS.default_speed_m_s


@pytest.mark.parametrize(
    "command",
    [
        Step(forward_m=10.1),
        Step(forward_m=1, speed_m_s=3.1),
        Step(forward_m=1, speed_m_s=-1),
        SetVelocity(forward_m_s=3, right_m_s=1),
        SetVelocity(yaw_rate_deg_s=91),
        Turn(361),
        Takeoff(0.4),
        Takeoff(30.1),
        GoTo(PositionNed(11, 0, -2)),
    ],
)
def test_beyond_a_limit_is_refused_and_never_cut(command: Step) -> None:
    with pytest.raises(LimitExceeded):
        guards.plan_of(command, state_at(0, 0, -2), LIMITS, SETTINGS)


@pytest.mark.parametrize(
    "command",
    [
        Step(forward_m=math.nan),
        SetVelocity(math.inf),
        Turn(math.nan),
        GoTo(PositionNed(0, math.nan, -2)),
        Takeoff(math.inf),
    ],
)
def test_what_is_no_number_is_refused(command: Step) -> None:
    with pytest.raises(InvalidInput):
        guards.plan_of(command, state_at(0, 0, -2), LIMITS, SETTINGS)


# Fence


@pytest.mark.parametrize(
    ("here", "step"),
    [
        ((95, 0, -2), Step(forward_m=6)),
        ((0, 0, -2), Step(up_m=-1.7)),
        ((0, 0, -29), Step(up_m=2)),
        ((99.5, 0, -2), SetVelocity(forward_m_s=2)),
    ],
)
def test_the_fence_has_a_wall_a_floor_and_a_ceiling(here: tuple[float, float, float], step: Step) -> None:
    with pytest.raises(OutsideFence):
        guards.plan_of(step, state_at(*here), LIMITS, SETTINGS)


@settings(deadline=None)
@given(north=st.floats(-150, 150), down=st.floats(-40, 0), forward=st.floats(-9, 9), up=st.floats(-3, 3))
def test_no_plan_leads_farther_outside_and_every_way_back_is_open(
    north: float, down: float, forward: float, up: float
) -> None:
    here = state_at(north, 0, down)
    outside_m = guards.outside_m(here.pose.position, LIMITS)
    try:
        plan = guards.plan_of(Step(forward_m=forward, up_m=up), here, LIMITS, SETTINGS)
    except OutsideFence:
        goal = PositionNed(north + forward, 0, down - up)
        assert guards.outside_m(goal, LIMITS) > outside_m
        return
    assert isinstance(plan, FlyTo)
    assert guards.outside_m(plan.goal, LIMITS) <= max(outside_m, 0.05) + 1e-9


# Depth


@settings(max_examples=60, deadline=None)
@given(yaw_deg=yaws, distance_m=st.floats(1.2, 8), offset_m=st.floats(-1.5, 1.5), radius_m=st.floats(0.15, 1))
def test_the_free_length_ends_the_margin_before_the_nearest_point_in_the_corridor(
    yaw_deg: float, distance_m: float, offset_m: float, radius_m: float
) -> None:
    here = state_at(1, 2, -3, yaw_deg)
    ahead, aside, _ = here.pose.orientation.rotate(distance_m, offset_m, 0)
    centre = PositionNed(1 + ahead, 2 + aside, -3)
    assume(camera_of(here).position.distance_m(centre) > radius_m + 0.1)  # no camera looks from inside a thing
    view = picture(here, centre, radius_m)
    north, east, down = here.pose.orientation.rotate(1, 0, 0)
    way = Way(here.pose.position, (north, east, down), 10.0)
    free_m = sight.free_length_m(way, view, SETTINGS)
    # Where the sphere's surface first comes within the corridor, along the way.
    overlap_m = abs(offset_m) - SETTINGS.corridor_radius_m
    assume(abs(overlap_m - radius_m) > 0.2)
    if overlap_m >= radius_m:
        assert free_m == math.inf
        return
    inner_m = max(overlap_m, 0.0)
    nearest_m = distance_m - math.sqrt(radius_m**2 - inner_m**2)
    assume(nearest_m > 0.6)
    assert free_m == pytest.approx(max(0.0, nearest_m - SETTINGS.margin_m), abs=0.15)


def test_an_obstructed_way_is_refused_with_its_free_distance() -> None:
    here = state_at(0, 0, -2)
    view = picture(here, PositionNed(3, 0, -2), 0.5)
    way = guards.way_between(here.pose.position, PositionNed(2.5, 0, -2))
    assert way is not None
    with pytest.raises(Obstructed) as refused:
        sight.check_way(way, view, SETTINGS)
    assert float(refused.value.metadata["distance_m"]) == pytest.approx(2.0, abs=0.05)
    short = guards.way_between(here.pose.position, PositionNed(1.9, 0, -2))
    assert short is not None
    sight.check_way(short, view, SETTINGS)


def test_only_a_way_into_the_picture_can_be_checked() -> None:
    here = state_at(0, 0, -2)
    view = picture(here, None, 0)
    ahead = Way(here.pose.position, (1, 0, 0), 1.0)
    aside = Way(here.pose.position, (0, 1, 0), 1.0)
    back = Way(here.pose.position, (-1, 0, 0), 1.0)
    assert sight.in_view(ahead, view, SETTINGS.margin_m)
    assert not sight.in_view(aside, view, SETTINGS.margin_m)
    assert not sight.in_view(back, view, SETTINGS.margin_m)


@pytest.mark.parametrize("bad", [np.zeros((0, 0)), np.zeros((12, 16)), np.full((12, 16), np.nan)])
def test_a_picture_without_depth_is_an_error_and_not_a_free_way(bad: np.ndarray) -> None:
    here = state_at(0, 0, -2)
    view = DepthView(bad.astype(np.float32), camera_of(here), HFOV_DEG)
    with pytest.raises(SimulatorError):
        sight.free_length_m(Way(here.pose.position, (1, 0, 0), 1.0), view, SETTINGS)


def frame_of(state: VehicleState) -> FrameRecord:
    return FrameRecord("v/c/1", "c", Stamp(0, "c"), camera_of(state), WIDTH, HEIGHT, HFOV_DEG)


@settings(max_examples=60, deadline=None)
@given(yaw_deg=yaws, u=st.floats(0.2, 0.8), v=st.floats(0.3, 0.7), distance_m=st.floats(3, 8))
def test_a_pixel_target_is_lifted_to_its_place_and_flown_short_of(
    yaw_deg: float, u: float, v: float, distance_m: float
) -> None:
    here = state_at(0, 0, -10, yaw_deg)
    north, east, down = sight.pixel_direction(u, v, frame_of(here))
    assert math.hypot(north, east, down) == pytest.approx(1)
    centre = Way(camera_of(here).position, (north, east, down), distance_m).at(distance_m)
    view = picture(here, centre, 0.5)
    plan = sight.lift(FlyTowards(u, v, 10.0), frame_of(here), here, view, LIMITS, SETTINGS)
    flown_m = plan.goal.distance_m(here.pose.position)
    target = sight.pixel_point(u, v, frame_of(here), view)
    assert target is not None
    assert target.distance_m(centre) == pytest.approx(0.5, abs=0.05)
    to_target_m = target.distance_m(here.pose.position)
    assert flown_m == pytest.approx(to_target_m - SETTINGS.margin_m, abs=0.2)
    assert plan.goal.distance_m(target) + flown_m == pytest.approx(to_target_m, abs=1e-6)


def test_a_pixel_target_keeps_its_step_and_the_floor() -> None:
    here = state_at(0, 0, -2)
    view = picture(here, None, 0)
    plan = sight.lift(FlyTowards(0.5, 0.5, 1.5), frame_of(here), here, view, LIMITS, SETTINGS)
    assert plan.goal.north_m == pytest.approx(1.5)
    low = sight.lift(FlyTowards(0.5, 0.9, 10.0), frame_of(here), here, view, LIMITS, SETTINGS)
    assert -low.goal.down_m == pytest.approx(LIMITS.min_altitude_m)


def test_a_pixel_target_right_ahead_is_obstructed() -> None:
    here = state_at(0, 0, -2)
    view = picture(here, PositionNed(1.1, 0, -2), 0.5)
    with pytest.raises(Obstructed):
        sight.lift(FlyTowards(0.5, 0.5, 2), frame_of(here), here, view, LIMITS, SETTINGS)


def test_a_pixel_out_of_the_picture_is_refused() -> None:
    here = state_at(0, 0, -2)
    with pytest.raises(InvalidInput):
        sight.lift(FlyTowards(1.1, 0.5, 2), frame_of(here), here, picture(here, None, 0), LIMITS, SETTINGS)
    turned = state_at(0, 0, -2, 120)
    with pytest.raises(ObservationStale):
        sight.lift(FlyTowards(0.5, 0.5, 2), frame_of(here), turned, picture(turned, None, 0), LIMITS, SETTINGS)


def test_a_velocity_looks_ahead_of_itself() -> None:
    here = state_at(0, 0, -2, 90)
    way = guards.way_of(FlyVelocity(2, 0, 0, 0), here, SETTINGS)
    assert way is not None
    assert way.length_m == pytest.approx(2 * SETTINGS.look_ahead_s)
    assert way.direction_ned == pytest.approx((0, 1, 0), abs=1e-6)
    assert guards.way_of(FlyVelocity(0, 0, 0, 30), here, SETTINGS) is None
