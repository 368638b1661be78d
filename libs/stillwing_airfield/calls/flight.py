"""Calls that fly: API control, arming, and every motion. Each motion's answer comes when the motion ends."""

from concurrent.futures import Future
from typing import Any

from stillwing_airfield import wire
from stillwing_airfield.calls.binding import CallFailed, bind, finite, seconds, vehicle
from stillwing_airfield.flight import tasks
from stillwing_airfield.flight.tasks import PathStyle, YawMode
from stillwing_airfield.sim import Airfield
from stillwing_airfield.values import VECTOR, YAW_MODE, triple

_FORWARD_ONLY = 1
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
    found = [triple(point) for point in _FINITE_POINTS(value)]
    for point in found:
        for coordinate in point:
            finite(coordinate)
    return found


class FlightCalls:
    """Bound to one simulator."""

    def __init__(self, airfield: Airfield) -> None:
        self._airfield = airfield

    @bind("enableApiControl", wire.boolean, vehicle)
    def enable_api_control(self, enabled: bool, _vehicle: str) -> None:
        self._airfield.do(lambda v: v.autopilot.enable_api_control(enabled))

    @bind("isApiControlEnabled", vehicle)
    def is_api_control_enabled(self, _vehicle: str) -> bool:
        return self._airfield.do(lambda v: v.autopilot.api_control)

    @bind("armDisarm", wire.boolean, vehicle)
    def arm_disarm(self, arm: bool, _vehicle: str) -> bool:
        return self._airfield.do(lambda v: v.autopilot.arm(arm))

    @bind("takeoff", seconds, vehicle)
    def takeoff(self, timeout_s: float, _vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: tasks.takeoff(v, timeout_s))

    @bind("land", seconds, vehicle)
    def land(self, timeout_s: float, _vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: tasks.land(v, timeout_s))

    @bind("goHome", seconds, vehicle)
    def go_home(self, timeout_s: float, _vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: tasks.go_home(v, timeout_s))

    @bind("hover", vehicle)
    def hover(self, _vehicle: str) -> Answer:
        return self._airfield.begin(tasks.hover)

    @bind("cancelLastTask", vehicle)
    def cancel_last_task(self, _vehicle: str) -> None:
        self._airfield.do(lambda v: v.tasks.cancel())

    @bind("moveByVelocity", finite, finite, finite, seconds, drivetrain, yaw_mode, vehicle)
    def move_by_velocity(
        self, vx: float, vy: float, vz: float, duration_s: float, nose_leads: bool, yaw: YawMode, _vehicle: str
    ) -> Answer:
        return self._airfield.begin(lambda v: tasks.move_by_velocity(v, (vx, vy, vz), duration_s, nose_leads, yaw))

    @bind("moveByVelocityBodyFrame", finite, finite, finite, seconds, drivetrain, yaw_mode, vehicle)
    def move_by_velocity_body_frame(
        self, vx: float, vy: float, vz: float, duration_s: float, nose_leads: bool, yaw: YawMode, _vehicle: str
    ) -> Answer:
        return self._airfield.begin(
            lambda v: tasks.move_by_velocity(v, (*tasks.to_world(v, vx, vy), vz), duration_s, nose_leads, yaw)
        )

    @bind("moveByVelocityZ", finite, finite, finite, seconds, drivetrain, yaw_mode, vehicle)
    def move_by_velocity_z(
        self, vx: float, vy: float, z: float, duration_s: float, nose_leads: bool, yaw: YawMode, _vehicle: str
    ) -> Answer:
        return self._airfield.begin(lambda v: tasks.move_by_velocity_z(v, (vx, vy), z, duration_s, nose_leads, yaw))

    @bind("moveByVelocityZBodyFrame", finite, finite, finite, seconds, drivetrain, yaw_mode, vehicle)
    def move_by_velocity_z_body_frame(
        self, vx: float, vy: float, z: float, duration_s: float, nose_leads: bool, yaw: YawMode, _vehicle: str
    ) -> Answer:
        return self._airfield.begin(
            lambda v: tasks.move_by_velocity_z(v, tasks.to_world(v, vx, vy), z, duration_s, nose_leads, yaw)
        )

    @bind("moveToPosition", finite, finite, finite, finite, seconds, drivetrain, yaw_mode, finite, finite, vehicle)
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
        _vehicle: str,
    ) -> Answer:
        return self._follow([(x, y, z)], speed_m_s, timeout_s, PathStyle(nose_leads, yaw, lookahead_m, adaptive))

    @bind("moveOnPath", points, finite, seconds, drivetrain, yaw_mode, finite, finite, vehicle)
    def move_on_path(
        self,
        path: list[tuple[float, float, float]],
        speed_m_s: float,
        timeout_s: float,
        nose_leads: bool,
        yaw: YawMode,
        lookahead_m: float,
        adaptive: float,
        _vehicle: str,
    ) -> Answer:
        return self._follow(path, speed_m_s, timeout_s, PathStyle(nose_leads, yaw, lookahead_m, adaptive))

    def _follow(
        self, path: list[tuple[float, float, float]], speed_m_s: float, timeout_s: float, style: PathStyle
    ) -> Answer:
        if speed_m_s < 0:
            raise CallFailed(f"a path cannot be flown at {speed_m_s:f} m/s")
        return self._airfield.begin(lambda v: tasks.move_on_path(v, path, speed_m_s, timeout_s, style))

    @bind("moveToZ", finite, finite, seconds, yaw_mode, finite, finite, vehicle)
    def move_to_z(
        self,
        z: float,
        speed_m_s: float,
        timeout_s: float,
        yaw: YawMode,
        lookahead_m: float,
        adaptive: float,
        _vehicle: str,
    ) -> Answer:
        style = PathStyle(False, yaw, lookahead_m, adaptive)
        return self._airfield.begin(lambda v: tasks.move_to_z(v, z, abs(speed_m_s), timeout_s, style))

    @bind("rotateToYaw", finite, seconds, finite, vehicle)
    def rotate_to_yaw(self, yaw_deg: float, timeout_s: float, margin_deg: float, _vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: tasks.rotate_to_yaw(v, yaw_deg, timeout_s, margin_deg))

    @bind("rotateByYawRate", finite, seconds, vehicle)
    def rotate_by_yaw_rate(self, rate_deg_s: float, duration_s: float, _vehicle: str) -> Answer:
        return self._airfield.begin(lambda v: tasks.rotate_by_yaw_rate(v, rate_deg_s, duration_s))
