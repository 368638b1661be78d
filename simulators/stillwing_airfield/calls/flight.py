"""Calls that fly: API control, arming, and every motion. Each motion's answer comes when the motion ends."""

import math
from concurrent.futures import Future
from typing import Any

from stillwing_airfield import wire
from stillwing_airfield.calls.binding import CallFailed, Slot, bind, finite, seconds
from stillwing_airfield.flight import motions
from stillwing_airfield.flight.controller import Goal
from stillwing_airfield.flight.path import PathStyle, YawMode, move_on_path
from stillwing_airfield.sim import Airfield
from stillwing_airfield.values import VECTOR, YAW_MODE, local_position, triple

_FORWARD_ONLY = 1
_MOST_POINTS = 10_000
_FINITE_POINTS = wire.array_of(VECTOR)
Answer = Future[bool]


def drivetrain(value: Any) -> bool:
    """DrivetrainType, as whether the nose leads."""
    return wire.integer(value) == _FORWARD_ONLY


def yaw_mode(value: Any) -> YawMode:
    """YawMode; a heading or rate that is no number is refused."""
    fields = YAW_MODE(value)
    return YawMode(fields["is_rate"], finite(fields["yaw_or_rate"]))


def points(value: Any) -> list[tuple[float, float, float]]:
    """A path, every coordinate finite."""
    way = [triple(point) for point in _FINITE_POINTS(value)]
    if len(way) > _MOST_POINTS:
        raise CallFailed(f"a path has at most {_MOST_POINTS} points, not {len(way)}")
    for point in way:
        for coordinate in point:
            finite(coordinate)
    return way


class FlightCalls:
    """Bound to one simulator."""

    def __init__(self, airfield: Airfield) -> None:
        self._airfield = airfield

    @bind("enableApiControl", wire.boolean, Slot.VEHICLE)
    def enable_api_control(self, enabled: bool, vehicle: str) -> None:
        self._airfield.do(lambda v: v.autopilot.enable_api_control(enabled), vehicle)

    @bind("isApiControlEnabled", Slot.VEHICLE)
    def is_api_control_enabled(self, vehicle: str) -> bool:
        return self._airfield.do(lambda v: v.autopilot.api_control, vehicle)

    @bind("armDisarm", wire.boolean, Slot.VEHICLE)
    def arm_disarm(self, arm: bool, vehicle: str) -> bool:
        return self._airfield.do(lambda v: v.autopilot.arm(arm), vehicle)

    @bind("takeoff", seconds, Slot.VEHICLE)
    def takeoff(self, timeout_s: float, vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: motions.takeoff(v, timeout_s), vehicle)

    @bind("land", seconds, Slot.VEHICLE)
    def land(self, timeout_s: float, vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: motions.land(v, timeout_s), vehicle)

    @bind("goHome", seconds, Slot.VEHICLE)
    def go_home(self, timeout_s: float, vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: motions.go_home(v, timeout_s), vehicle)

    @bind("hover", Slot.VEHICLE)
    def hover(self, vehicle: str) -> Answer:
        return self._airfield.begin(motions.hover, vehicle)

    @bind("cancelLastTask", Slot.VEHICLE)
    def cancel_last_task(self, vehicle: str) -> None:
        self._airfield.do(lambda v: v.tasks.cancel(), vehicle)

    @bind("moveByVelocity", finite, finite, finite, seconds, drivetrain, yaw_mode, Slot.VEHICLE)
    def move_by_velocity(
        self, vx: float, vy: float, vz: float, duration_s: float, nose_leads: bool, yaw: YawMode, vehicle: str
    ) -> Answer:
        return self._airfield.begin(
            lambda v: motions.move_by_velocity(v, (vx, vy, vz), duration_s, nose_leads, yaw), vehicle
        )

    @bind("moveByVelocityBodyFrame", finite, finite, finite, seconds, drivetrain, yaw_mode, Slot.VEHICLE)
    def move_by_velocity_body_frame(
        self, vx: float, vy: float, vz: float, duration_s: float, nose_leads: bool, yaw: YawMode, vehicle: str
    ) -> Answer:
        return self._airfield.begin(
            lambda v: motions.move_by_velocity(v, (*motions.to_world(v, vx, vy), vz), duration_s, nose_leads, yaw),
            vehicle,
        )

    @bind("moveByVelocityZ", finite, finite, finite, seconds, drivetrain, yaw_mode, Slot.VEHICLE)
    def move_by_velocity_z(
        self, vx: float, vy: float, z: float, duration_s: float, nose_leads: bool, yaw: YawMode, vehicle: str
    ) -> Answer:
        return self._airfield.begin(
            lambda v: motions.move_by_velocity_z(v, (vx, vy), z, duration_s, nose_leads, yaw), vehicle
        )

    @bind("moveByVelocityZBodyFrame", finite, finite, finite, seconds, drivetrain, yaw_mode, Slot.VEHICLE)
    def move_by_velocity_z_body_frame(
        self, vx: float, vy: float, z: float, duration_s: float, nose_leads: bool, yaw: YawMode, vehicle: str
    ) -> Answer:
        return self._airfield.begin(
            lambda v: motions.move_by_velocity_z(v, motions.to_world(v, vx, vy), z, duration_s, nose_leads, yaw),
            vehicle,
        )

    @bind("moveToPosition", finite, finite, finite, finite, seconds, drivetrain, yaw_mode, finite, finite, Slot.VEHICLE)
    def move_to_position(
        self,
        x: float,
        y: float,
        z: float,
        speed_m_s: float,
        timeout_s: float,
        nose_leads: bool,
        yaw: YawMode,
        lookahead_m: float,
        adaptive: float,
        vehicle: str,
    ) -> Answer:
        return self._follow(
            [(x, y, z)], speed_m_s, timeout_s, PathStyle(nose_leads, yaw, lookahead_m, adaptive), vehicle
        )

    @bind("moveOnPath", points, finite, seconds, drivetrain, yaw_mode, finite, finite, Slot.VEHICLE)
    def move_on_path(
        self,
        path: list[tuple[float, float, float]],
        speed_m_s: float,
        timeout_s: float,
        nose_leads: bool,
        yaw: YawMode,
        lookahead_m: float,
        adaptive: float,
        vehicle: str,
    ) -> Answer:
        return self._follow(path, speed_m_s, timeout_s, PathStyle(nose_leads, yaw, lookahead_m, adaptive), vehicle)

    def _follow(
        self, path: list[tuple[float, float, float]], speed_m_s: float, timeout_s: float, style: PathStyle, vehicle: str
    ) -> Answer:
        if speed_m_s < 0:
            raise CallFailed(f"a path cannot be flown at {speed_m_s:f} m/s")
        return self._airfield.begin(lambda v: move_on_path(v, path, speed_m_s, timeout_s, style), vehicle)

    @bind("moveToGPS", *[finite] * 4, seconds, drivetrain, yaw_mode, finite, finite, Slot.VEHICLE)
    def move_to_gps(
        self,
        latitude_deg: float,
        longitude_deg: float,
        altitude_m: float,
        speed_m_s: float,
        timeout_s: float,
        nose_leads: bool,
        yaw: YawMode,
        lookahead_m: float,
        adaptive: float,
        vehicle: str,
    ) -> Answer:
        point = {"latitude": latitude_deg, "longitude": longitude_deg, "altitude": altitude_m}
        target = local_position(point, self._airfield.fleet.home)
        style = PathStyle(nose_leads, yaw, lookahead_m, adaptive)
        return self._follow([target], speed_m_s, timeout_s, style, vehicle)

    @bind("moveToZ", finite, finite, seconds, yaw_mode, finite, finite, Slot.VEHICLE)
    def move_to_z(
        self,
        z: float,
        speed_m_s: float,
        timeout_s: float,
        yaw: YawMode,
        lookahead_m: float,
        adaptive: float,
        vehicle: str,
    ) -> Answer:
        style = PathStyle(False, yaw, lookahead_m, adaptive)
        return self._airfield.begin(lambda v: motions.move_to_z(v, z, abs(speed_m_s), timeout_s, style), vehicle)

    @bind("rotateToYaw", finite, seconds, finite, Slot.VEHICLE)
    def rotate_to_yaw(self, yaw_deg: float, timeout_s: float, margin_deg: float, vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: motions.rotate_to_yaw(v, yaw_deg, timeout_s, margin_deg), vehicle)

    @bind("rotateByYawRate", finite, seconds, Slot.VEHICLE)
    def rotate_by_yaw_rate(self, rate_deg_s: float, duration_s: float, vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: motions.rotate_by_yaw_rate(v, rate_deg_s, duration_s), vehicle)

    # Attitude: on the wire roll right, pitch up and yaw clockwise are positive (the Python clients turn signs round).

    @bind("moveByRollPitchYawZ", finite, finite, finite, finite, seconds, Slot.VEHICLE)
    def move_by_roll_pitch_yaw_z(
        self, roll: float, pitch: float, yaw: float, z: float, duration_s: float, vehicle: str
    ) -> Answer:
        goal = Goal(tilt_rad=(roll, pitch), yaw_deg=math.degrees(yaw), position_down_m=z)
        return self._tilt(goal, duration_s, vehicle)

    @bind("moveByRollPitchYawThrottle", finite, finite, finite, finite, seconds, Slot.VEHICLE)
    def move_by_roll_pitch_yaw_throttle(
        self, roll: float, pitch: float, yaw: float, throttle: float, duration_s: float, vehicle: str
    ) -> Answer:
        goal = Goal(tilt_rad=(roll, pitch), yaw_deg=math.degrees(yaw), throttle=throttle)
        return self._tilt(goal, duration_s, vehicle)

    @bind("moveByRollPitchYawrateThrottle", finite, finite, finite, finite, seconds, Slot.VEHICLE)
    def move_by_roll_pitch_yawrate_throttle(
        self, roll: float, pitch: float, yaw_rate: float, throttle: float, duration_s: float, vehicle: str
    ) -> Answer:
        goal = Goal(tilt_rad=(roll, pitch), yaw_rate_deg_s=math.degrees(yaw_rate), throttle=throttle)
        return self._tilt(goal, duration_s, vehicle)

    @bind("moveByRollPitchYawrateZ", finite, finite, finite, finite, seconds, Slot.VEHICLE)
    def move_by_roll_pitch_yawrate_z(
        self, roll: float, pitch: float, yaw_rate: float, z: float, duration_s: float, vehicle: str
    ) -> Answer:
        goal = Goal(tilt_rad=(roll, pitch), yaw_rate_deg_s=math.degrees(yaw_rate), position_down_m=z)
        return self._tilt(goal, duration_s, vehicle)

    @bind("moveByAngleRatesZ", finite, finite, finite, finite, seconds, Slot.VEHICLE)
    def move_by_angle_rates_z(
        self, roll_rate: float, pitch_rate: float, yaw_rate: float, z: float, duration_s: float, vehicle: str
    ) -> Answer:
        rates = (roll_rate, pitch_rate)
        goal = Goal(tilt_rates_rad_s=rates, yaw_rate_deg_s=math.degrees(yaw_rate), position_down_m=z)
        return self._tilt(goal, duration_s, vehicle)

    @bind("moveByAngleRatesThrottle", finite, finite, finite, finite, seconds, Slot.VEHICLE)
    def move_by_angle_rates_throttle(
        self, roll_rate: float, pitch_rate: float, yaw_rate: float, throttle: float, duration_s: float, vehicle: str
    ) -> Answer:
        rates = (roll_rate, pitch_rate)
        goal = Goal(tilt_rates_rad_s=rates, yaw_rate_deg_s=math.degrees(yaw_rate), throttle=throttle)
        return self._tilt(goal, duration_s, vehicle)

    def _tilt(self, goal: Goal, duration_s: float, vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: motions.hold_attitude(v, goal, duration_s), vehicle)
