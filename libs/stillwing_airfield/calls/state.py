"""Calls that read the vehicle: state, ground truth, collisions, sensors.

Nothing here moves it, but for the teleport.
"""

import math
from typing import Any

from stillwing_airfield import values, wire
from stillwing_airfield.calls.binding import CallFailed, bind, sim_vehicle, vehicle
from stillwing_airfield.calls.segments import Segments
from stillwing_airfield.flight.controller import GRAVITY_M_S2
from stillwing_airfield.sim import Airfield

_SENSORS = {"Imu": "IMU", "Gps": "GPS", "Barometer": "barometer"}


def _named(default: str) -> wire.Read:
    """Name of a sensor of which there is one."""

    def read(value: Any) -> str:
        name = wire.text(value)
        if name not in ("", default):
            raise CallFailed(f"No {_SENSORS[default]} with name {name} exist on vehicle")
        return name

    return read


class StateCalls:
    """Bound to one simulator."""

    def __init__(self, airfield: Airfield, segments: Segments) -> None:
        self._airfield = airfield
        self._segments = segments

    @bind("getMultirotorState", vehicle)
    def get_multirotor_state(self, _vehicle: str) -> dict[str, Any]:
        return self._airfield.do(lambda v: values.multirotor_state(v.kinematics(), v.landed))

    @bind("simGetVehiclePose", sim_vehicle)
    def get_vehicle_pose(self, _vehicle: str) -> dict[str, Any]:
        state = self._airfield.do(lambda v: v.state())
        return values.pose(state.position_ned_m, state.orientation_wxyz)

    @bind("simSetVehiclePose", values.POSE, wire.boolean, sim_vehicle)
    def set_vehicle_pose(self, pose: dict[str, Any], _ignore_collision: bool, _vehicle: str) -> None:
        position, turn = values.triple(pose["position"]), values.quadruple(pose["orientation"])
        if any(map(math.isinf, (*position, *turn))) or not any(turn):
            raise CallFailed("a pose needs finite numbers and an orientation that is not zero")
        self._airfield.do(lambda v: v.place(position, turn))

    @bind("simGetGroundTruthKinematics", sim_vehicle)
    def get_kinematics(self, _vehicle: str) -> dict[str, Any]:
        return values.kinematics(self._airfield.do(lambda v: v.kinematics()))

    @bind("simGetGroundTruthEnvironment", sim_vehicle)
    def get_environment(self, _vehicle: str) -> dict[str, Any]:
        position = self._airfield.do(lambda v: v.state()).position_ned_m
        air = values.barometer(values.HOME_ALTITUDE_M - position[2], 0)
        return {
            "position": values.vector3r(position),
            "geo_point": values.geo_point(position),
            "gravity": values.vector3r((0.0, 0.0, GRAVITY_M_S2)),
            "air_pressure": air["pressure"],
            "temperature": 288.15 - 0.0065 * air["altitude"],
            "air_density": 1.225 * (1 - 2.25577e-5 * air["altitude"]) ** 4.25588,
        }

    @bind("simGetCollisionInfo", sim_vehicle)
    def get_collision_info(self, _vehicle: str) -> dict[str, Any]:
        collision = self._airfield.do(lambda v: v.take_collision())
        return values.collision(collision, self._segments.id_of(collision.object_name))

    @bind("getImuData", _named("Imu"), vehicle)
    def get_imu_data(self, _sensor: str, _vehicle: str) -> dict[str, Any]:
        state, time_ns, felt = self._airfield.do(lambda v: (v.state(), v.time_ns, v.accelerometer_body_m_s2()))
        return {
            "time_stamp": time_ns,
            "orientation": values.quaternionr(state.orientation_wxyz),
            "angular_velocity": values.vector3r(state.rates_body_rad_s),
            "linear_acceleration": values.vector3r(felt),
        }

    @bind("getGpsData", _named("Gps"), vehicle)
    def get_gps_data(self, _sensor: str, _vehicle: str) -> dict[str, Any]:
        return values.gps(self._airfield.do(lambda v: v.kinematics()))

    @bind("getBarometerData", _named("Barometer"), vehicle)
    def get_barometer_data(self, _sensor: str, _vehicle: str) -> dict[str, Any]:
        state, time_ns = self._airfield.do(lambda v: (v.state(), v.time_ns))
        return values.barometer(values.HOME_ALTITUDE_M - state.position_ned_m[2], time_ns)

    @bind("getDistanceSensorData", wire.text, vehicle)
    def get_distance_sensor_data(self, sensor: str, _vehicle: str) -> None:
        raise CallFailed(f"No distance sensor with name {sensor} exist on vehicle")

    @bind("getHomeGeoPoint", vehicle)
    def get_home_geo_point(self, _vehicle: str) -> dict[str, Any]:
        return values.geo_point((0.0, 0.0, 0.0))
