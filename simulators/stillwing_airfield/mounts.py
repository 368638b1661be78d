"""Where cameras sit on a vehicle, AirSim's five default ones, and how its names for them are read. It draws nothing."""

from collections.abc import Collection
from dataclasses import dataclass

from stillwing_airfield.axes import quaternion_from_euler, rotation_matrix
from stillwing_airfield.flight.controller import Quadruple, Triple, VehicleState


@dataclass(frozen=True, slots=True)
class Mount:
    """A camera on the vehicle: metres forward, right, down of its underside; FRD→FRD orientation (w, x, y, z)."""

    offset_body_m: Triple
    orientation_wxyz: Quadruple = (1.0, 0.0, 0.0, 0.0)


def turned(roll_deg: float = 0.0, pitch_deg: float = 0.0, yaw_deg: float = 0.0) -> Quadruple:
    """Orientation (w, x, y, z) from yaw, then pitch (nose up), then roll."""
    w, x, y, z = quaternion_from_euler(roll_deg, pitch_deg, yaw_deg).tolist()
    return w, x, y, z


DEFAULT_CAMERA = "front_center"
DEFAULT_MOUNTS: dict[str, Mount] = {
    "front_center": Mount((0.25, 0.0, -0.06)),
    "front_right": Mount((0.25, 0.125, -0.06)),
    "front_left": Mount((0.25, -0.125, -0.06)),
    "bottom_center": Mount((0.0, 0.0, -0.02), turned(pitch_deg=-90)),
    "back_center": Mount((-0.25, 0.0, -0.06), turned(yaw_deg=180)),
}
_NUMBERS = dict(zip(("0", "1", "2", "3", "4"), DEFAULT_MOUNTS, strict=True))


def camera_name(name: str, known: Collection[str] = DEFAULT_MOUNTS) -> str | None:
    """The full name of one of the `known` cameras called by name, by number or by "", or None if there is none."""
    if name in known:
        return name
    full = _NUMBERS.get(name, name or DEFAULT_CAMERA)
    return full if full in known else None


def place_camera(state: VehicleState, mount: Mount) -> tuple[Triple, Quadruple]:
    """Position (NED m) and orientation (FRD→NED) of a camera on a vehicle in `state`."""
    north, east, down = state.position_ned_m
    dn, de, dd = (rotation_matrix(state.orientation_wxyz) @ mount.offset_body_m).tolist()
    return (north + dn, east + de, down + dd), multiply(state.orientation_wxyz, mount.orientation_wxyz)


def multiply(a: Quadruple, b: Quadruple) -> Quadruple:
    """Hamilton product: first `b`, then `a`."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )
