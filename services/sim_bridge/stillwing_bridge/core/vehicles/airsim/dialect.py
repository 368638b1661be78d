"""Which of the incompatible AirSim dialects a server speaks, and AirSim's structures as our types.

Two are flown: Microsoft's, and that of Cosys-AirSim, whose camera calls take other parameters and whose pixels have
another order. Colosseum is recognised and refused by name: it sends arrays in place of maps, and half a dialect would
lie.
"""

import functools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from stillwing_bridge.core.vehicles.airsim.transport import Connection
from stillwing_common.errors import SimulatorError, Unsupported
from stillwing_common.types import Pose, PositionNed, Quaternion, VelocityNed

SCENE = 0
DEPTH_PLANAR = 1
MAX_DEGREE_OF_FREEDOM = 0
LANDED = 0
_UNIT_TOLERANCE = 1e-3

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Dialect:
    """How calls and pixels of one dialect differ; `server_version` is what `getServerVersion` answers."""

    name: str
    server_version: int
    blue_first: bool
    takes_external: bool
    object_pose_takes_ned: bool

    def image_params(self, requests: list[dict[str, Any]], vehicle_name: str) -> tuple[Any, ...]:
        """Parameters of `simGetImages`."""
        return (requests, vehicle_name, False) if self.takes_external else (requests, vehicle_name)

    def camera_info_params(self, camera_name: str, vehicle_name: str) -> tuple[Any, ...]:
        """Parameters of `simGetCameraInfo`."""
        return (camera_name, vehicle_name, False) if self.takes_external else (camera_name, vehicle_name)

    def object_pose_params(self, object_name: str) -> tuple[Any, ...]:
        """Parameters of `simGetObjectPose`, for a pose in NED metres."""
        return (object_name, True) if self.object_pose_takes_ned else (object_name,)


MICROSOFT = Dialect("microsoft", 1, blue_first=True, takes_external=True, object_pose_takes_ned=False)
COSYS = Dialect("cosys", 4, blue_first=False, takes_external=False, object_pose_takes_ned=True)


async def detect(connection: Connection, vehicle_name: str, *, timeout_s: float) -> Dialect:
    """The dialect of a server; `Unsupported`, naming it, for one that is not flown."""
    version = await connection.call("getServerVersion", timeout_s=timeout_s)
    if version == COSYS.server_version:
        return COSYS
    if version != MICROSOFT.server_version:
        raise Unsupported(f"the simulator speaks version {version} of AirSim's protocol; 1 and 4 are known")
    pose = await connection.call("simGetVehiclePose", vehicle_name, timeout_s=timeout_s)
    if isinstance(pose, list):
        raise Unsupported("the simulator speaks the Colosseum dialect", dialect="colosseum")
    return MICROSOFT


def understood(method: Method) -> Method:
    """Around a method that reads answers: what has not their shape is a `SimulatorError`, not the end of the bridge."""

    @functools.wraps(method)
    async def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return await method(*args, **kwargs)
        except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            nonsense = f"{type(error).__name__}: {error}"[:200]
            raise SimulatorError(f"an answer makes no sense to {method.__name__}: {nonsense}") from error

    return cast(Method, checked)


def _finite(value: object) -> float:
    # NaN passes every "is it too far, too fast, too near" as false.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.40} is no finite number")
    return float(value)


def time_of(value: object) -> int:
    """TTimePoint to nanoseconds."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r:.40} is no time")
    return value


def position_of(vector: dict[str, float]) -> PositionNed:
    """Vector3r to metres NED."""
    return PositionNed(_finite(vector["x_val"]), _finite(vector["y_val"]), _finite(vector["z_val"]))


def velocity_of(vector: dict[str, float]) -> VelocityNed:
    """Vector3r to metres a second NED."""
    return VelocityNed(_finite(vector["x_val"]), _finite(vector["y_val"]), _finite(vector["z_val"]))


def orientation_of(quaternion: dict[str, float]) -> Quaternion:
    """Quaternionr to body-to-world rotation."""
    w, x, y, z = (_finite(quaternion[name]) for name in ("w_val", "x_val", "y_val", "z_val"))
    if abs(math.hypot(w, x, y, z) - 1) > _UNIT_TOLERANCE:
        raise ValueError(f"({w:.3g}, {x:.3g}, {y:.3g}, {z:.3g}) is no unit quaternion")
    return Quaternion(w, x, y, z)


def pose_of(pose: dict[str, Any]) -> Pose:
    """AirSim's Pose, or a KinematicsState, to ours."""
    return Pose(position_of(pose["position"]), orientation_of(pose["orientation"]))


def wire_pose(pose: Pose) -> dict[str, Any]:
    """Ours to AirSim's Pose."""
    p, q = pose.position, pose.orientation
    return {
        "position": {"x_val": p.north_m, "y_val": p.east_m, "z_val": p.down_m},
        "orientation": {"w_val": q.w, "x_val": q.x, "y_val": q.y, "z_val": q.z},
    }


def yaw_to(yaw_deg: float) -> dict[str, Any]:
    """YawMode: this heading, degrees clockwise from north."""
    return {"is_rate": False, "yaw_or_rate": yaw_deg}


def yaw_rate(rate_deg_s: float) -> dict[str, Any]:
    """YawMode: this rate, degrees a second clockwise."""
    return {"is_rate": True, "yaw_or_rate": rate_deg_s}


def image_request(camera_name: str, image_type: int, *, as_float: bool) -> dict[str, Any]:
    """ImageRequest for uncompressed pixels."""
    return {"camera_name": camera_name, "image_type": image_type, "pixels_as_float": as_float, "compress": False}


def check_image(response: dict[str, Any], camera_name: str) -> None:
    """`SimulatorError` for the empty images the simulator answers with when a camera is unknown or not ready."""
    if response["width"] < 1 or response["height"] < 1:
        message = response.get("message") or "the simulator sent an empty image"
        raise SimulatorError(f"camera {camera_name}: {message}", camera_id=camera_name)
