"""Calls that read a vehicle's sensors: AirSim's default four, and the distance sensors its settings give it."""

from typing import Any

from stillwing_airfield import values, wire
from stillwing_airfield.calls.binding import CallFailed, Slot, bind
from stillwing_airfield.dialects import Dialect
from stillwing_airfield.fleet import DistanceSensor
from stillwing_airfield.flight.controller import Triple
from stillwing_airfield.mounts import Mount
from stillwing_airfield.sim import Airfield
from stillwing_airfield.vehicle import to_world

_FORWARD: Triple = (1.0, 0.0, 0.0)


def _named(default: str, kind: str) -> wire.Read:
    """Name of a sensor of which there is one; its name in AirSim's default settings, or ""."""

    def read(value: Any) -> str:
        name = wire.text(value)
        if name not in ("", default):
            raise CallFailed(f"No {kind} with name {name} exist on vehicle")
        return name

    return read


class SensorCalls:
    """Bound to one simulator."""

    def __init__(self, airfield: Airfield) -> None:
        self._airfield = airfield
        self._home = airfield.fleet.home
        self._moved: dict[tuple[str, str], Mount] = {}

    def reset(self) -> None:
        """Sensors are back where the settings have them."""
        self._moved = {}

    @bind("getImuData", _named("Imu", "IMU"), Slot.VEHICLE)
    def get_imu_data(self, _sensor: str, vehicle: str) -> dict[str, Any]:
        state, time_ns, felt = self._airfield.do(lambda v: (v.state(), v.time_ns, v.accelerometer_body_m_s2()), vehicle)
        return {
            "time_stamp": time_ns,
            "orientation": values.quaternionr(state.orientation_wxyz),
            "angular_velocity": values.vector3r(state.rates_body_rad_s),
            "linear_acceleration": values.vector3r(felt),
        }

    @bind("getGpsData", _named("Gps", "GPS"), Slot.VEHICLE)
    def get_gps_data(self, _sensor: str, vehicle: str) -> dict[str, Any]:
        return values.gps(self._airfield.do(lambda v: v.kinematics(), vehicle), self._home)

    @bind("getBarometerData", _named("Barometer", "barometer"), Slot.VEHICLE)
    def get_barometer_data(self, _sensor: str, vehicle: str) -> dict[str, Any]:
        state, time_ns = self._airfield.do(lambda v: (v.state(), v.time_ns), vehicle)
        return values.barometer(self._home.altitude_m - state.position_ned_m[2], time_ns)

    @bind("getMagnetometerData", _named("Magnetometer", "magnetometer"), Slot.VEHICLE)
    def get_magnetometer_data(self, _sensor: str, vehicle: str) -> dict[str, Any]:
        state, time_ns = self._airfield.do(lambda v: (v.state(), v.time_ns), vehicle)
        return values.magnetometer(state, time_ns)

    @bind("getDistanceSensorData", wire.text, Slot.VEHICLE)
    def get_distance_sensor_data(self, name: str, vehicle: str) -> dict[str, Any]:
        full, sensor = self._distance_sensor(name, vehicle)
        mount = self._moved.get((vehicle, full), sensor.mount)
        direction = to_world(mount.orientation_wxyz, _FORWARD)
        metres, time_ns = self._airfield.do(
            lambda v: (v.distance_m(mount.offset_body_m, direction, sensor.max_m), v.time_ns), vehicle
        )
        return values.distance(metres, DistanceSensor(mount, sensor.min_m, sensor.max_m), time_ns)

    @bind("simSetDistanceSensorPose", wire.text, values.POSE, Slot.SIM_VEHICLE, only=Dialect.COSYS)
    def set_distance_sensor_pose(self, name: str, pose: dict[str, Any], vehicle: str) -> None:
        full, _ = self._distance_sensor(name, vehicle)
        self._moved[vehicle, full] = values.mount(pose)

    def _distance_sensor(self, name: str, vehicle: str) -> tuple[str, DistanceSensor]:
        sensors = self._airfield.distance_sensors(vehicle)
        full = name or next(iter(sensors), "")
        if full not in sensors:
            raise CallFailed(f"No distance sensor with name {name} exist on vehicle")
        return full, sensors[full]

    @bind("getLidarData", wire.text, Slot.VEHICLE)
    def get_lidar_data(self, name: str, _vehicle: str) -> None:
        raise CallFailed(f"No lidar with name {name} exist on vehicle")
