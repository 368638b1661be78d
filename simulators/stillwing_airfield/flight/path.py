"""Flight along straight segments behind a carrot, with the timing and tolerances of AirSim's MultirotorApiBase."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from stillwing_airfield.flight.controller import Goal, Triple
from stillwing_airfield.flight.tasks import COMMAND_PERIOD_S, Flight, MotionRefused, Task

DISTANCE_ACCURACY_M = 0.5
_LOOKAHEAD_PERIODS_ADAPTIVE, _LOOKAHEAD_PERIODS_FIXED = 30.0, 40.0
# Progress below 5 cm/s counts as standing: the real one waits for its noise to turn the sign, and here there is none.
_LEAST_PROGRESS_M = 0.001
_ALREADY_THERE_M = 0.1
# Above the first speed the last metres of a path are flown at the second: half the speed's metres, within bounds.
_BRAKES_ABOVE_M_S, _BRAKING_SPEED_M_S = 3.0, 1.0
_BRAKING_S, _LEAST_BRAKING_M, _MOST_BRAKING_M = 0.5, 1.0, 3.0


@dataclass(frozen=True, slots=True)
class YawMode:
    """Turn at a rate (degrees a second) or to a heading (degrees)."""

    is_rate: bool = True
    yaw_or_rate: float = 0.0

    def on(self, goal: Goal) -> Goal:
        """`goal` with this yaw."""
        if self.is_rate:
            return replace(goal, yaw_deg=None, yaw_rate_deg_s=self.yaw_or_rate)
        return replace(goal, yaw_deg=self.yaw_or_rate, yaw_rate_deg_s=0.0)


@dataclass(frozen=True, slots=True)
class PathStyle:
    """How to fly a path: nose first or not, yaw, and the carrot's lead (-1 computes it from the speed)."""

    forward_only: bool = False
    yaw: YawMode = YawMode()
    lookahead_m: float = -1.0
    adaptive_lookahead: float = 1.0


def travel_yaw(yaw: YawMode, forward_only: bool, north: float, east: float, down: float = 0.0) -> YawMode:
    """The yaw mode with the direction of travel added, where the nose has to lead."""
    if not forward_only or yaw.is_rate:
        return yaw
    if math.hypot(north, east, down) <= DISTANCE_ACCURACY_M:
        return YawMode()
    heading = yaw.yaw_or_rate + math.degrees(math.atan2(east, north))
    return YawMode(False, math.remainder(heading, 360.0))


def move_on_path(
    flight: Flight,
    points_ned_m: Sequence[Triple],
    speed_m_s: float,
    timeout_s: float,
    style: PathStyle = PathStyle(),
) -> Task:
    """Follow a carrot along straight segments from here through the points.

    Within 0.5 m of the end the wanted velocity is zero and the vehicle coasts in; a path shorter than the carrot's lead
    (30 periods at the speed, at least 0.75 m) ends at once, without motion: both are the real one's ways. True when
    the end was reached, the vehicle came to rest within 0.5 m of it, or was there from the first; False on timeout,
    further away, or where a short path was not flown. Raises `MotionRefused` for a lead that cannot work.
    """
    if not points_ned_m:
        return True
    lookahead_m = _lookahead_m(speed_m_s, style)
    path = _Path([flight.state().position_ned_m, *points_ned_m])
    if path.length_m < lookahead_m:
        return path.length_m <= _ALREADY_THERE_M
    end_s = flight.time_s() + timeout_s
    braking_m = min(max(speed_m_s * _BRAKING_S, _LEAST_BRAKING_M), _MOST_BRAKING_M)
    done_m, lead_m, progress_m = 0.0, 0.0, 0.0
    while (done_m + lookahead_m + lead_m <= path.length_m) or progress_m > 0:
        if flight.time_s() >= end_s - 1e-6:
            return False
        carrot = path.at(done_m + lookahead_m + lead_m)
        brakes = speed_m_s > _BRAKES_ABOVE_M_S and path.length_m - done_m <= braking_m
        now_m_s = _BRAKING_SPEED_M_S if brakes else speed_m_s
        flight.command(_towards(flight.state().position_ned_m, carrot, now_m_s, style))
        yield
        here, position = path.at(done_m), flight.state().position_ned_m
        way = _minus(carrot, here)
        size = math.hypot(*way)
        if size == 0:
            return True
        moved = _minus(position, here)
        progress_m = sum(a * b for a, b in zip(moved, way, strict=True)) / size
        if style.adaptive_lookahead:
            off = [a - b / size * progress_m for a, b in zip(moved, way, strict=True)]
            lead_m = math.hypot(*off) * style.adaptive_lookahead
        if progress_m < _LEAST_PROGRESS_M and done_m + lookahead_m >= path.length_m:
            progress_m = 0.0
        done_m = min(done_m + max(progress_m, 0.0), path.length_m)
    return math.dist(flight.state().position_ned_m, points_ned_m[-1]) <= DISTANCE_ACCURACY_M


def _lookahead_m(speed_m_s: float, style: PathStyle) -> float:
    if style.forward_only and style.yaw.is_rate:
        raise MotionRefused("Yaw cannot be specified as rate if drivetrain is ForwardOnly")
    step_m = speed_m_s * COMMAND_PERIOD_S
    lookahead_m = style.lookahead_m
    if lookahead_m == 0:
        raise MotionRefused("lookahead distance cannot be 0")
    if lookahead_m > 0:
        if step_m > lookahead_m:
            raise MotionRefused(
                f"lookahead value {lookahead_m:f} is too small for velocity {speed_m_s:f}. "
                f"It must be at least {step_m:f}"
            )
        if lookahead_m < DISTANCE_ACCURACY_M:
            raise MotionRefused(
                f"lookahead value {lookahead_m:f} is smaller than drone's distance accuracy {DISTANCE_ACCURACY_M:f}."
            )
        return lookahead_m
    periods = _LOOKAHEAD_PERIODS_ADAPTIVE if style.adaptive_lookahead > 0 else _LOOKAHEAD_PERIODS_FIXED
    return max(step_m * periods, 1.5 * DISTANCE_ACCURACY_M)


def _towards(position: Triple, target: Triple, speed_m_s: float, style: PathStyle) -> Goal:
    """Setpoint to the carrot: full speed, zero within the accuracy; height is held once within the accuracy of it."""
    way = _minus(target, position)
    distance_m = math.hypot(*way)
    yaw = travel_yaw(style.yaw, style.forward_only, *way)
    velocity: Triple = (0.0, 0.0, 0.0)
    if distance_m >= DISTANCE_ACCURACY_M:
        factor = min(speed_m_s / distance_m, 1 / COMMAND_PERIOD_S)
        velocity = (way[0] * factor, way[1] * factor, way[2] * factor)
    if abs(way[2]) <= DISTANCE_ACCURACY_M:
        return yaw.on(Goal((velocity[0], velocity[1], 0.0), position_down_m=target[2]))
    return yaw.on(Goal(velocity))


def _minus(a: Triple, b: Triple) -> Triple:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


class _Path:
    """Straight segments, addressed by the distance along them."""

    def __init__(self, points: Sequence[Triple]) -> None:
        self._points = points
        self._ends_m = [0.0]
        for a, b in pairwise(points):
            self._ends_m.append(self._ends_m[-1] + math.dist(a, b))
        self.length_m = self._ends_m[-1]

    def at(self, along_m: float) -> Triple:
        """The point `along_m` from the start, at most the end."""
        for index, end_m in enumerate(self._ends_m[1:]):
            begin_m = self._ends_m[index]
            if along_m < end_m:
                share = (along_m - begin_m) / (end_m - begin_m)
                a, b = self._points[index], self._points[index + 1]
                return a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), a[2] + share * (b[2] - a[2])
        return self._points[-1]
