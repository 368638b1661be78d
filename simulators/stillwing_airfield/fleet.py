"""Which vehicles a simulator has, where they start, their cameras and sensors; and the world's wind and home.

Plain data: it knows neither AirSim's settings.json nor any simulator.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from stillwing_airfield.flight.controller import Quadruple, Triple
from stillwing_airfield.mounts import DEFAULT_MOUNTS, Mount
from stillwing_airfield.rendering import Optics

DEFAULT_VEHICLE = "SimpleFlight"
"""AirSim's name for the vehicle when nothing else is said."""


@dataclass(frozen=True, slots=True)
class HomePoint:
    """Where the world's origin is on the earth; AirSim's default is a street in Redmond."""

    latitude_deg: float = 47.641468
    longitude_deg: float = -122.140165
    altitude_m: float = 122.0


@dataclass(frozen=True, slots=True)
class CameraPlan:
    """A camera on a vehicle; `optics` by AirSim's image type, None where it is as the simulator's."""

    mount: Mount
    optics: Mapping[int, Optics] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DistanceSensor:
    """A beam that measures metres: where it sits, where it points, how near and far it reaches."""

    mount: Mount
    min_m: float = 0.2
    max_m: float = 40.0


@dataclass(frozen=True, slots=True)
class VehiclePlan:
    """One vehicle. `origin_ned_m` None puts it beside the one before; `orientation_wxyz` None turns it as the scene."""

    name: str = DEFAULT_VEHICLE
    origin_ned_m: Triple | None = None
    orientation_wxyz: Quadruple | None = None
    cameras: Mapping[str, CameraPlan] = field(
        default_factory=lambda: {name: CameraPlan(mount) for name, mount in DEFAULT_MOUNTS.items()}
    )
    distance_sensors: Mapping[str, DistanceSensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Fleet:
    """All vehicles, the first of which answers to the empty name, and what the world does to them."""

    vehicles: tuple[VehiclePlan, ...] = (VehiclePlan(),)
    wind_ned_m_s: Triple = (0.0, 0.0, 0.0)
    home: HomePoint = HomePoint()
    clock_speed: float = 1.0

    def placed(self) -> tuple[VehiclePlan, ...]:
        """The vehicles, each with its origin."""
        plans = []
        for number, vehicle in enumerate(self.vehicles):
            origin = vehicle.origin_ned_m
            plans.append(replace(vehicle, origin_ned_m=(0.0, _APART_M * number, 0.0) if origin is None else origin))
        return tuple(plans)


_APART_M = 1.5
