"""AirSim's structures as the maps it sends, keys in its order, and the parameter types of its calls.

It knows the units and frames of AirSim's API and nothing of sockets or of how a value came about.
"""

import math
from typing import Any

from stillwing_airfield import wire
from stillwing_airfield.calls.binding import FARTHEST, CallFailed
from stillwing_airfield.fleet import DistanceSensor, HomePoint
from stillwing_airfield.flight.controller import Quadruple, Triple, VehicleState, Wrench
from stillwing_airfield.mounts import Mount
from stillwing_airfield.vehicle import Collision, Kinematics, to_body
from stillwing_airfield.wire import Double

_EARTH_RADIUS_M = 6378137.0
_FIELD_NED_GAUSS = (0.19, 0.0, 0.49)
_ROTOR_ARM_M = 0.16
_STRONGEST_ROTOR_N, _TORQUE_PER_THRUST_M = 4.179446268, 0.0133
_FASTEST_ROTOR_RAD_S = 6396.667 * math.tau / 60

# Parameter types

VECTOR = wire.struct_of(x_val=(wire.real, 0.0), y_val=(wire.real, 0.0), z_val=(wire.real, 0.0))
QUATERNION = wire.struct_of(
    w_val=(wire.real, 1.0), x_val=(wire.real, 0.0), y_val=(wire.real, 0.0), z_val=(wire.real, 0.0)
)
_NO_VECTOR = {"x_val": 0.0, "y_val": 0.0, "z_val": 0.0}
_NO_TURN = {"w_val": 1.0, "x_val": 0.0, "y_val": 0.0, "z_val": 0.0}
POSE = wire.struct_of(position=(VECTOR, _NO_VECTOR), orientation=(QUATERNION, _NO_TURN))
YAW_MODE = wire.struct_of(is_rate=(wire.boolean, True), yaw_or_rate=(wire.real, 0.0))
GEO_POINT = wire.struct_of(latitude=(wire.real, 0.0), longitude=(wire.real, 0.0), altitude=(wire.real, 0.0))
KINEMATICS = wire.struct_of(
    position=(VECTOR, _NO_VECTOR),
    orientation=(QUATERNION, _NO_TURN),
    linear_velocity=(VECTOR, _NO_VECTOR),
    angular_velocity=(VECTOR, _NO_VECTOR),
    linear_acceleration=(VECTOR, _NO_VECTOR),
    angular_acceleration=(VECTOR, _NO_VECTOR),
)
IMAGE_REQUEST = wire.struct_of(
    camera_name=(wire.text, ""),
    image_type=(wire.integer, 0),
    pixels_as_float=(wire.boolean, False),
    compress=(wire.boolean, False),
)


def triple(vector: dict[str, float]) -> Triple:
    """A Vector3r that was read."""
    return vector["x_val"], vector["y_val"], vector["z_val"]


def quadruple(quaternion: dict[str, float]) -> Quadruple:
    """A Quaternionr that was read, as w, x, y, z."""
    return quaternion["w_val"], quaternion["x_val"], quaternion["y_val"], quaternion["z_val"]


# Structures sent


def vector3r(value: Triple) -> dict[str, float]:
    """Vector3r."""
    return {"x_val": value[0], "y_val": value[1], "z_val": value[2]}


def quaternionr(value: Quadruple) -> dict[str, float]:
    """Quaternionr of w, x, y, z."""
    return {"w_val": value[0], "x_val": value[1], "y_val": value[2], "z_val": value[3]}


def pose(position: Triple, orientation: Quadruple) -> dict[str, Any]:
    """Pose."""
    return {"position": vector3r(position), "orientation": quaternionr(orientation)}


def mount(fields: dict[str, Any]) -> Mount:
    """A Pose that was read, as a place and a unit orientation. Raises `CallFailed` for what is neither."""
    place, turn = triple(fields["position"]), quadruple(fields["orientation"])
    if any(map(math.isnan, (*place, *turn))):
        raise _BAD_POSE
    return Mount(place, unit(place, turn))


def unit(place: Triple, turn: Quadruple) -> Quadruple:
    """`turn` as a unit quaternion. Raises `CallFailed` if it is none or `place` is absurdly far; NaN passes."""
    size = math.hypot(*turn)
    if any(abs(part) > FARTHEST for part in (*place, *turn)) or size < _LEAST_TURN:
        raise _BAD_POSE
    return turn[0] / size, turn[1] / size, turn[2] / size, turn[3] / size


_LEAST_TURN = 1e-6
_BAD_POSE = CallFailed(f"a pose needs finite numbers up to {FARTHEST:g} and an orientation that is not zero")


NAN_POSE = pose((math.nan,) * 3, (math.nan,) * 4)
"""What simGetObjectPose answers for an object it does not know."""


def geo_point(position_ned_m: Triple, home: HomePoint) -> dict[str, Any]:
    """GeoPoint of a local position, on the plane that touches the earth (a sphere of 6,378,137 m) at home."""
    north, east, down = position_ned_m
    latitude = home.latitude_deg + math.degrees(north / _EARTH_RADIUS_M)
    parallel_m = _EARTH_RADIUS_M * math.cos(math.radians(home.latitude_deg))
    return {
        "latitude": Double(latitude),
        "longitude": Double(home.longitude_deg + math.degrees(east / parallel_m)),
        "altitude": home.altitude_m - down,
    }


def local_position(point: dict[str, float], home: HomePoint) -> Triple:
    """Local NED of a GeoPoint that was read; the inverse of `geo_point`."""
    parallel_m = _EARTH_RADIUS_M * math.cos(math.radians(home.latitude_deg))
    return (
        math.radians(point["latitude"] - home.latitude_deg) * _EARTH_RADIUS_M,
        math.radians(point["longitude"] - home.longitude_deg) * parallel_m,
        home.altitude_m - point["altitude"],
    )


def kinematics(value: Kinematics) -> dict[str, Any]:
    """KinematicsState: velocity and acceleration in NED, rates and angular acceleration in body axes."""
    state = value.state
    return {
        "position": vector3r(state.position_ned_m),
        "orientation": quaternionr(state.orientation_wxyz),
        "linear_velocity": vector3r(state.velocity_ned_m_s),
        "angular_velocity": vector3r(state.rates_body_rad_s),
        "linear_acceleration": vector3r(value.acceleration_ned_m_s2),
        "angular_acceleration": vector3r(value.angular_acceleration_body_rad_s2),
    }


def collision(value: Collision, object_id: int = -1) -> dict[str, Any]:
    """CollisionInfo; `object_id` is the segmentation id of what was hit."""
    return {
        "has_collided": value.has_collided,
        "penetration_depth": value.penetration_m,
        "time_stamp": value.time_ns,
        "normal": vector3r(value.normal_ned),
        "impact_point": vector3r(value.impact_point_ned_m),
        "position": vector3r(value.position_ned_m),
        "object_name": value.object_name,
        "object_id": object_id,
    }


def rc_data() -> dict[str, Any]:
    """RCData without a remote control."""
    axes: dict[str, Any] = dict.fromkeys(("pitch", "roll", "throttle", "yaw", "left_z", "right_z"), 0.0)
    return {
        "timestamp": 0,
        **axes,
        "switches": 0,
        "vendor_id": "",
        "is_initialized": False,
        "is_valid": False,
    }


def multirotor_state(value: Kinematics, landed: bool, home: HomePoint) -> dict[str, Any]:
    """MultirotorState; its `collision` is never filled, as in the real one."""
    return {
        "collision": collision(Collision()),
        "kinematics_estimated": kinematics(value),
        "gps_location": geo_point(value.state.position_ned_m, home),
        "timestamp": value.time_ns,
        "landed_state": 0 if landed else 1,
        "rc_data": rc_data(),
    }


def barometer(altitude_m: float, time_ns: int) -> dict[str, Any]:
    """BarometerData: pressure of the 1976 standard atmosphere below 11 km, without noise."""
    pressure_pa = 101325.0 * (1 - 2.25577e-5 * altitude_m) ** 5.25588
    return {"time_stamp": time_ns, "altitude": altitude_m, "pressure": pressure_pa, "qnh": 1013.25}


def gps(value: Kinematics, home: HomePoint) -> dict[str, Any]:
    """GpsData: a 3D fix without noise."""
    report = {
        "geo_point": geo_point(value.state.position_ned_m, home),
        "eph": 0.1,
        "epv": 0.1,
        "velocity": vector3r(value.state.velocity_ned_m_s),
        "fix_type": 3,
        "time_utc": value.time_ns // 1000,
    }
    return {"time_stamp": value.time_ns, "gnss": report, "is_valid": True}


def magnetometer(state: VehicleState, time_ns: int) -> dict[str, Any]:
    """MagnetometerData: the earth's field at home, gauss in body axes, without noise or declination.

    A dipole's field at Redmond's latitude: 0.19 gauss north and 0.49 down.
    """
    return {
        "time_stamp": time_ns,
        "magnetic_field_body": vector3r(to_body(state.orientation_wxyz, _FIELD_NED_GAUSS)),
        "magnetic_field_covariance": [],
    }


def distance(metres: float | None, sensor: DistanceSensor, time_ns: int) -> dict[str, Any]:
    """DistanceSensorData; nothing within reach reads as the farthest it can measure."""
    reading = sensor.max_m if metres is None else min(max(metres, sensor.min_m), sensor.max_m)
    return {
        "time_stamp": time_ns,
        "distance": reading,
        "min_distance": sensor.min_m,
        "max_distance": sensor.max_m,
        "relative_pose": pose(sensor.mount.offset_body_m, sensor.mount.orientation_wxyz),
    }


def rotor_states(rotors: Wrench, state: VehicleState, time_ns: int) -> dict[str, Any]:
    """RotorStates: the autopilot's thrust and torque shared out to four rotors, 0.16 m ahead and aside.

    Order as AirSim's quad-x: front right, rear left, front left, rear right. Speed follows thrust by its square root,
    from 6,396.667 turns a minute at the largest thrust of 4.179 N.
    """
    thrust_n = -to_body(state.orientation_wxyz, rotors.force_ned_n)[2]
    roll, pitch, yaw = rotors.torque_body_nm
    found = []
    for ahead, aside, turning in ((1, 1, 1), (-1, -1, 1), (1, -1, -1), (-1, 1, -1)):
        share_n = thrust_n / 4 - aside * roll / (4 * _ROTOR_ARM_M) + ahead * pitch / (4 * _ROTOR_ARM_M)
        share_n = max(share_n + turning * yaw / (4 * _TORQUE_PER_THRUST_M), 0.0)
        speed = _FASTEST_ROTOR_RAD_S * math.sqrt(share_n / _STRONGEST_ROTOR_N)
        torque = turning * share_n * _TORQUE_PER_THRUST_M
        found.append({"thrust": share_n, "torque_scaler": torque, "speed": speed})
    return {"rotors": found, "timestamp": time_ns}
