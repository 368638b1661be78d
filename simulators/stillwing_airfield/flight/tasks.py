"""Motions, one at a time, as AirSim's multirotor API runs them: 50 setpoints a second of simulated time.

A task is a generator: each step may send one setpoint through its `Flight`, and what it returns is the answer of the
call. Timing, tolerances and the carrot of `move_on_path` follow AirSim's MultirotorApiBase. It knows nothing of
threads or wires.
"""

import math
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from stillwing_airfield.flight.controller import Goal, Triple, VehicleState

COMMAND_PERIOD_S = 0.02
DISTANCE_ACCURACY_M = 0.5
TAKEOFF_CLIMB_M = 2.0
TAKEOFF_SPEED_M_S = 0.5
LANDING_SPEED_M_S = 0.2
_STILL_M_S = 0.05
_STILL_RAD_S = 0.05
_STILL_SAMPLES = 10
_LOOKAHEAD_PERIODS_ADAPTIVE, _LOOKAHEAD_PERIODS_FIXED = 30.0, 40.0
# Progress below 5 cm/s counts as standing: the real one waits for its noise to turn the sign, and here there is none.
_LEAST_PROGRESS_M = 0.001
_ALREADY_THERE_M = 0.1
# Above the first speed the last metres of a path are flown at the second: half the speed's metres, within bounds.
_BRAKES_ABOVE_M_S, _BRAKING_SPEED_M_S = 3.0, 1.0
_BRAKING_S, _LEAST_BRAKING_M, _MOST_BRAKING_M = 0.5, 1.0, 3.0

Task = Generator[None, None, bool]


class Flight(Protocol):
    """What a task sees of the vehicle: its state, the time, and a way to send a setpoint."""

    def state(self) -> VehicleState:
        """The vehicle now."""

    def time_s(self) -> float:
        """Simulated time."""

    def command(self, goal: Goal) -> None:
        """Send one setpoint."""


class MotionRefused(Exception):
    """A motion cannot start; the text is AirSim's own."""


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


class TaskRunner:
    """Runs one task at a time; starting another cancels the one before, whose answer is then False."""

    def __init__(self) -> None:
        self._task: Task | None = None
        self._answer: Future[bool] | None = None

    @property
    def busy(self) -> bool:
        """Whether a task is running."""
        return self._task is not None

    def start(self, task: Task) -> "Future[bool]":
        """Begin `task` now, its first setpoint included; what it raises is the answer's exception."""
        self.cancel()
        answer: Future[bool] = Future()
        self._task, self._answer = task, answer
        self.tick()
        return answer

    def tick(self) -> None:
        """One command period has passed."""
        if self._task is None or self._answer is None:
            return
        task, answer = self._task, self._answer
        try:
            next(task)
        except StopIteration as end:
            self._task = self._answer = None
            answer.set_result(bool(end.value))
        except Exception as error:  # a task that breaks must not stop the physics of everybody; its caller is told
            self._task = self._answer = None
            answer.set_exception(error)

    def cancel(self) -> None:
        """Stop what runs; its answer is False."""
        task, answer, self._task, self._answer = self._task, self._answer, None, None
        if task is not None and answer is not None:
            task.close()
            answer.set_result(False)


def _for(flight: Flight, duration_s: float, goal: Callable[[], Goal]) -> Task:
    """Send `goal()` each period until `duration_s` is over."""
    end_s = flight.time_s() + duration_s
    while flight.time_s() < end_s - 1e-6:
        flight.command(goal())
        yield
    return True


def _travel_yaw(yaw: YawMode, forward_only: bool, north: float, east: float, down: float = 0.0) -> YawMode:
    """The yaw mode with the direction of travel added, where the nose has to lead."""
    if not forward_only or yaw.is_rate:
        return yaw
    if math.hypot(north, east, down) <= DISTANCE_ACCURACY_M:
        return YawMode()
    heading = yaw.yaw_or_rate + math.degrees(math.atan2(east, north))
    return YawMode(False, math.remainder(heading, 360.0))


def move_by_velocity(
    flight: Flight, velocity_ned_m_s: Triple, duration_s: float, forward_only: bool, yaw: YawMode
) -> Task:
    """Fly one velocity for a while. True after the full duration (or at once for none)."""
    adjusted = _travel_yaw(yaw, forward_only, velocity_ned_m_s[0], velocity_ned_m_s[1])
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
    adjusted = _travel_yaw(yaw, forward_only, *velocity_ne_m_s)
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
    given = style.lookahead_m
    if given == 0:
        raise MotionRefused("lookahead distance cannot be 0")
    if given > 0:
        if step_m > given:
            raise MotionRefused(
                f"lookahead value {given:f} is too small for velocity {speed_m_s:f}. It must be at least {step_m:f}"
            )
        if given < DISTANCE_ACCURACY_M:
            raise MotionRefused(
                f"lookahead value {given:f} is smaller than drone's distance accuracy {DISTANCE_ACCURACY_M:f}."
            )
        return given
    periods = _LOOKAHEAD_PERIODS_ADAPTIVE if style.adaptive_lookahead > 0 else _LOOKAHEAD_PERIODS_FIXED
    return max(step_m * periods, 1.5 * DISTANCE_ACCURACY_M)


def _towards(position: Triple, target: Triple, speed_m_s: float, style: PathStyle) -> Goal:
    """Setpoint to the carrot: full speed, zero within the accuracy; height is held once within the accuracy of it."""
    way = _minus(target, position)
    distance_m = math.hypot(*way)
    yaw = _travel_yaw(style.yaw, style.forward_only, *way)
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
