"""AirSim's structures as the maps it sends, keys in its order, and the parameter types of its calls.

It knows the units and frames of AirSim's API and nothing of sockets or of how a value came about.
"""

import math
from typing import Any

from stillwing_airfield import wire
from stillwing_airfield.flight.controller import Quadruple, Triple
from stillwing_airfield.vehicle import Collision, Kinematics
from stillwing_airfield.wire import Double

# AirSim's default home: a street in Redmond.
HOME_LATITUDE_DEG, HOME_LONGITUDE_DEG, HOME_ALTITUDE_M = 47.641468, -122.140165, 122.0
_EARTH_RADIUS_M = 6378137.0

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


NAN_POSE = pose((math.nan,) * 3, (math.nan,) * 4)
"""What simGetObjectPose answers for an object it does not know."""


def geo_point(position_ned_m: Triple) -> dict[str, Any]:
    """GeoPoint of a local position, on the plane that touches the earth (a sphere of 6,378,137 m) at home."""
    north, east, down = position_ned_m
    latitude = HOME_LATITUDE_DEG + math.degrees(north / _EARTH_RADIUS_M)
    parallel_m = _EARTH_RADIUS_M * math.cos(math.radians(HOME_LATITUDE_DEG))
    return {
        "latitude": Double(latitude),
        "longitude": Double(HOME_LONGITUDE_DEG + math.degrees(east / parallel_m)),
        "altitude": HOME_ALTITUDE_M - down,
    }


def local_position(point: dict[str, float]) -> Triple:
    """Local NED of a GeoPoint that was read; the inverse of `geo_point`."""
    parallel_m = _EARTH_RADIUS_M * math.cos(math.radians(HOME_LATITUDE_DEG))
    return (
        math.radians(point["latitude"] - HOME_LATITUDE_DEG) * _EARTH_RADIUS_M,
        math.radians(point["longitude"] - HOME_LONGITUDE_DEG) * parallel_m,
        HOME_ALTITUDE_M - point["altitude"],
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


def multirotor_state(value: Kinematics, landed: bool) -> dict[str, Any]:
    """MultirotorState; its `collision` is never filled, as in the real one."""
    return {
        "collision": collision(Collision()),
        "kinematics_estimated": kinematics(value),
        "gps_location": geo_point(value.state.position_ned_m),
        "timestamp": value.time_ns,
        "landed_state": 0 if landed else 1,
        "rc_data": rc_data(),
    }


def barometer(altitude_m: float, time_ns: int) -> dict[str, Any]:
    """BarometerData: pressure of the 1976 standard atmosphere below 11 km, without noise."""
    pressure_pa = 101325.0 * (1 - 2.25577e-5 * altitude_m) ** 5.25588
    return {"time_stamp": time_ns, "altitude": altitude_m, "pressure": pressure_pa, "qnh": 1013.25}


def gps(value: Kinematics) -> dict[str, Any]:
    """GpsData: a 3D fix without noise."""
    report = {
        "geo_point": geo_point(value.state.position_ned_m),
        "eph": 0.1,
        "epv": 0.1,
        "velocity": vector3r(value.state.velocity_ned_m_s),
        "fix_type": 3,
        "time_utc": value.time_ns // 1000,
    }
    return {"time_stamp": value.time_ns, "gnss": report, "is_valid": True}
