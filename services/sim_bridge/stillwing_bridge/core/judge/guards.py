"""What a command would do, in metres, and whether it may: limits, the fence, and ways that no camera sees.

Pure geometry, independent of any model. What depth shows is `sight`'s. It knows nothing of leases, time or cameras.
Frames: world NED, body FRD.
"""

import math
from dataclasses import dataclass

from stillwing_bridge.core.commands import Command, FlyTowards, GoTo, Hold, Land, SetVelocity, Step, Takeoff, Turn
from stillwing_bridge.core.types import Limits
from stillwing_bridge.core.vehicle import ClimbTo, Descend, FlyTo, FlyVelocity, Plan, TurnTo, VehicleState
from stillwing_common.errors import (
    InternalFault,
    InvalidInput,
    LimitExceeded,
    OutsideFence,
    WayUnseen,
)
from stillwing_common.types import PositionNed, Quaternion

_ALTITUDE_SLACK_M = 0.05
_MAX_YAW_RATE_DEG_S = 90.0


@dataclass(frozen=True, slots=True)
class GuardSettings:
    """Defaults of commands, and the corridor that has to be free: `corridor_radius_m` round the way of the centre.

    `margin_m` stays free beyond the end of the way. A velocity looks ahead `look_ahead_s` of its own speed. Every
    `look_period_s` the rest of a way that a camera sees is looked at again, and no velocity goes on along it without a
    look for `blind_limit_s`: what is left of the look ahead then is what braking takes.
    """

    default_speed_m_s: float = 1.0
    takeoff_altitude_m: float = 2.0
    land_speed_m_s: float = 1.0
    corridor_radius_m: float = 0.45
    margin_m: float = 0.5
    look_ahead_s: float = 1.5
    look_period_s: float = 0.4
    blind_limit_s: float = 1.0


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
            altitude_m = finite("altitude_m", altitude_m) or settings.takeoff_altitude_m
            if not limits.min_altitude_m <= altitude_m <= limits.max_altitude_m:
                raise beyond("altitude_m", altitude_m, limits.min_altitude_m, limits.max_altitude_m)
            # Nothing looks down: who flies already is never taken lower by a takeoff.
            return ClimbTo(max(altitude_m, -here.down_m) if state.flying else altitude_m)
        case Land():
            return Descend(settings.land_speed_m_s)
        case Turn(angle_deg):
            if abs(finite("angle_deg", angle_deg)) > 360:
                raise beyond("angle_deg", angle_deg, -360, 360)
            return TurnTo(wrap_deg(state.pose.orientation.yaw_deg + angle_deg))
        case Step(forward_m, right_m, up_m, speed_m_s):
            for name in ("forward_m", "right_m", "up_m"):
                finite(name, getattr(command, name))
            north, east, down = _level(state.pose.orientation).rotate(forward_m, right_m, -up_m)
            goal = PositionNed(here.north_m + north, here.east_m + east, here.down_m + down)
            return _fly_to(here, goal, None, speed_m_s, limits, settings)
        case GoTo(position, yaw_deg, speed_m_s):
            for name in ("north_m", "east_m", "down_m"):
                finite(name, getattr(position, name))
            yaw_deg = None if yaw_deg is None else wrap_deg(finite("yaw_deg", yaw_deg))
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
        raise beyond("distance_m", distance_m, 0, limits.max_step_m)
    check_fence(goal, here, limits)
    return FlyTo(goal, checked_speed_m_s(speed_m_s, limits, s), yaw_deg)


def _velocity(command: SetVelocity, state: VehicleState, limits: Limits, settings: GuardSettings) -> FlyVelocity:
    for name in ("forward_m_s", "right_m_s", "down_m_s", "yaw_rate_deg_s"):
        finite(name, getattr(command, name))
    speed_m_s = math.hypot(command.forward_m_s, command.right_m_s, command.down_m_s)
    if speed_m_s > limits.max_speed_m_s:
        raise beyond("speed_m_s", speed_m_s, 0, limits.max_speed_m_s)
    if abs(command.yaw_rate_deg_s) > _MAX_YAW_RATE_DEG_S:
        raise beyond("yaw_rate_deg_s", command.yaw_rate_deg_s, -_MAX_YAW_RATE_DEG_S, _MAX_YAW_RATE_DEG_S)
    plan = FlyVelocity(command.forward_m_s, command.right_m_s, command.down_m_s, command.yaw_rate_deg_s)
    way = way_of(plan, state, settings)
    if way is not None:
        check_fence(way.at(way.length_m), way.start, limits)
    return plan


def checked_speed_m_s(speed_m_s: float, limits: Limits, settings: GuardSettings) -> float:
    """The speed of a command, the default for 0; `LimitExceeded`."""
    speed_m_s = finite("speed_m_s", speed_m_s) or settings.default_speed_m_s
    if not 0 < speed_m_s <= limits.max_speed_m_s:
        raise beyond("speed_m_s", speed_m_s, 0, limits.max_speed_m_s)
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


# Ways that no camera sees


def check_unseen(plan: FlyTo | FlyVelocity, way: Way, ttl_s: float, limits: Limits) -> None:
    """`WayUnseen` unless a way that no camera sees is short and slow enough; a velocity's lasts as long as its ttl."""
    if isinstance(plan, FlyTo):
        speed_m_s, length_m = plan.speed_m_s, way.length_m
    else:
        speed_m_s = math.hypot(plan.forward_m_s, plan.right_m_s, plan.down_m_s)
        length_m = speed_m_s * ttl_s
    if length_m > limits.max_unseen_step_m + 1e-6 or speed_m_s > limits.max_unseen_speed_m_s + 1e-6:
        raise WayUnseen(
            f"{length_m:.1f} m at {speed_m_s:.1f} m/s, at most {limits.max_unseen_step_m:g} m at "
            f"{limits.max_unseen_speed_m_s:g} m/s",
            wanted_m=f"{length_m:.2f}",
            max_m=limits.max_unseen_step_m,
            speed_m_s=f"{speed_m_s:.2f}",
            max_speed_m_s=limits.max_unseen_speed_m_s,
        )


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


def finite(name: str, value: float) -> float:
    """`value`; `InvalidInput` for what is no number."""
    if not math.isfinite(value):
        raise InvalidInput(f"{name} is not a finite number", field=name)
    return value


def beyond(name: str, value: float, lowest: float, highest: float) -> LimitExceeded:
    """The error for a value outside its limits."""
    return LimitExceeded(
        f"{name} is {value:.2f}, between {lowest:g} and {highest:g} is allowed",
        field=name,
        value=f"{value:.3f}",
        lowest=lowest,
        highest=highest,
    )
