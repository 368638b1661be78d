"""What a command would do, in metres, and whether it may: limits, fence, and the depth along the way.

Pure geometry, independent of any model: a pixel pointed at becomes a goal in the world here, and nowhere else. It knows
nothing of leases or time. Frames: world NED, body FRD; a camera looks along its own x axis, y right, z down.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwing_bridge.core.base import Command, FlyTowards, GoTo, Hold, Land, Limits, SetVelocity, Step, Takeoff, Turn
from stillwing_bridge.core.frames import FrameRecord
from stillwing_bridge.core.vehicle import ClimbTo, Descend, FlyTo, FlyVelocity, Plan, TurnTo, VehicleState
from stillwing_common.errors import (
    InternalFault,
    InvalidInput,
    LimitExceeded,
    ObservationStale,
    Obstructed,
    OutsideFence,
    SimulatorError,
)
from stillwing_common.types import Pose, PositionNed, Quaternion

Vector = NDArray[np.float64]

_ALTITUDE_SLACK_M = 0.05
_MAX_YAW_RATE_DEG_S = 90.0
_SMALLEST_ADVANCE_M = 0.2


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Defaults of commands, and the corridor that has to be free: `corridor_radius_m` round the way of the centre.

    `margin_m` stays free beyond the end of the way. A velocity looks ahead `look_ahead_s` of its own speed, refreshed
    while it is in force.
    """

    default_speed_m_s: float = 1.0
    takeoff_altitude_m: float = 2.0
    land_speed_m_s: float = 1.0
    corridor_radius_m: float = 0.45
    margin_m: float = 0.5
    look_ahead_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Way:
    """A straight segment of the vehicle's centre; `direction_ned` has length 1."""

    start: PositionNed
    direction_ned: tuple[float, float, float]
    length_m: float

    def at(self, distance_m: float) -> PositionNed:
        """The point `distance_m` along the way."""
        north, east, down = self.direction_ned
        return PositionNed(
            self.start.north_m + north * distance_m,
            self.start.east_m + east * distance_m,
            self.start.down_m + down * distance_m,
        )


def way_between(start: PositionNed, end: PositionNed) -> Way | None:
    """The segment from `start` to `end`; None if it has no length."""
    length_m = start.distance_m(end)
    if length_m < 1e-6:
        return None
    delta = (end.north_m - start.north_m, end.east_m - start.east_m, end.down_m - start.down_m)
    return Way(start, (delta[0] / length_m, delta[1] / length_m, delta[2] / length_m), length_m)


# Commands to plans


def plan_of(command: Command, state: VehicleState, limits: Limits, settings: GuardSettings) -> Plan:
    """What a command means from here; `LimitExceeded`, `OutsideFence`, `InvalidInput`. Pixel targets need `lift`."""
    here = state.pose.position
    match command:
        case Takeoff(altitude_m):
            altitude_m = _finite("altitude_m", altitude_m) or settings.takeoff_altitude_m
            if not limits.min_altitude_m <= altitude_m <= limits.max_altitude_m:
                raise _beyond("altitude_m", altitude_m, limits.min_altitude_m, limits.max_altitude_m)
            return ClimbTo(altitude_m)
        case Land():
            return Descend(settings.land_speed_m_s)
        case Turn(angle_deg):
            if abs(_finite("angle_deg", angle_deg)) > 360:
                raise _beyond("angle_deg", angle_deg, -360, 360)
            return TurnTo(wrap_deg(state.pose.orientation.yaw_deg + angle_deg))
        case Step(forward_m, right_m, up_m, speed_m_s):
            for name in ("forward_m", "right_m", "up_m"):
                _finite(name, getattr(command, name))
            north, east, down = _level(state.pose.orientation).rotate(forward_m, right_m, -up_m)
            goal = PositionNed(here.north_m + north, here.east_m + east, here.down_m + down)
            return _fly_to(here, goal, None, speed_m_s, limits, settings)
        case GoTo(position, yaw_deg, speed_m_s):
            for name in ("north_m", "east_m", "down_m"):
                _finite(name, getattr(position, name))
            yaw_deg = None if yaw_deg is None else wrap_deg(_finite("yaw_deg", yaw_deg))
            return _fly_to(here, position, yaw_deg, speed_m_s, limits, settings)
        case SetVelocity():
            return _velocity(command, state, limits, settings)
        case FlyTowards() | Hold():
            raise InternalFault(f"{type(command).__name__} has no plan of its own")


def _fly_to(
    here: PositionNed, goal: PositionNed, yaw_deg: float | None, speed_m_s: float, limits: Limits, s: GuardSettings
) -> FlyTo:
    distance_m = here.distance_m(goal)
    if distance_m > limits.max_step_m:
        raise _beyond("distance_m", distance_m, 0, limits.max_step_m)
    check_fence(goal, here, limits)
    return FlyTo(goal, checked_speed_m_s(speed_m_s, limits, s), yaw_deg)


def _velocity(command: SetVelocity, state: VehicleState, limits: Limits, settings: GuardSettings) -> FlyVelocity:
    for name in ("forward_m_s", "right_m_s", "down_m_s", "yaw_rate_deg_s"):
        _finite(name, getattr(command, name))
    speed_m_s = math.hypot(command.forward_m_s, command.right_m_s, command.down_m_s)
    if speed_m_s > limits.max_speed_m_s:
        raise _beyond("speed_m_s", speed_m_s, 0, limits.max_speed_m_s)
    if abs(command.yaw_rate_deg_s) > _MAX_YAW_RATE_DEG_S:
        raise _beyond("yaw_rate_deg_s", command.yaw_rate_deg_s, -_MAX_YAW_RATE_DEG_S, _MAX_YAW_RATE_DEG_S)
    plan = FlyVelocity(command.forward_m_s, command.right_m_s, command.down_m_s, command.yaw_rate_deg_s)
    way = way_of(plan, state, settings)
    if way is not None:
        check_fence(way.at(way.length_m), way.start, limits)
    return plan


def checked_speed_m_s(speed_m_s: float, limits: Limits, settings: GuardSettings) -> float:
    """The speed of a command, the default for 0; `LimitExceeded`."""
    speed_m_s = _finite("speed_m_s", speed_m_s) or settings.default_speed_m_s
    if not 0 < speed_m_s <= limits.max_speed_m_s:
        raise _beyond("speed_m_s", speed_m_s, 0, limits.max_speed_m_s)
    return speed_m_s


def way_of(plan: Plan, state: VehicleState, settings: GuardSettings) -> Way | None:
    """The segment a plan will fly from here; None for a plan without a known straight way."""
    here = state.pose.position
    match plan:
        case FlyTo(goal=goal):
            return way_between(here, goal)
        case FlyVelocity(forward, right, down, _):
            north, east, down_m_s = _level(state.pose.orientation).rotate(forward, right, down)
            ahead_s = settings.look_ahead_s
            end = PositionNed(
                here.north_m + north * ahead_s, here.east_m + east * ahead_s, here.down_m + down_m_s * ahead_s
            )
            return way_between(here, end)
        case _:
            return None


# Fence


def outside_m(position: PositionNed, limits: Limits) -> float:
    """Metres outside the fence, 0 inside: a cylinder round home between the lowest and the highest altitude."""
    altitude_m = -position.down_m
    return max(
        math.hypot(position.north_m, position.east_m) - limits.fence_radius_m,
        limits.min_altitude_m - altitude_m,
        altitude_m - limits.max_altitude_m,
        0.0,
    )


def check_fence(goal: PositionNed, here: PositionNed, limits: Limits) -> None:
    """`OutsideFence` unless `goal` is inside, or no farther outside than `here`, so that a way back is always open."""
    beyond_m = outside_m(goal, limits)
    if beyond_m > max(outside_m(here, limits), _ALTITUDE_SLACK_M):
        raise OutsideFence(
            f"{beyond_m:.1f} m beyond it",
            beyond_m=f"{beyond_m:.2f}",
            fence_radius_m=limits.fence_radius_m,
            min_altitude_m=limits.min_altitude_m,
            max_altitude_m=limits.max_altitude_m,
        )


def heads_outside(state: VehicleState, limits: Limits, ahead_s: float = 0.5) -> bool:
    """Whether the vehicle, going on as it does, will be outside the fence in `ahead_s`, and farther than it is now."""
    here, speed = state.pose.position, state.velocity
    ahead = PositionNed(
        here.north_m + speed.north_m_s * ahead_s,
        here.east_m + speed.east_m_s * ahead_s,
        here.down_m + speed.down_m_s * ahead_s,
    )
    return outside_m(ahead, limits) > outside_m(here, limits) + _ALTITUDE_SLACK_M


# Depth


@dataclass(frozen=True, slots=True)
class DepthView:
    """A depth picture: `depth_m` (H, W) planar metres along the optical axis, and the pinhole camera that took it."""

    depth_m: NDArray[np.float32]
    camera_pose: Pose
    hfov_deg: float

    @property
    def half_extent(self) -> tuple[float, float]:
        """Tangents of half the horizontal and half the vertical field of view."""
        height, width = self.depth_m.shape
        half = math.tan(math.radians(self.hfov_deg) / 2)
        return half, half * height / width


def in_view(way: Way, view: DepthView, margin_m: float) -> bool:
    """Whether the way, with `margin_m` beyond its end, ends inside the picture."""
    end = _vector(way.at(way.length_m + margin_m)) - _vector(view.camera_pose.position)
    forward, right, down = _rotation(view.camera_pose.orientation).T @ end
    half_right, half_down = view.half_extent
    return bool(forward > 0.05 and abs(right) <= half_right * forward and abs(down) <= half_down * forward)


def free_length_m(way: Way, view: DepthView, settings: GuardSettings) -> float:
    """Metres the centre can go along `way` with the margin kept: the nearest point of the picture inside the corridor.

    `inf` if the corridor is free to the margin beyond the way's end. `SimulatorError` if the picture is no depth.
    """
    depth_m = view.depth_m[::2, ::2].astype(np.float64)
    if depth_m.size == 0 or np.count_nonzero(~(depth_m > 0)) > 0.01 * depth_m.size:
        raise SimulatorError("the depth picture is empty or has no depth in it")
    rows, columns = view.depth_m.shape
    half_right, half_down = view.half_extent
    right = ((np.arange(0, columns, 2) + 0.5) / columns * 2 - 1) * half_right
    down = ((np.arange(0, rows, 2) + 0.5) / rows * 2 - 1) * half_down
    rotation = _rotation(view.camera_pose.orientation)
    axis = rotation.T @ np.asarray(way.direction_ned)
    offset = rotation.T @ (_vector(view.camera_pose.position) - _vector(way.start))
    near = depth_m <= way.length_m + settings.margin_m + settings.corridor_radius_m + 1.0
    row, column = np.nonzero(near)
    z = depth_m[row, column]
    points = np.stack((z, z * right[column], z * down[row]), axis=1) + offset
    along = points @ axis
    across = np.linalg.norm(points - along[:, None] * axis, axis=1)
    inside = along[(across < settings.corridor_radius_m) & (along > 0) & (along < way.length_m + settings.margin_m)]
    if inside.size == 0:
        return math.inf
    return max(0.0, float(inside.min()) - settings.margin_m)


def check_way(way: Way, view: DepthView, settings: GuardSettings) -> None:
    """`Obstructed` (with the free distance) unless the whole way is free."""
    free_m = free_length_m(way, view, settings)
    if free_m < way.length_m:
        raise Obstructed(
            f"free for {free_m:.1f} m of {way.length_m:.1f} m",
            distance_m=f"{free_m:.2f}",
            wanted_m=f"{way.length_m:.2f}",
        )


def pixel_direction(u: float, v: float, frame: FrameRecord) -> tuple[float, float, float]:
    """Unit vector, NED, from the camera of `frame` through its point (u, v), both in [0, 1] from the top left."""
    for name, value in (("u", u), ("v", v)):
        if not 0 <= value <= 1:
            raise InvalidInput(f"{name} is between 0 and 1", field=name, value=value)
    if frame.camera_pose is None:
        raise ObservationStale("the camera's place at that frame is unknown", frame_id=frame.frame_id)
    half = math.tan(math.radians(frame.hfov_deg) / 2)
    right, down = (2 * u - 1) * half, (2 * v - 1) * half * frame.height_px / frame.width_px
    scale = 1 / math.sqrt(1 + right * right + down * down)
    return frame.camera_pose.orientation.rotate(scale, right * scale, down * scale)


def lift(
    command: FlyTowards,
    frame: FrameRecord,
    state: VehicleState,
    view: DepthView,
    limits: Limits,
    settings: GuardSettings,
) -> FlyTo:
    """The goal a pixel target means: along its ray, at most `step_m`, short of what is in the way and of the fence.

    `Obstructed` if there is not even room for a small advance.
    """
    if not 0 < _finite("step_m", command.step_m) <= limits.max_step_m:
        raise _beyond("step_m", command.step_m, 0, limits.max_step_m)
    here = state.pose.position
    way = Way(here, pixel_direction(command.u, command.v, frame), command.step_m)
    if not in_view(way, view, settings.margin_m):
        raise ObservationStale("the vehicle turned since; the point is out of its view", frame_id=frame.frame_id)
    length_m = min(way.length_m, free_length_m(way, view, settings))
    down = way.direction_ned[2]
    if down > 1e-6:
        length_m = min(length_m, max(0.0, -here.down_m - limits.min_altitude_m) / down)
    elif down < -1e-6:
        length_m = min(length_m, max(0.0, limits.max_altitude_m + here.down_m) / -down)
    if length_m < min(_SMALLEST_ADVANCE_M, command.step_m):
        raise Obstructed(f"free for {length_m:.1f} m", distance_m=f"{length_m:.2f}", wanted_m=f"{command.step_m:.2f}")
    goal = way.at(length_m)
    check_fence(goal, here, limits)
    return FlyTo(goal, checked_speed_m_s(command.speed_m_s, limits, settings))


# Small things


def wrap_deg(angle_deg: float) -> float:
    """The same heading in (-180, 180]."""
    wrapped = math.fmod(angle_deg, 360.0)
    if wrapped > 180:
        wrapped -= 360
    elif wrapped <= -180:
        wrapped += 360
    return wrapped


def _level(orientation: Quaternion) -> Quaternion:
    return Quaternion.from_yaw_deg(orientation.yaw_deg)


def _vector(position: PositionNed) -> Vector:
    return np.array([position.north_m, position.east_m, position.down_m])


def _rotation(q: Quaternion) -> Vector:
    return np.array([q.rotate(1, 0, 0), q.rotate(0, 1, 0), q.rotate(0, 0, 1)]).T


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise InvalidInput(f"{name} is not a finite number", field=name)
    return value


def _beyond(name: str, value: float, lowest: float, highest: float) -> LimitExceeded:
    return LimitExceeded(
        f"{name} is {value:.2f}, between {lowest:g} and {highest:g} is allowed",
        field=name,
        value=f"{value:.3f}",
        lowest=lowest,
        highest=highest,
    )
