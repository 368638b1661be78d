"""Cascade of a quadrotor: position → velocity (≤ 6 m/s) → tilt (≤ π/5.5) → body rates → thrust and torque.

Limits are simple_flight's. It knows nothing of tasks, timeouts or who commands. Plain floats throughout: a step has to
cost microseconds, because evaluation flies much faster than real time.
"""

import math
from dataclasses import dataclass

Triple = tuple[float, float, float]
Quadruple = tuple[float, float, float, float]

GRAVITY_M_S2 = 9.81
MAX_SPEED_M_S = 6.0
MAX_TILT_RAD = math.pi / 5.5
MAX_YAW_RATE_RAD_S = 2.5
HOVER_THROTTLE = 0.594
"""Throttle that carries the weight, as simple_flight's default airframe has it."""
_MAX_THRUST_G = 2.2
_MIN_THRUST_G = 0.15
# Velocity goals are followed as softly as simple_flight does (its gain of 0.2 rad per m/s is 0.5 s), so that stopping
# from 1 m/s takes about 0.5 m; positions are held more firmly, so that a held vehicle does not drift.
_VELOCITY_TIME_S = 0.45
_HOLD_VELOCITY_TIME_S = 0.25
_VERTICAL_TIME_S = 0.2
_POSITION_GAIN_1_S = 1.6
_TILT_GAIN_1_S = 12.0
_YAW_GAIN_1_S = 2.5
_RATE_GAIN_1_S = 30.0
_MAX_TILT_RATE_RAD_S = 6.0
# Air resistance of the airframe, N per m/s and kg; the controller knows it and leans into it.
DRAG_1_S = 0.12


@dataclass(frozen=True, slots=True)
class VehicleState:
    """Where the vehicle is: NED metres and m/s, orientation FRD→NED (w, x, y, z), body rates rad/s."""

    position_ned_m: Triple
    velocity_ned_m_s: Triple
    orientation_wxyz: Quadruple
    rates_body_rad_s: Triple

    @property
    def yaw_rad(self) -> float:
        """Heading, clockwise from north."""
        w, x, y, z = self.orientation_wxyz
        return math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))

    @property
    def speed_m_s(self) -> float:
        """Magnitude of the velocity."""
        return math.hypot(*self.velocity_ned_m_s)


@dataclass(frozen=True, slots=True)
class Goal:
    """What to fly now. A position (north and east together, down alone) outranks a velocity on the same axes.

    Attributes:
        velocity_ned_m_s: Wanted where no position is given.
        position_ne_m: Point over ground to go to or hold, or None.
        position_down_m: Height to go to or hold (down is positive), or None.
        yaw_deg: Heading to turn to, or None to turn at `yaw_rate_deg_s`.
        yaw_rate_deg_s: Clockwise from above; 0 keeps the heading from turning.
        tilt_rad: Roll (right side down) and pitch (nose up) to take instead of any level velocity or position.
        tilt_rates_rad_s: Rates of roll and pitch instead of angles.
        throttle: 0 to 1 instead of a height, where a tilt or rates are given.
        firm: Follow a level velocity as firmly as a position is held, and not as softly as velocities else are.
    """

    velocity_ned_m_s: Triple = (0.0, 0.0, 0.0)
    position_ne_m: tuple[float, float] | None = None
    position_down_m: float | None = None
    yaw_deg: float | None = None
    yaw_rate_deg_s: float = 0.0
    tilt_rad: tuple[float, float] | None = None
    tilt_rates_rad_s: tuple[float, float] | None = None
    throttle: float | None = None
    firm: bool = False

    @classmethod
    def brake(cls, state: VehicleState) -> "Goal":
        """Come to rest, wherever that is, with the heading of `state`."""
        return cls(yaw_deg=math.degrees(state.yaw_rad), firm=True)

    @classmethod
    def hold(cls, state: VehicleState) -> "Goal":
        """Stay where `state` is, heading included."""
        north, east, down = state.position_ned_m
        return cls(position_ne_m=(north, east), position_down_m=down, yaw_deg=math.degrees(state.yaw_rad))


@dataclass(frozen=True, slots=True)
class Wrench:
    """Force in NED newtons at the centre of mass and torque in body newton metres."""

    force_ned_n: Triple
    torque_body_nm: Triple


def drag_ned_n(state: VehicleState, mass_kg: float, wind_ned_m_s: Triple = (0.0, 0.0, 0.0)) -> Triple:
    """Air resistance, linear in the speed through the air."""
    north, east, down = state.velocity_ned_m_s
    wind_north, wind_east, wind_down = wind_ned_m_s
    factor = -DRAG_1_S * mass_kg
    return factor * (north - wind_north), factor * (east - wind_east), factor * (down - wind_down)


class Controller:
    """Turns a goal and a state into thrust and torque. Has no memory: the same input gives the same wrench."""

    def __init__(self, mass_kg: float, inertia_kg_m2: Triple) -> None:
        """`inertia_kg_m2` is the diagonal about forward, right and down."""
        self._mass_kg = mass_kg
        self._inertia = inertia_kg_m2

    def wrench(self, goal: Goal, state: VehicleState) -> Wrench:
        """Thrust along the body's axis and torque for one control step."""
        w, x, y, z = state.orientation_wxyz
        # Third column of the rotation matrix: the body's down axis in NED.
        down_axis = (2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y))
        tilted = goal.tilt_rad is not None or goal.tilt_rates_rad_s is not None
        force = self._tilted_force(goal, state, down_axis) if tilted else self._specific_force(goal, state)
        thrust = -(force[0] * down_axis[0] + force[1] * down_axis[1] + force[2] * down_axis[2])
        least = 0.0 if goal.throttle is not None else _MIN_THRUST_G * GRAVITY_M_S2
        thrust = min(max(thrust, least), _MAX_THRUST_G * GRAVITY_M_S2) * self._mass_kg
        torque = self._torque(goal, state, force)
        return Wrench((-thrust * down_axis[0], -thrust * down_axis[1], -thrust * down_axis[2]), torque)

    def _specific_force(self, goal: Goal, state: VehicleState) -> Triple:
        """Wanted force per mass from the rotors, NED m/s², within the tilt limit."""
        north, east, down = state.position_ned_m
        v_north, v_east, v_down = state.velocity_ned_m_s
        want_north, want_east, want_down = goal.velocity_ned_m_s
        time_s = _HOLD_VELOCITY_TIME_S if goal.firm else _VELOCITY_TIME_S
        if goal.position_ne_m is not None:
            want_north = _POSITION_GAIN_1_S * (goal.position_ne_m[0] - north)
            want_east = _POSITION_GAIN_1_S * (goal.position_ne_m[1] - east)
            time_s = _HOLD_VELOCITY_TIME_S
        if goal.position_down_m is not None:
            want_down = _POSITION_GAIN_1_S * (goal.position_down_m - down)
        speed = math.hypot(want_north, want_east)
        if speed > MAX_SPEED_M_S:
            want_north, want_east = want_north * MAX_SPEED_M_S / speed, want_east * MAX_SPEED_M_S / speed
        want_down = min(max(want_down, -MAX_SPEED_M_S), MAX_SPEED_M_S)
        a_north = (want_north - v_north) / time_s + DRAG_1_S * v_north
        a_east = (want_east - v_east) / time_s + DRAG_1_S * v_east
        a_down = (want_down - v_down) / _VERTICAL_TIME_S + DRAG_1_S * v_down
        lift = min(max(GRAVITY_M_S2 - a_down, 0.3 * GRAVITY_M_S2), 2.0 * GRAVITY_M_S2)
        most = lift * math.tan(MAX_TILT_RAD)
        sideways = math.hypot(a_north, a_east)
        if sideways > most:
            a_north, a_east = a_north * most / sideways, a_east * most / sideways
        return a_north, a_east, -lift

    @staticmethod
    def _tilted_force(goal: Goal, state: VehicleState, down_axis: Triple) -> Triple:
        """Wanted force per mass where the tilt, or its rates, are commanded directly."""
        axis = down_axis
        if goal.tilt_rad is not None:
            roll, pitch = goal.tilt_rad
            yaw = state.yaw_rad
            sr, cr, sp, cp, sy, cy = (f(a) for a in (roll, pitch, yaw) for f in (math.sin, math.cos))
            axis = (cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr)
        if goal.throttle is not None:
            thrust = min(max(goal.throttle, 0.0), 1.0) * GRAVITY_M_S2 / HOVER_THROTTLE
        else:
            down, v_down = state.position_ned_m[2], state.velocity_ned_m_s[2]
            want = 0.0 if goal.position_down_m is None else _POSITION_GAIN_1_S * (goal.position_down_m - down)
            want = min(max(want, -MAX_SPEED_M_S), MAX_SPEED_M_S)
            lift = GRAVITY_M_S2 - (want - v_down) / _VERTICAL_TIME_S - DRAG_1_S * v_down
            thrust = min(max(lift, 0.3 * GRAVITY_M_S2), 2.0 * GRAVITY_M_S2) / max(axis[2], 0.3)
        # Never quite nothing: its direction is the attitude that is wanted.
        thrust = max(thrust, 1e-6)
        return -thrust * axis[0], -thrust * axis[1], -thrust * axis[2]

    def _torque(self, goal: Goal, state: VehicleState, force: Triple) -> Triple:
        """Turn the thrust axis towards -`force` and the nose as the goal says; rates are first-order."""
        w, x, y, z = state.orientation_wxyz
        size = math.sqrt(force[0] * force[0] + force[1] * force[1] + force[2] * force[2])
        fn, fe, fd = -force[0] / size, -force[1] / size, -force[2] / size
        # The wanted down axis seen from the body; rotating about z × d brings the thrust axis there.
        d_forward = (1 - 2 * (y * y + z * z)) * fn + 2 * (x * y + w * z) * fe + 2 * (x * z - w * y) * fd
        d_right = 2 * (x * y - w * z) * fn + (1 - 2 * (x * x + z * z)) * fe + 2 * (y * z + w * x) * fd
        limit = _MAX_TILT_RATE_RAD_S
        roll_rate = min(max(-_TILT_GAIN_1_S * d_right, -limit), limit)
        pitch_rate = min(max(_TILT_GAIN_1_S * d_forward, -limit), limit)
        if goal.tilt_rates_rad_s is not None:
            roll_rate, pitch_rate = (min(max(rate, -limit), limit) for rate in goal.tilt_rates_rad_s)
        yaw_rate = math.radians(goal.yaw_rate_deg_s)
        if goal.yaw_deg is not None:
            error = math.radians(goal.yaw_deg) - state.yaw_rad
            yaw_rate = _YAW_GAIN_1_S * math.atan2(math.sin(error), math.cos(error))
        yaw_rate = min(max(yaw_rate, -MAX_YAW_RATE_RAD_S), MAX_YAW_RATE_RAD_S)
        p, q, r = state.rates_body_rad_s
        i_roll, i_pitch, i_yaw = self._inertia
        return (
            i_roll * _RATE_GAIN_1_S * (roll_rate - p) + (i_yaw - i_pitch) * q * r,
            i_pitch * _RATE_GAIN_1_S * (pitch_rate - q) + (i_roll - i_yaw) * p * r,
            i_yaw * _RATE_GAIN_1_S * (yaw_rate - r) + (i_pitch - i_roll) * p * q,
        )
