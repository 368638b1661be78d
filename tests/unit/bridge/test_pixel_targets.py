"""python -m pytest tests/unit/bridge/test_pixel_targets.py -v

A pixel becomes a place: against the truth of airfield's world, ray by ray, from random poses; there and back; and at
the edges: sky, the border of the picture, targets nearer than the step, something beside the ray, a vehicle that
drifted.
"""

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from stillwing_airfield.rendering import Optics
from stillwing_airfield.sim import Airfield
from stillwing_bridge.core.commands import FlyTowards
from stillwing_bridge.core.judge.guards import GuardSettings, Way
from stillwing_bridge.core.judge.seen_frames import FrameRecord
from stillwing_bridge.core.sight import depth as sight
from stillwing_bridge.core.sight.depth import DepthView
from stillwing_bridge.core.types import Limits
from stillwing_bridge.core.vehicle import VehicleState
from stillwing_common.errors import ObservationStale, Obstructed, WayUnseen
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

WIDTH, HEIGHT, HFOV_DEG = 160, 120, 90.0
LIMITS = Limits(max_altitude_m=60, fence_radius_m=1000)
SETTINGS = GuardSettings()
SKY_M = 65504.0


@pytest.fixture(scope="module")
def meadow() -> Iterator[Airfield]:
    """Trees, posts and beacons of one seed."""
    with Airfield.of("meadow", 3, Optics(WIDTH, HEIGHT, HFOV_DEG)) as airfield:
        yield airfield


def tilted(roll_deg: float, pitch_deg: float, yaw_deg: float) -> Quaternion:
    r, p, y = (math.radians(angle) / 2 for angle in (roll_deg, pitch_deg, yaw_deg))
    return Quaternion(
        math.cos(r) * math.cos(p) * math.cos(y) + math.sin(r) * math.sin(p) * math.sin(y),
        math.sin(r) * math.cos(p) * math.cos(y) - math.cos(r) * math.sin(p) * math.sin(y),
        math.cos(r) * math.sin(p) * math.cos(y) + math.sin(r) * math.cos(p) * math.sin(y),
        math.cos(r) * math.cos(p) * math.sin(y) - math.sin(r) * math.sin(p) * math.cos(y),
    )


def pixel_of(point: PositionNed, frame: FrameRecord) -> tuple[float, float] | None:
    """Where `point` shows in `frame`, (u, v) from the top left, by projection; None behind the camera."""
    assert frame.camera_pose is not None
    at, q = frame.camera_pose.position, frame.camera_pose.orientation
    axes = np.array([q.rotate(1, 0, 0), q.rotate(0, 1, 0), q.rotate(0, 0, 1)])
    forward, right, down = axes @ (point.north_m - at.north_m, point.east_m - at.east_m, point.down_m - at.down_m)
    if forward <= 1e-6:
        return None
    half = math.tan(math.radians(frame.hfov_deg) / 2)
    return float(right / forward / half + 1) / 2, float(
        down / forward / half * frame.width_px / frame.height_px + 1
    ) / 2


def in_the_open(meadow: Airfield, place: tuple[float, float, float]) -> bool:
    """Whether nothing surrounds the camera: from within a crown its leaves cannot be seen."""
    return all(
        math.hypot(place[0] - thing.position_ned_m[0], place[1] - thing.position_ned_m[1]) > thing.radius_m + 0.6
        for thing in meadow.scene.objects
        if thing.kind != "ground"
    )


def shoot(meadow: Airfield, at: PositionNed, q: Quaternion) -> tuple[FrameRecord, DepthView, VehicleState]:
    """What the vehicle would see from there."""
    meadow.do(lambda vehicle: vehicle.place((at.north_m, at.east_m, at.down_m), (q.w, q.x, q.y, q.z)))
    shot = meadow.capture(kinds=("depth",))
    pose = Pose(PositionNed(*shot.camera_pose.position_ned_m), Quaternion(*shot.camera_pose.orientation_wxyz_ned))
    stamp = Stamp(shot.time_ns, "clk")
    frame = FrameRecord("drone/front_center/1", "front_center", stamp, pose, WIDTH, HEIGHT, HFOV_DEG)
    state = VehicleState(stamp, Pose(at, q), VelocityNed(0, 0, 0), True, True)
    return frame, DepthView(np.asarray(shot.images["depth"], np.float32), pose, HFOV_DEG), state


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.tuples(st.floats(-15, 15), st.floats(-15, 15), st.floats(-8, -1.2)),
    turned=st.tuples(st.floats(-15, 15), st.floats(-20, 20), st.floats(-180, 180)),
    pixels=st.lists(
        st.tuples(st.integers(1, WIDTH - 2), st.integers(1, HEIGHT - 2)), min_size=8, max_size=8, unique=True
    ),
)
def test_a_pixel_is_the_place_that_a_ray_through_it_hits(
    meadow: Airfield,
    place: tuple[float, float, float],
    turned: tuple[float, float, float],
    pixels: list[tuple[int, int]],
) -> None:
    assume(in_the_open(meadow, place))
    frame, view, _ = shoot(meadow, PositionNed(*place), tilted(*turned))
    assert frame.camera_pose is not None
    origin = frame.camera_pose.position
    checked = 0
    for column, row in pixels:
        patch = view.depth_m[row - 1 : row + 2, column - 1 : column + 2]
        if patch.min() < 0.3 or patch.max() > 1.1 * patch.min() or patch.min() > 300:
            continue  # the outline of a thing, where neighbours show different things, or almost the horizon
        u, v = (column + 0.5) / WIDTH, (row + 0.5) / HEIGHT
        direction = sight.pixel_direction(u, v, frame)
        hit_m = meadow.cast_ray((origin.north_m, origin.east_m, origin.down_m), direction, 1000.0)
        assert hit_m is not None
        point = sight.pixel_point(u, v, frame, view)
        assert point is not None
        assert point.distance_m(Way(origin, direction, 1.0).at(hit_m)) < 0.05 + 0.03 * hit_m
        again = pixel_of(point, frame)
        assert again == pytest.approx((u, v), abs=1e-6)
        checked += 1
    assume(checked)


@settings(deadline=None)
@given(
    turned=st.tuples(st.floats(-30, 30), st.floats(-60, 60), st.floats(-180, 180)),
    u=st.floats(0, 1),
    v=st.floats(0, 1),
    distance_m=st.floats(0.1, 500),
)
def test_a_place_is_seen_where_the_ray_to_it_was_sent(
    turned: tuple[float, float, float], u: float, v: float, distance_m: float
) -> None:
    frame = FrameRecord("f", "c", Stamp(0, "c"), Pose(PositionNed(3, -4, -5), tilted(*turned)), 640, 480, 75.0)
    assert frame.camera_pose is not None
    point = Way(frame.camera_pose.position, sight.pixel_direction(u, v, frame), 1.0).at(distance_m)
    assert pixel_of(point, frame) == pytest.approx((u, v), abs=1e-6)
    behind = Way(frame.camera_pose.position, sight.pixel_direction(u, v, frame), 1.0).at(-distance_m)
    assert pixel_of(behind, frame) is None


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    place=st.tuples(st.floats(-12, 12), st.floats(-12, 12), st.floats(-6, -1.5)),
    yaw_deg=st.floats(-180, 180),
    u=st.floats(0, 1),
    v=st.floats(0, 1),
    step_m=st.floats(0.3, 10),
)
@example(place=(7.25, 0.0, -3.5625), yaw_deg=0.0, u=0.0, v=0.0, step_m=1.0)  # a beacon beside the picture
def test_what_is_flown_is_free_in_the_true_world(
    meadow: Airfield, place: tuple[float, float, float], yaw_deg: float, u: float, v: float, step_m: float
) -> None:
    assume(in_the_open(meadow, place))
    here = PositionNed(*place)
    frame, view, state = shoot(meadow, here, tilted(0, 0, yaw_deg))
    try:
        plan = sight.lift(FlyTowards(u, v, step_m), frame, state, view, LIMITS, SETTINGS)
    except Obstructed:
        return
    flown_m = here.distance_m(plan.goal)
    assert flown_m <= step_m + 1e-6
    assert -plan.goal.down_m >= LIMITS.min_altitude_m - 1e-6
    direction = (
        (plan.goal.north_m - here.north_m) / flown_m,
        (plan.goal.east_m - here.east_m) / flown_m,
        (plan.goal.down_m - here.down_m) / flown_m,
    )
    # From in front of the camera on: the vehicle's own body hides nothing there.
    start_m = min(0.3, flown_m)
    start = Way(here, direction, 1.0).at(start_m)
    hit_m = meadow.cast_ray((start.north_m, start.east_m, start.down_m), direction, flown_m - start_m + 0.2)
    if hit_m is not None:
        # Short and slow is all that is promised where a way leaves the picture: then no pixel showed what is there.
        assert not sight.in_view(Way(here, direction, flown_m), view, SETTINGS.margin_m)
        pixel = pixel_of(Way(start, direction, 1.0).at(hit_m), frame)
        assert pixel is None or not all(0 <= each <= 1 for each in pixel)
        assert flown_m <= LIMITS.max_unseen_step_m + 1e-6
        assert plan.speed_m_s <= LIMITS.max_unseen_speed_m_s


def level(depth_m: np.ndarray, here: PositionNed = PositionNed(0, 0, -10), yaw_deg: float = 0.0):  # type: ignore[no-untyped-def]  # noqa: B008
    q = Quaternion.from_yaw_deg(yaw_deg)
    north, east, down = q.rotate(0.25, 0, 0)
    pose = Pose(PositionNed(here.north_m + north, here.east_m + east, here.down_m + down), q)
    frame = FrameRecord("f", "c", Stamp(0, "c"), pose, WIDTH, HEIGHT, HFOV_DEG)
    state = VehicleState(Stamp(0, "c"), Pose(here, q), VelocityNed(0, 0, 0), True, True)
    return frame, DepthView(depth_m, pose, HFOV_DEG), state


def sky() -> np.ndarray:
    return np.full((HEIGHT, WIDTH), SKY_M, np.float32)


def test_the_sky_is_a_direction_and_its_step_is_flown() -> None:
    frame, view, state = level(sky())
    assert sight.pixel_point(0.5, 0.4, frame, view) is None
    plan = sight.lift(FlyTowards(0.5, 0.4, 4.0), frame, state, view, LIMITS, SETTINGS)
    assert plan.goal.distance_m(state.pose.position) == pytest.approx(4.0)
    assert plan.goal.down_m < -10


def test_a_target_nearer_than_the_step_is_flown_up_to_and_not_beyond() -> None:
    wall = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    frame, view, state = level(wall)
    plan = sight.lift(FlyTowards(0.5, 0.5, 10.0), frame, state, view, LIMITS, SETTINGS)
    assert plan.goal.north_m == pytest.approx(3.25 - SETTINGS.margin_m, abs=0.02)


def test_something_beside_the_ray_but_within_the_corridor_cuts_the_way() -> None:
    depth = np.full((HEIGHT, WIDTH), 20.0, np.float32)
    # A post 4 m ahead, 0.3 m to the right of the middle ray: the ray itself is free.
    column = round((0.3 / 4.0 + 1) / 2 * WIDTH)
    depth[:, column : column + 2] = 4.0
    frame, view, state = level(depth)
    target = sight.pixel_point(0.5, 0.5, frame, view)
    assert target is not None
    assert target.north_m == pytest.approx(20.25, abs=0.01)
    plan = sight.lift(FlyTowards(0.5, 0.5, 10.0), frame, state, view, LIMITS, SETTINGS)
    assert plan.goal.north_m == pytest.approx(4.25 - SETTINGS.margin_m, abs=0.05)


@pytest.mark.parametrize(("u", "v"), [(0.0, 0.5), (1.0, 0.5), (0.5, 0.0), (0.0, 0.0), (1.0, 1.0)])
def test_a_target_at_the_border_is_flown_as_far_as_unseen_ways_are(u: float, v: float) -> None:
    frame, view, state = level(sky())
    plan = sight.lift(FlyTowards(u, v, 8.0), frame, state, view, LIMITS, SETTINGS)
    assert plan.goal.distance_m(state.pose.position) <= LIMITS.max_unseen_step_m + 1e-6 or sight.in_view(
        Way(state.pose.position, _direction(state, plan.goal), 8.0), view, SETTINGS.margin_m
    )
    if u in (0.0, 1.0):
        with pytest.raises(WayUnseen):
            sight.lift(FlyTowards(0.0, 0.5, 1.0, speed_m_s=2.0), frame, state, view, LIMITS, SETTINGS)


def _direction(state: VehicleState, goal: PositionNed) -> tuple[float, float, float]:
    here = state.pose.position
    length_m = here.distance_m(goal)
    return (
        (goal.north_m - here.north_m) / length_m,
        (goal.east_m - here.east_m) / length_m,
        (goal.down_m - here.down_m) / length_m,
    )


@settings(deadline=None)
@given(drift=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(-0.2, 0.2)), yaw_deg=st.floats(-3, 3))
def test_a_vehicle_that_drifted_since_still_means_the_same_place(
    drift: tuple[float, float, float], yaw_deg: float
) -> None:
    def wall(here: PositionNed, yaw_deg: float) -> np.ndarray:
        # Planar depth of the plane north = 6 from a level camera of that heading.
        frame, _, _ = level(sky(), here, yaw_deg)
        assert frame.camera_pose is not None
        right = ((np.arange(WIDTH) + 0.5) / WIDTH * 2 - 1) * math.tan(math.radians(HFOV_DEG) / 2)
        heading = math.radians(yaw_deg)
        north_per_m = math.cos(heading) - right * math.sin(heading)
        depth = (6.0 - frame.camera_pose.position.north_m) / north_per_m
        return np.broadcast_to(depth, (HEIGHT, WIDTH)).astype(np.float32)

    then, now = PositionNed(0, 0, -10), PositionNed(drift[0], drift[1], -10 + drift[2])
    frame, before, _ = level(wall(then, 0.0), then)
    _, view, _ = level(wall(now, yaw_deg), now, yaw_deg)
    meant, found = sight.pixel_point(0.6, 0.45, frame, before), sight.pixel_point(0.6, 0.45, frame, view)
    assert meant is not None
    assert found is not None
    assert found.distance_m(meant) < 0.1


def test_a_vehicle_that_turned_away_has_to_look_again() -> None:
    frame, _, _ = level(sky())
    _, view, state = level(sky(), yaw_deg=50)
    with pytest.raises(ObservationStale):
        sight.lift(FlyTowards(0.2, 0.5, 2.0), frame, state, view, LIMITS, SETTINGS)
