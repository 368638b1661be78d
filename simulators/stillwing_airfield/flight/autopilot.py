"""The autopilot's rules, after simple_flight: who may command, motors armed or not, taken off or landed, and the hold.

A setpoint lives for 60 ms of simulated time; when none follows and the vehicle has taken off, it brakes and holds the
position where it comes to rest. It knows nothing of tasks or wires, and time is what it is told.
"""

from stillwing_airfield.flight.controller import (
    HOVER_THROTTLE,
    Controller,
    Goal,
    Triple,
    VehicleState,
    Wrench,
    drag_ned_n,
)

API_GOAL_TIMEOUT_S = 0.060
_STILL_M_S = 0.08
_BRAKED_M_S = 0.05
# In wind a wanted speed of zero is never reached, and the vehicle would drift for good.
_BRAKING_S = 1.5
_MOVING_M_S = 0.01
_IDLE = Wrench((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))


class Autopilot:
    """Latest setpoint, and what becomes of it."""

    def __init__(self, mass_kg: float, inertia_kg_m2: Triple) -> None:
        self._controller = Controller(mass_kg, inertia_kg_m2)
        self._mass_kg = mass_kg
        self.wind_ned_m_s: Triple = (0.0, 0.0, 0.0)
        self.reset()

    def reset(self) -> None:
        """As after power-on: nobody has API control, motors off, on the ground."""
        self.api_control = False
        self.armed = False
        self.taken_off = False
        self.holding = False
        self._braking_until_s: float | None = None
        self.goal: Goal | None = None
        self.rotors = _IDLE
        self._goal_time_s = 0.0

    @property
    def landed(self) -> bool:
        """On the ground with idle motors, or never taken off."""
        return not self.taken_off

    def enable_api_control(self, enabled: bool) -> None:
        """Setpoints count only while enabled; the running one stays until it lapses."""
        self.api_control = enabled

    def arm(self, armed: bool) -> bool:
        """Start or stop the motors; False (and no change) without API control, or when disarming what is not armed."""
        if not self.api_control or (not armed and not self.armed):
            return False
        if armed != self.armed:
            self.goal = None
        self.armed = armed
        return True

    def command(self, goal: Goal, time_s: float) -> None:
        """Fly `goal` from now; dropped silently without API control, as the real one drops it."""
        if not self.api_control:
            return
        self.goal, self._goal_time_s, self.holding, self._braking_until_s = goal, time_s, False, None

    def place(self, state: VehicleState) -> None:
        """The vehicle was teleported to `state`: where it hovered before no longer counts."""
        if self.taken_off and self.goal is not None:
            self.goal, self.holding, self._braking_until_s = Goal.hold(state), True, None

    def update(self, state: VehicleState, time_s: float, on_ground: bool) -> Wrench:
        """Wrench of rotors and air for one physics step at `time_s`."""
        drag = drag_ned_n(state, self._mass_kg, self.wind_ned_m_s)
        if self.taken_off and not self.holding and self._lapsed(time_s):
            self.goal, self.holding, self._braking_until_s = Goal.brake(state), True, time_s + _BRAKING_S
        if self._braking_until_s is not None and (state.speed_m_s < _BRAKED_M_S or time_s > self._braking_until_s):
            self.goal, self._braking_until_s = Goal.hold(state), None
        self._detect_landing(state, on_ground)
        if not self.armed or self.goal is None or (self.landed and not self._climbs(state)):
            self.rotors = _IDLE
            return Wrench(drag, _IDLE.torque_body_nm)
        wrench = self.rotors = self._controller.wrench(self.goal, state)
        if self.landed and state.velocity_ned_m_s[2] < -_MOVING_M_S:
            self.taken_off = True
        force = wrench.force_ned_n
        return Wrench((force[0] + drag[0], force[1] + drag[1], force[2] + drag[2]), wrench.torque_body_nm)

    def _lapsed(self, time_s: float) -> bool:
        # Half a microsecond of room: 60 ms are 12 physics steps, and sums of 0.005 are not exact.
        return time_s - self._goal_time_s > API_GOAL_TIMEOUT_S + 5e-7

    def _climbs(self, state: VehicleState) -> bool:
        assert self.goal is not None
        if self.goal.throttle is not None:
            return self.goal.throttle > HOVER_THROTTLE
        if self.goal.position_down_m is not None:
            return self.goal.position_down_m < state.position_ned_m[2] - 0.05
        return self.goal.velocity_ned_m_s[2] < 0 or any(self.goal.velocity_ned_m_s[:2])

    def _detect_landing(self, state: VehicleState, on_ground: bool) -> None:
        if not self.taken_off or not on_ground or state.speed_m_s > _STILL_M_S:
            return
        if not self.armed or self.goal is None or self._sinks(state):
            self.taken_off, self.holding, self._braking_until_s = False, False, None

    def _sinks(self, state: VehicleState) -> bool:
        assert self.goal is not None
        if self.goal.throttle is not None:
            return self.goal.throttle < HOVER_THROTTLE
        if self.goal.position_down_m is not None:
            return self.goal.position_down_m > state.position_ned_m[2] + 0.05
        return self.goal.velocity_ned_m_s[2] > 0
