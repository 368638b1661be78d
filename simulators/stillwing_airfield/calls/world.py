"""Calls about the simulator itself: versions, time, reset, wind, settings."""

import json
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from stillwing_airfield import values, wire
from stillwing_airfield.calls.binding import CallFailed, Slot, bind, seconds
from stillwing_airfield.dialects import TRAITS, Dialect
from stillwing_airfield.flight.controller import Triple
from stillwing_airfield.images import KIND_OF
from stillwing_airfield.sim import Airfield

_log = logging.getLogger("airfield")
_SEVERITY = {0: logging.INFO, 1: logging.INFO, 2: logging.WARNING, 3: logging.ERROR}
_FRAME_S = 0.02
_STRONGEST_WIND_M_S = 60.0

_FARTHEST_SIGHT_M = 1e8
"""Once round the Earth and more; squares of much larger numbers overflow."""


class WorldCalls:
    """Bound to one simulator; `on_reset` is called after each reset."""

    def __init__(self, airfield: Airfield, dialect: Dialect, on_reset: Sequence[Callable[[], None]]) -> None:
        self._airfield = airfield
        self._version = TRAITS[dialect].version
        self._on_reset = on_reset

    @bind("ping")
    def ping(self) -> bool:
        return True

    @bind("getServerVersion")
    def get_server_version(self) -> int:
        return self._version

    @bind("getMinRequiredClientVersion")
    def get_min_required_client_version(self) -> int:
        return self._version

    @bind("reset")
    def reset(self) -> None:
        self._airfield.reset()
        for told in self._on_reset:
            told()

    @bind("simPause", wire.boolean)
    def pause(self, paused: bool) -> None:
        self._airfield.pause(paused)

    @bind("simIsPaused")
    def is_paused(self) -> bool:
        return self._airfield.paused

    @bind("simContinueForTime", seconds)
    def continue_for_time(self, duration_s: float) -> Future[None]:
        if not 0 <= duration_s < math.inf:
            raise CallFailed(f"cannot continue for {duration_s} s")
        return self._airfield.continue_for(duration_s)

    @bind("simContinueForFrames", wire.unsigned)
    def continue_for_frames(self, frames: int) -> Future[None]:
        return self._airfield.continue_for(frames * _FRAME_S)

    @bind("simSetWind", values.VECTOR)
    def set_wind(self, wind: dict[str, float]) -> None:
        wind_ned_m_s = values.triple(wind)
        if not math.hypot(*wind_ned_m_s) <= _STRONGEST_WIND_M_S:
            raise CallFailed(f"a wind is at most {_STRONGEST_WIND_M_S:g} m/s")
        self._airfield.set_wind(wind_ned_m_s)

    @bind("listVehicles")
    def list_vehicles(self) -> list[str]:
        return list(self._airfield.vehicle_names)

    @bind("getSettingsString")
    def get_settings_string(self) -> str:
        return settings_string(self._airfield)

    @bind("simPrintLogMessage", wire.text, wire.text, wire.byte)
    def print_log_message(self, message: str, parameter: str, severity: int) -> None:
        _log.log(_SEVERITY.get(severity, logging.INFO), "client says: %s%s", message, parameter)

    @bind("simTestLineOfSightToPoint", values.GEO_POINT, Slot.SIM_VEHICLE)
    def is_in_line_of_sight(self, point: dict[str, float], vehicle: str) -> bool:
        here, there = self._airfield.do(
            lambda v: (
                v.world_position(v.state().position_ned_m),
                v.world_position(values.local_position(point, self._airfield.fleet.home)),
            ),
            vehicle,
        )
        return self._free_between(here, there)

    @bind("simTestLineOfSightBetweenPoints", values.GEO_POINT, values.GEO_POINT)
    def is_free_between(self, one: dict[str, float], other: dict[str, float]) -> bool:
        home = self._airfield.fleet.home
        return self._free_between(values.local_position(one, home), values.local_position(other, home))

    def _free_between(self, here: Triple, there: Triple) -> bool:
        distance_m = math.dist(here, there)
        if not distance_m <= _FARTHEST_SIGHT_M:
            raise CallFailed(f"a point needs finite coordinates, at most {_FARTHEST_SIGHT_M:g} m away")
        if distance_m == 0:
            return True
        way = (there[0] - here[0], there[1] - here[1], there[2] - here[2])
        return self._airfield.cast_ray(here, way, distance_m) is None


def settings_string(airfield: Airfield) -> str:
    """The settings as AirSim tells them, and the scene, which AirSim has no word for, under `Scene`."""
    optics, fleet = airfield.optics, airfield.fleet
    capture = [
        {"ImageType": kind, "Width": optics.width_px, "Height": optics.height_px, "FOV_Degrees": optics.hfov_deg}
        for kind in KIND_OF
    ]
    vehicles = {}
    for plan in fleet.placed():
        assert plan.origin_ned_m is not None
        x, y, z = plan.origin_ned_m
        vehicles[plan.name] = {"VehicleType": "SimpleFlight", "X": x, "Y": y, "Z": z}
    home = fleet.home
    return json.dumps(
        {
            "SettingsVersion": 1.2,
            "SimMode": "Multirotor",
            "ViewMode": "NoDisplay",
            "ClockSpeed": fleet.clock_speed,
            "OriginGeopoint": {
                "Latitude": home.latitude_deg,
                "Longitude": home.longitude_deg,
                "Altitude": home.altitude_m,
            },
            "CameraDefaults": {"CaptureSettings": capture},
            "Vehicles": vehicles,
            "Scene": {"Name": airfield.scene.name, "Seed": airfield.scene.seed},
        }
    )
