"""What AirSim says of one vehicle, as our states on one clock. Pure: asks nobody.

AirSim's clock starts over when the world is reset; every world gets a clock id of its own. It reports neither armed
motors nor a battery: the first is remembered, the second may be simulated.
"""

from typing import Any

from stillwing_bridge.core.vehicle import VehicleState
from stillwing_bridge.core.vehicles.airsim import dialect
from stillwing_bridge.core.vehicles.airsim.battery import SimulatedBattery
from stillwing_common.errors import SimulatorError
from stillwing_common.ids import new_id
from stillwing_common.types import Pose, Stamp

# Farther than this between two readings, and this much more for every second between them, nothing flies.
_JUMP_M = 3.0
_JUMP_M_S = 10.0
# What moved this far while its clock stood still has a clock that stands still.
_STUCK_M = 0.2
_CLOCK_BACK_NS = 1_000_000_000


class Readings:
    """The newest reading and what it is compared with. Whoever arms or disarms the motors sets `armed`."""

    def __init__(self, battery_endurance_s: float) -> None:
        """`battery_endurance_s` 0 means that no battery is reported."""
        self._battery = SimulatedBattery(battery_endurance_s) if battery_endurance_s else None
        self._last_time_ns = 0
        self.clock_id = new_id("clk")
        self.armed = False
        self.newest: VehicleState | None = None

    def take(self, reading: dict[str, Any]) -> VehicleState:
        """The state that a MultirotorState gives, without collisions; `SimulatorError` where the clock stands still."""
        kinematics = reading["kinematics_estimated"]
        time_ns, pose = dialect.time_of(reading["timestamp"]), dialect.pose_of(kinematics)
        self._check_continuity(time_ns, pose)
        self.newest = VehicleState(
            stamp=self._stamp(time_ns),
            pose=pose,
            velocity=dialect.velocity_of(kinematics["linear_velocity"]),
            flying=reading["landed_state"] != dialect.LANDED,
            armed=self.armed,
            battery_fraction=None if self._battery is None else self._battery.read(time_ns, self.armed),
        )
        return self.newest

    def restart(self) -> None:
        """The world was reset: times from before mean nothing any more, and the vehicle stands disarmed."""
        self.clock_id = new_id("clk")
        self._last_time_ns = 0
        self.armed = False
        self.newest = None
        if self._battery is not None:
            self._battery.replace()

    def _check_continuity(self, time_ns: int, pose: Pose) -> None:
        # A world that somebody else reset, or a vehicle that was moved, is a new world; frames and commands of the old
        # one are void. A clock that stands still would keep every frame fresh indefinitely.
        if self.newest is None:
            return
        moved_m = pose.position.distance_m(self.newest.pose.position)
        passed_s = (time_ns - self.newest.stamp.time_ns) / 1e9
        if moved_m > _JUMP_M + _JUMP_M_S * max(0.0, passed_s):
            self.restart()
        elif passed_s == 0 and moved_m > _STUCK_M:
            raise SimulatorError(f"the vehicle moved {moved_m:.1f} m while its clock stood still")

    def _stamp(self, time_ns: int) -> Stamp:
        # Readings may overtake each other by a few milliseconds; a world that starts over goes back much farther.
        if time_ns < self._last_time_ns - _CLOCK_BACK_NS:
            self.restart()
        self._last_time_ns = max(self._last_time_ns, time_ns)
        return Stamp(time_ns, self.clock_id)
