"""How many frames a second a live simulator draws while it flies in real time. It knows no wire."""

import time
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from stillwing_airfield.flight import motions
from stillwing_airfield.flight.path import YawMode
from stillwing_airfield.mounts import DEFAULT_CAMERA
from stillwing_airfield.sim import Airfield
from stillwing_common.conditions import hardware

KINDS = ("scene", "depth")
_HEIGHT_M = 2.0
_TURN_DEG_S = 20.0


@dataclass(frozen=True, slots=True)
class DrawingSpeed:
    """One measurement.

    Attributes:
        frames_per_s: Colour and depth together count as one.
        median_ms: From asking for a frame to having it.
        worst_ms: The slowest of them.
        real_time_factor: Simulated seconds per real second meanwhile; 1 is real time.
        hardware: Processor and cores it was measured on.
    """

    width_px: int
    height_px: int
    seconds: float
    frames_per_s: float
    median_ms: float
    worst_ms: float
    real_time_factor: float
    hardware: str

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.frames_per_s:.0f} RGB+depth frames a second at {self.width_px}x{self.height_px} "
            f"(median {self.median_ms:.1f} ms, worst {self.worst_ms:.0f} ms), "
            f"simulation at {self.real_time_factor:.2f} of real time; {self.hardware}"
        )


def measure(airfield: Airfield, seconds: float) -> DrawingSpeed:
    """Draw as fast as possible for `seconds` while a live simulator turns on the spot at 2 m, then reset it."""
    airfield.do(lambda v: v.autopilot.enable_api_control(True))
    airfield.do(lambda v: v.autopilot.arm(True))
    state = airfield.do(lambda v: v.state())
    north, east, _ = state.position_ned_m
    airfield.do(lambda v: v.place((north, east, -_HEIGHT_M), state.orientation_wxyz))
    airfield.begin(
        lambda v: motions.move_by_velocity_z(v, (0.0, 0.0), -_HEIGHT_M, seconds + 60, False, YawMode(True, _TURN_DEG_S))
    )
    airfield.capture(DEFAULT_CAMERA, KINDS)
    took_s: list[float] = []
    began_s, began_ns = time.perf_counter(), airfield.time_ns
    while (now_s := time.perf_counter()) - began_s < seconds:
        airfield.capture(DEFAULT_CAMERA, KINDS)
        took_s.append(time.perf_counter() - now_s)
    elapsed_s = time.perf_counter() - began_s
    simulated_s = (airfield.time_ns - began_ns) * 1e-9
    airfield.reset()
    return DrawingSpeed(
        width_px=airfield.optics.width_px,
        height_px=airfield.optics.height_px,
        seconds=elapsed_s,
        frames_per_s=len(took_s) / elapsed_s,
        median_ms=median(took_s) * 1e3,
        worst_ms=max(took_s) * 1e3,
        real_time_factor=simulated_s / elapsed_s,
        hardware=hardware(),
    )
