"""What a depth picture shows: whether a way is free, and which place in the world a pixel means.

Pure geometry, independent of any model: a pixel pointed at becomes a goal in metres here, and nowhere else. It knows
nothing of leases, time or cameras' links. Frames: world NED, body FRD; a camera looks along its own x axis, y right, z
down, and its depth is planar.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwing_bridge.core.commands import FlyTowards
from stillwing_bridge.core.judge.guards import (
    GuardSettings,
    Way,
    beyond,
    check_fence,
    check_unseen,
    checked_speed_m_s,
    finite,
    way_between,
)
from stillwing_bridge.core.judge.seen_frames import FrameRecord
from stillwing_bridge.core.types import Limits
from stillwing_bridge.core.vehicle import FlyTo, VehicleState
from stillwing_common.errors import InvalidInput, ObservationStale, Obstructed, SimulatorError
from stillwing_common.types import Pose, PositionNed, Quaternion

Vector = NDArray[np.float64]

_SMALLEST_ADVANCE_M = 0.2
# A point of the picture every 1/320 of its width: at 10 m they are 6 cm apart, a tenth of the corridor.
_COLUMNS = 320
# A pixel's ray is followed from the nearest to the farthest point that matters to a step, each sample 1 % farther.
_NEAREST_M = 0.05
_FARTHEST_M = 1000.0
_RAY_SAMPLES = 1000
_BORDER_FRACTION = 0.02


@dataclass(frozen=True, slots=True)
class DepthView:
    """A depth picture: `depth_m` (H, W) planar metres along the optical axis, and the pinhole camera that took it."""

    depth_m: NDArray[np.float32]
    camera_pose: Pose
    hfov_deg: float

    @property
    def half_extent(self) -> tuple[float, float]:
        """Tangents of half the horizontal and half the vertical field of view."""
        height, width = self.depth_m.shape
        half = math.tan(math.radians(self.hfov_deg) / 2)
        return half, half * height / width


def in_view(way: Way, view: DepthView, margin_m: float) -> bool:
    """Whether the way, with `margin_m` beyond its end, ends inside the picture."""
    end = _vector(way.at(way.length_m + margin_m)) - _vector(view.camera_pose.position)
    forward, right, down = _rotation(view.camera_pose.orientation).T @ end
    half_right, half_down = view.half_extent
    return bool(forward > 0.05 and abs(right) <= half_right * forward and abs(down) <= half_down * forward)


def free_length_m(way: Way, view: DepthView, settings: GuardSettings) -> float:
    """Metres the centre can go along `way` with the margin kept: the nearest point of the picture inside the corridor.

    `inf` if the corridor is free to the margin beyond the way's end. `SimulatorError` if the picture is no depth.
    """
    rows, columns = view.depth_m.shape
    stride = max(1, columns // _COLUMNS)
    depth_m = view.depth_m[::stride, ::stride].astype(np.float64)
    if depth_m.size == 0 or np.count_nonzero(~(depth_m > 0)) > 0.01 * depth_m.size:
        raise SimulatorError("the depth picture is empty or has no depth in it")
    half_right, half_down = view.half_extent
    right = ((np.arange(0, columns, stride) + 0.5) / columns * 2 - 1) * half_right
    down = ((np.arange(0, rows, stride) + 0.5) / rows * 2 - 1) * half_down
    rotation = _rotation(view.camera_pose.orientation)
    axis = rotation.T @ np.asarray(way.direction_ned)
    offset = rotation.T @ (_vector(view.camera_pose.position) - _vector(way.start))
    near = depth_m <= way.length_m + settings.margin_m + settings.corridor_radius_m + 1.0
    row, column = np.nonzero(near)
    z = depth_m[row, column]
    points = np.stack((z, z * right[column], z * down[row]), axis=1) + offset
    along = points @ axis
    across = np.linalg.norm(points - along[:, None] * axis, axis=1)
    inside = along[(across < settings.corridor_radius_m) & (along > 0) & (along < way.length_m + settings.margin_m)]
    if inside.size == 0:
        return math.inf
    return max(0.0, float(inside.min()) - settings.margin_m)


def check_way(way: Way, view: DepthView, settings: GuardSettings) -> None:
    """`Obstructed` (with the free distance) unless the whole way is free."""
    free_m = free_length_m(way, view, settings)
    if free_m < way.length_m:
        raise Obstructed(
            f"free for {free_m:.1f} m of {way.length_m:.1f} m",
            distance_m=f"{free_m:.2f}",
            wanted_m=f"{way.length_m:.2f}",
        )


def pixel_direction(u: float, v: float, frame: FrameRecord) -> tuple[float, float, float]:
    """Unit vector, NED, from the camera of `frame` through its point (u, v), both in [0, 1] from the top left."""
    for name, value in (("u", u), ("v", v)):
        if not 0 <= value <= 1:
            raise InvalidInput(f"{name} is between 0 and 1", field=name, value=value)
    if frame.camera_pose is None:
        raise ObservationStale("the camera's place at that frame is unknown", frame_id=frame.frame_id)
    half = math.tan(math.radians(frame.hfov_deg) / 2)
    right, down = (2 * u - 1) * half, (2 * v - 1) * half * frame.height_px / frame.width_px
    scale = 1 / math.sqrt(1 + right * right + down * down)
    return frame.camera_pose.orientation.rotate(scale, right * scale, down * scale)


def pixel_point(u: float, v: float, frame: FrameRecord, view: DepthView) -> PositionNed | None:
    """The point of the world that shows at (u, v) of `frame`, found by the newer `view`; None for the sky.

    The ray through the pixel is followed until it is as far as what `view` sees there, so the vehicle may have drifted
    since the frame. `ObservationStale` if none of the ray is in view any more.
    """
    direction = np.asarray(pixel_direction(u, v, frame))
    assert frame.camera_pose is not None
    origin = _vector(frame.camera_pose.position)
    reach_m = np.geomspace(_NEAREST_M, _FARTHEST_M, _RAY_SAMPLES)
    local = (origin + reach_m[:, None] * direction - _vector(view.camera_pose.position)) @ _rotation(
        view.camera_pose.orientation
    )
    half_right, half_down = view.half_extent
    height, width = view.depth_m.shape
    z = np.maximum(local[:, 0], 1e-6)
    column = (local[:, 1] / z / half_right + 1) / 2 * width
    row = (local[:, 2] / z / half_down + 1) / 2 * height
    # A pixel at the border of a frame may show half a pixel beyond that of the next.
    slack = 0.5 + _BORDER_FRACTION * width
    inside = (local[:, 0] > 1e-6) & (np.abs(column - width / 2) <= width / 2 + slack)
    inside &= np.abs(row - height / 2) <= height / 2 + slack
    if not inside[-1]:
        raise ObservationStale("the vehicle turned since; the point is out of its view", frame_id=frame.frame_id)
    seen_m = view.depth_m[
        np.clip(row.astype(int), 0, height - 1),
        np.clip(column.astype(int), 0, width - 1),
    ]
    behind = np.flatnonzero(inside & (local[:, 0] >= seen_m) & (seen_m > 0))
    if behind.size == 0:
        return None
    first = int(behind[0])
    # Along the ray the surface lies where its planar depth is the one that is seen; samples are too coarse for that.
    along_m = reach_m[first] * float(seen_m[first]) / float(local[first, 0])
    at_m = min(max(along_m, reach_m[first - 1] if first else 0.0), reach_m[first])
    return PositionNed(*(origin + at_m * direction))


def lift(
    command: FlyTowards,
    frame: FrameRecord,
    state: VehicleState,
    view: DepthView,
    limits: Limits,
    settings: GuardSettings,
) -> FlyTo:
    """The goal a pixel target means: towards the point that shows there, at most `step_m`, short of all in the way.

    The way is cut at the margin before what the depth shows, at the lowest and the highest altitude, and, where its end
    is out of view (a target at the border of the picture), at the longest unseen step. `Obstructed` if there is not
    even room for a small advance.
    """
    if not 0 < finite("step_m", command.step_m) <= limits.max_step_m:
        raise beyond("step_m", command.step_m, 0, limits.max_step_m)
    here = state.pose.position
    target = pixel_point(command.u, command.v, frame, view)
    if target is None:
        assert frame.camera_pose is not None
        direction = pixel_direction(command.u, command.v, frame)
        target = Way(frame.camera_pose.position, direction, _FARTHEST_M).at(_FARTHEST_M)
    whole = way_between(here, target)
    if whole is None:
        raise Obstructed("the target is here", distance_m="0.00", wanted_m=f"{command.step_m:.2f}")
    way = Way(here, whole.direction_ned, min(command.step_m, whole.length_m))
    length_m = min(way.length_m, free_length_m(way, view, settings))
    down = way.direction_ned[2]
    if down > 1e-6:
        length_m = min(length_m, max(0.0, -here.down_m - limits.min_altitude_m) / down)
    elif down < -1e-6:
        length_m = min(length_m, max(0.0, limits.max_altitude_m + here.down_m) / -down)
    speed_m_s = checked_speed_m_s(command.speed_m_s, limits, settings)
    course = Way(here, way.direction_ned, length_m)
    if not in_view(course, view, settings.margin_m):
        length_m = min(length_m, limits.max_unseen_step_m)
        course = Way(here, way.direction_ned, length_m)
        check_unseen(FlyTo(course.at(length_m), speed_m_s), course, 0.0, limits)
    if length_m < min(_SMALLEST_ADVANCE_M, command.step_m):
        raise Obstructed(f"free for {length_m:.1f} m", distance_m=f"{length_m:.2f}", wanted_m=f"{command.step_m:.2f}")
    goal = course.at(length_m)
    check_fence(goal, here, limits)
    return FlyTo(goal, speed_m_s)


def _vector(position: PositionNed) -> Vector:
    return np.array([position.north_m, position.east_m, position.down_m])


def _rotation(q: Quaternion) -> Vector:
    return np.array([q.rotate(1, 0, 0), q.rotate(0, 1, 0), q.rotate(0, 0, 1)]).T
