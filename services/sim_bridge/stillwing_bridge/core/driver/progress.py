"""When a plan is done, judged from the vehicle's own readings and never from what the simulator's call returned."""

from stillwing_bridge.core.commands import CommandState
from stillwing_bridge.core.judge.guards import heads_outside, wrap_deg
from stillwing_bridge.core.types import Limits
from stillwing_bridge.core.vehicle import ClimbTo, Descend, FlyTo, Plan, TurnTo, VehicleState
from stillwing_common.errors import SimulatorError, StillwingError

ARRIVAL_M = 0.1
SLOW_M_S = 0.15
HEADING_DEG = 1.5
_NEEDED_READINGS = 2
_TAKING_NS = 1_000_000_000
"""How long taking control may take, on the vehicle's clock."""


class Progress:
    """Follows one plan. A single good reading may be a fly-through, so an end needs two in a row.

    `error` says why the plan failed, once it has.
    """

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self._plan = plan
        self._limits = limits
        self._good = 0
        self._uncontrolled = 0
        self._had_control = False
        self._began_ns: int | None = None
        self.error: StillwingError | None = None

    def judge(self, state: VehicleState) -> CommandState | None:
        """How the plan ends with this reading; None while it goes on."""
        if not isinstance(self._plan, Descend | ClimbTo) and heads_outside(state, self._limits):
            return CommandState.FENCE
        self._watch_control(state)
        if self._uncontrolled >= _NEEDED_READINGS:
            self.error = SimulatorError("control of the vehicle was taken away by somebody else")
            return CommandState.FAILED
        self._good = self._good + 1 if self._there(state) else 0
        return CommandState.SUCCEEDED if self._good >= _NEEDED_READINGS else None

    def _watch_control(self, state: VehicleState) -> None:
        if state.controlled:
            self._had_control, self._uncontrolled = True, 0
            return
        if self._began_ns is None:
            self._began_ns = state.stamp.time_ns
        # Control is taken at the plan's beginning, and a busy machine may show several readings from before that.
        taking = not self._had_control and abs(state.stamp.time_ns - self._began_ns) < _TAKING_NS
        self._uncontrolled += not taking

    def _there(self, state: VehicleState) -> bool:
        slow = state.velocity.speed_m_s < SLOW_M_S
        match self._plan:
            case FlyTo(goal, _, yaw_deg):
                turned = yaw_deg is None or _heading_error_deg(state, yaw_deg) < HEADING_DEG
                return slow and turned and state.pose.position.distance_m(goal) < ARRIVAL_M
            case ClimbTo(altitude_m):
                return slow and state.flying and abs(-state.pose.position.down_m - altitude_m) < ARRIVAL_M
            case TurnTo(yaw_deg):
                return _heading_error_deg(state, yaw_deg) < HEADING_DEG
            case _:
                return False


def _heading_error_deg(state: VehicleState, yaw_deg: float) -> float:
    return abs(wrap_deg(state.pose.orientation.yaw_deg - yaw_deg))
