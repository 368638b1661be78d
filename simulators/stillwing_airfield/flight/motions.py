"""Takeoff, landing, velocities, tilts and turns, as AirSim's multirotor API runs them."""

import math
from collections.abc import Callable
from dataclasses import replace

from stillwing_airfield.flight.controller import Goal, Triple
from stillwing_airfield.flight.path import PathStyle, YawMode, move_on_path, travel_yaw
from stillwing_airfield.flight.tasks import Flight, MotionRefused, Task

TAKEOFF_CLIMB_M = 2.0
TAKEOFF_SPEED_M_S = 0.5
LANDING_SPEED_M_S = 0.2
_STILL_M_S = 0.05
_STILL_RAD_S = 0.05
_STILL_SAMPLES = 10


def _for(flight: Flight, duration_s: float, goal: Callable[[], Goal]) -> Task:
    """Send `goal()` each period until `duration_s` is over."""
    end_s = flight.time_s() + duration_s
    while flight.time_s() < end_s - 1e-6:
        flight.command(goal())
        yield
    return True


def move_by_velocity(
    flight: Flight, velocity_ned_m_s: Triple, duration_s: float, forward_only: bool, yaw: YawMode
) -> Task:
    """Fly one velocity for a while. True after the full duration (or at once for none)."""
    adjusted = travel_yaw(yaw, forward_only, velocity_ned_m_s[0], velocity_ned_m_s[1])
    goal = adjusted.on(Goal(velocity_ned_m_s))
    return (yield from _for(flight, duration_s, lambda: goal))


def move_by_velocity_z(
    flight: Flight,
    velocity_ne_m_s: tuple[float, float],
    down_m: float,
    duration_s: float,
    forward_only: bool,
    yaw: YawMode,
) -> Task:
    """Fly level velocity at a height for a while.

    True after the full duration, False for none, as the real one has it.
    """
    if duration_s <= 0:
        return False
    adjusted = travel_yaw(yaw, forward_only, *velocity_ne_m_s)
    goal = adjusted.on(Goal((*velocity_ne_m_s, 0.0), position_down_m=down_m))
    return (yield from _for(flight, duration_s, lambda: goal))


def hold_attitude(flight: Flight, goal: Goal, duration_s: float) -> Task:
    """Fly a commanded tilt, or rates of it, for a while. True after the full duration (or at once for none)."""
    return (yield from _for(flight, duration_s, lambda: goal))


def to_world(flight: Flight, forward_m_s: float, right_m_s: float) -> tuple[float, float]:
    """A level body velocity in north and east, by the heading of this moment."""
    yaw = flight.state().yaw_rad
    cos, sin = math.cos(yaw), math.sin(yaw)
    return forward_m_s * cos - right_m_s * sin, forward_m_s * sin + right_m_s * cos


def rotate_by_yaw_rate(flight: Flight, rate_deg_s: float, duration_s: float) -> Task:
    """Turn on the spot for a while. True after the full duration."""
    north, east, down = flight.state().position_ned_m
    goal = Goal(position_ne_m=(north, east), position_down_m=down, yaw_rate_deg_s=rate_deg_s)
    return (yield from _for(flight, duration_s, lambda: goal))


def rotate_to_yaw(flight: Flight, yaw_deg: float, timeout_s: float, margin_deg: float) -> Task:
    """Turn on the spot to a heading. True once within the margin and no longer turning, False on timeout.

    Headings are compared as numbers: turned to 180 and read as -179.9 it is there and does not know it.
    """
    if timeout_s <= 0:
        return True
    north, east, down = flight.state().position_ned_m
    target_deg = math.remainder(yaw_deg, 360.0)
    turn = Goal(position_ne_m=(north, east), position_down_m=down, yaw_deg=target_deg)
    stop = replace(turn, yaw_deg=None)
    end_s = flight.time_s() + timeout_s
    while flight.time_s() < end_s - 1e-6:
        state = flight.state()
        # Not the shorter way round: the real one, too, never finds itself at a heading next to ±180 degrees.
        error_deg = abs(math.degrees(state.yaw_rad) - target_deg)
        if error_deg <= margin_deg:
            flight.command(stop)
            if abs(state.rates_body_rad_s[2]) <= _STILL_RAD_S:
                return True
        else:
            flight.command(turn)
        yield
    return False


def takeoff(flight: Flight, timeout_s: float) -> Task:
    """Climb 2 m from here at 0.5 m/s. Raises `MotionRefused` when moving already."""
    state = flight.state()
    if state.speed_m_s > _STILL_M_S:
        raise MotionRefused(
            f"Cannot perform takeoff because vehicle is already moving with velocity {state.speed_m_s:f} m/s"
        )
    north, east, down = state.position_ned_m
    return (yield from move_on_path(flight, [(north, east, down - TAKEOFF_CLIMB_M)], TAKEOFF_SPEED_M_S, timeout_s))


def land(flight: Flight, timeout_s: float) -> Task:
    """Sink at 0.2 m/s until the vehicle no longer sinks. True then, False on timeout."""
    end_s = flight.time_s() + timeout_s
    still = 0
    while flight.time_s() < end_s - 1e-6:
        flight.command(Goal((0.0, 0.0, LANDING_SPEED_M_S)))
        still = still + 1 if flight.state().velocity_ned_m_s[2] <= _STILL_M_S else 0
        if still > _STILL_SAMPLES:
            return True
        yield
    return False


def go_home(flight: Flight, timeout_s: float) -> Task:
    """Fly straight to the origin at 0.5 m/s."""
    return (yield from move_on_path(flight, [(0.0, 0.0, 0.0)], TAKEOFF_SPEED_M_S, timeout_s))


def hover(flight: Flight) -> Task:
    """Ends at once: a path to here has no length, and what hovers is the hold that follows."""
    north, east, down = flight.state().position_ned_m
    style = PathStyle(lookahead_m=1.0, adaptive_lookahead=0.0)
    return (yield from move_on_path(flight, [(north, east, down)], TAKEOFF_SPEED_M_S, math.inf, style))


def move_to_z(flight: Flight, down_m: float, speed_m_s: float, timeout_s: float, style: PathStyle) -> Task:
    """Climb or sink on the spot."""
    north, east, _ = flight.state().position_ned_m
    return (yield from move_on_path(flight, [(north, east, down_m)], speed_m_s, timeout_s, style))
