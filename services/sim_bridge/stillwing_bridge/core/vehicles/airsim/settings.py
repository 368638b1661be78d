"""Where an AirSim simulator is, what of it is ours, and how long its calls may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AirSimSettings:
    """Where the simulator is, which vehicle ("" is its only one) and cameras are ours, and how long calls may take.

    `battery_endurance_s` is how long the simulated battery lasts with armed motors; 0 means that none is reported.
    """

    host: str = "127.0.0.1"
    port: int = 41451
    vehicle_name: str = ""
    vehicle_id: str = "drone"
    camera_names: tuple[str, ...] = ("front_center",)
    connect_timeout_s: float = 2.0
    state_timeout_s: float = 0.5
    hold_timeout_s: float = 2.0
    image_timeout_s: float = 3.0
    battery_endurance_s: float = 0.0

    def __post_init__(self) -> None:
        if self.battery_endurance_s < 0:
            raise ValueError("a battery lasts 0 s (none) or longer")
        if not self.camera_names:
            raise ValueError("at least one camera")
