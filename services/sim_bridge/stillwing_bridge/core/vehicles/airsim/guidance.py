"""What an AirSim multirotor is sent next on a plan: one velocity and one heading, from one reading. Pure.

Every plan is flown by such setpoints and none by AirSim's own tasks, which would go on to their end without whoever
asked for them: a takeoff, a turn and a landing end as soon as nobody guides them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stillwing_bridge.core.vehicle import ClimbTo, Descend, FlyTo, FlyVelocity, Plan, TurnTo, VehicleState
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_common.types import PositionNed

_GUIDANCE_PER_S = 1.5
_ANSWER_S = 0.3
_CLIMB_SPEED_M_S = 1.0
_STATION_SPEED_M_S = 0.5
# AirSim's own landing sinks as slowly, and it notices the ground as soon as such a setpoint moves nothing any more.
_TOUCHDOWN_SPEED_M_S = 0.2
_TOUCHDOWN_ALTITUDE_M = 0.5
# Of its own speed, against it: full tilt from above 2 m/s on, and no swinging back where readings are late.
_BRAKE_FACTOR = 0.5


@dataclass(frozen=True, slots=True)
class Setpoint:
    """A velocity call's name, its velocity in m/s (NED, or forward, right, down) and AirSim's YawMode."""

    method: str
    velocity_m_s: tuple[float, float, float]
    yaw: dict[str, Any]


Guide = Callable[[VehicleState], Setpoint]


def guide_of(plan: Plan, start: VehicleState) -> Guide:
    """The setpoints of a plan that begins at `start`."""
    here, heading_deg = start.pose.position, start.pose.orientation.yaw_deg
    match plan:
        case FlyVelocity(forward, right, down, yaw_rate_deg_s):
            velocity = (float(forward), float(right), float(down))
            setpoint = Setpoint("moveByVelocityBodyFrame", velocity, dialect.yaw_rate(yaw_rate_deg_s))
            return lambda _: setpoint
        case FlyTo(goal, speed_m_s, yaw_deg):
            return _towards(goal, speed_m_s, heading_deg if yaw_deg is None else yaw_deg)
        case ClimbTo(altitude_m):
            return _towards(replace(here, down_m=-altitude_m), _CLIMB_SPEED_M_S, heading_deg)
        case TurnTo(yaw_deg):
            return _towards(here, _STATION_SPEED_M_S, yaw_deg)
        case Descend(speed_m_s):
            return _down(here, speed_m_s, heading_deg)


def braking(state: VehicleState) -> Setpoint:
    """Against its own speed, which brakes sooner than a wanted speed of zero; the heading stays."""
    velocity = state.velocity
    against = tuple(-_BRAKE_FACTOR * part for part in (velocity.north_m_s, velocity.east_m_s, velocity.down_m_s))
    return _world((against[0], against[1], against[2]), state.pose.orientation.yaw_deg)


def _world(velocity_ned_m_s: tuple[float, float, float], yaw_deg: float) -> Setpoint:
    return Setpoint("moveByVelocity", velocity_ned_m_s, dialect.yaw_to(yaw_deg))


def _towards(goal: PositionNed, speed_m_s: float, yaw_deg: float) -> Guide:
    return lambda state: _world(guided_velocity(state, goal, speed_m_s), yaw_deg)


def _down(here: PositionNed, speed_m_s: float, yaw_deg: float) -> Guide:
    def guide(state: VehicleState) -> Setpoint:
        down_m = state.pose.position.down_m
        north_m_s, east_m_s, _ = guided_velocity(state, replace(here, down_m=down_m), _STATION_SPEED_M_S)
        above_m = -down_m - state.velocity.down_m_s * _ANSWER_S - _TOUCHDOWN_ALTITUDE_M
        sinking_m_s = max(_TOUCHDOWN_SPEED_M_S, min(speed_m_s, _GUIDANCE_PER_S * above_m))
        return _world((north_m_s, east_m_s, sinking_m_s), yaw_deg)

    return guide


def guided_velocity(state: VehicleState, goal: PositionNed, speed_m_s: float) -> tuple[float, float, float]:
    """Velocity towards `goal`, NED metres a second: `speed_m_s`, and less in proportion to the distance when near.

    The distance is taken from where the vehicle will be when its speed has answered, which keeps it from overshooting.
    """
    position, moving = state.pose.position, state.velocity
    here = PositionNed(
        position.north_m + moving.north_m_s * _ANSWER_S,
        position.east_m + moving.east_m_s * _ANSWER_S,
        position.down_m + moving.down_m_s * _ANSWER_S,
    )
    distance_m = here.distance_m(goal)
    if distance_m < 1e-6:
        return 0.0, 0.0, 0.0
    scale = min(speed_m_s, _GUIDANCE_PER_S * distance_m) / distance_m
    return (
        (goal.north_m - here.north_m) * scale,
        (goal.east_m - here.east_m) * scale,
        (goal.down_m - here.down_m) * scale,
    )
