"""Where an AirSim simulator is, what of it is ours, and how long its calls and what is flown may last."""

from dataclasses import dataclass

from stillwing_bridge.core.types import STILL_M_S


@dataclass(frozen=True, slots=True)
class AirSimSettings:
    """Where the simulator is, which vehicle ("" is its only one) and cameras are ours, and how long calls may take.

    `battery_endurance_s` is how long the simulated battery lasts with armed motors; 0 means that none is reported. A
    reading that takes longer than `state_timeout_s` is asked for again until `silence_limit_s`. A setpoint lives
    `setpoint_life_s` of simulated time; `hold_reaction_s` later the simulator holds by itself, and brakes at
    `braking_m_s2`, which is a property of the simulator and not asked of it.
    """

    host: str = "127.0.0.1"
    port: int = 41451
    vehicle_name: str = ""
    vehicle_id: str = "drone"
    camera_names: tuple[str, ...] = ("front_center",)
    connect_timeout_s: float = 2.0
    state_timeout_s: float = 0.5
    silence_limit_s: float = 2.0
    hold_timeout_s: float = 2.0
    image_timeout_s: float = 3.0
    battery_endurance_s: float = 0.0
    setpoint_life_s: float = 0.25
    hold_reaction_s: float = 0.06
    braking_m_s2: float = 3.3

    def __post_init__(self) -> None:
        if self.battery_endurance_s < 0:
            raise ValueError("a battery lasts 0 s (none) or longer")
        if not self.camera_names:
            raise ValueError("at least one camera")
        if min(self.setpoint_life_s, self.braking_m_s2) <= 0:
            raise ValueError("setpoints live and vehicles brake: both are above 0")

    def braking_s(self, speed_m_s: float) -> float:
        """Seconds from `speed_m_s` until the vehicle stands still, once it brakes."""
        return max(0.0, speed_m_s - STILL_M_S) / self.braking_m_s2

    def still_after_s(self, speed_m_s: float) -> float:
        """Seconds at most from the death of this process at `speed_m_s` until the vehicle stands still by itself."""
        return self.setpoint_life_s + self.hold_reaction_s + self.braking_s(speed_m_s)
