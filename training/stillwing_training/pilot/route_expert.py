"""An expert for scenes whose things are not all round: from anywhere, the way that the scene's geometry allows.

It knows where everything is and looks at no picture; whether its goal was seen is the caller's to judge.
"""

import math

import numpy as np

from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.scenes.route import Ground, RouteField, clearance_m
from stillwing_training.pilot.config import (
    CAMERA_AHEAD_M,
    SIGN,
    STOP_WITHIN_M,
    VEHICLE_RADIUS_M,
)
from stillwing_training.pilot.expert import (
    FORWARD,
    LEFT,
    REFUSED_HALF_WIDTH_M,
    REFUSED_WITHIN_M,
    RIGHT,
    STOP,
    Pose,
    straight_action,
    wrap_deg,
)

_AHEAD_M = 4.0
_ROOM_M = 0.6
_STOP_FACING_DEG = 40.0
_STRAIGHT_WITHIN_DEG = 11.0
"""More than half a turn: whoever has just turned is then well within, and does not turn back for a hair's breadth."""


class RouteExpert:
    """Steers for the farthest point of the way that lies ahead in the clear, to any beacon of the scene."""

    def __init__(self, scene: SceneSpec) -> None:
        """The way to each goal is worked out when it is first asked for."""
        self.scene = scene
        self.goals: dict[str, tuple[float, float]] = {
            thing.colour: thing.position_ned_m[:2] for thing in scene.of_kind("beacon") if thing.colour
        }
        if scene.of_kind("sign"):
            self.goals[SIGN] = scene.goal().position_ned_m[:2]
        self._ground = Ground(scene)
        self._fields: dict[tuple[float, float], RouteField] = {}

    def to_goal(self, pose: Pose, goal: str) -> tuple[float, float]:
        """Distance in metres and bearing in degrees (right positive) of a goal's beacon, which must exist."""
        return _polar(pose, self.goals[goal])

    def collides(self, pose: Pose, margin_m: float = VEHICLE_RADIUS_M) -> bool:
        """Whether a vehicle of that radius there touches anything."""
        return bool(clearance_m(self.scene.objects, (pose.x_m, pose.y_m))[0] < margin_m)

    def path_collides(self, pose: Pose, distance_m: float, margin_m: float = VEHICLE_RADIUS_M) -> bool:
        """Whether the straight way ahead of that length touches anything."""
        steps_m = np.linspace(0.0, distance_m, max(2, math.ceil(distance_m / 0.1)))
        return bool((clearance_m(self.scene.objects, _ahead(pose, steps_m)) < margin_m).any())

    def refused(self, pose: Pose) -> bool:
        """Whether a guard that looks along the corridor ahead would refuse to move forward."""
        steps_m = CAMERA_AHEAD_M + np.arange(0.1, REFUSED_WITHIN_M, 0.1)
        return bool((clearance_m(self.scene.objects, _ahead(pose, steps_m)) < REFUSED_HALF_WIDTH_M).any())

    def steer_deg(self, pose: Pose, goal: str) -> float:
        """Bearing (right positive) of the point of the way to steer for; the goal's own where no way leads."""
        here = (pose.x_m, pose.y_m)
        field = self._field(goal)
        if not field.reaches(here):
            return self.to_goal(pose, goal)[1]
        way = field.way(here, _AHEAD_M)
        best = way[min(3, len(way) - 1)]
        for point in reversed(way[4:]):
            if self._ground.is_clear(here, point, _ROOM_M):
                best = point
                break
        return _polar(pose, best)[1]

    def action(self, pose: Pose, goal: str, *, forward_refused: bool = False) -> int:
        """Index into `ACTIONS`; `RIGHT` where there is no such goal, never `FORWARD` with `forward_refused`."""
        if goal not in self.goals:
            return RIGHT
        distance_m, goal_bearing_deg = self.to_goal(pose, goal)
        if distance_m < STOP_WITHIN_M + (0.6 if forward_refused else 0.0):
            return STOP if abs(goal_bearing_deg) < _STOP_FACING_DEG else straight_action(goal_bearing_deg)
        bearing_deg = self.steer_deg(pose, goal)
        if abs(bearing_deg) <= _STRAIGHT_WITHIN_DEG and not forward_refused:
            return FORWARD
        return RIGHT if bearing_deg > 0 else LEFT

    def somewhere(self, rng: np.random.Generator) -> Pose:
        """A pose drawn from all from which a way leads to every goal."""
        free = np.argwhere(self._ground.free & (self._ground.room_m >= 0.9))
        while True:
            row, column = (int(part) for part in free[int(rng.integers(len(free)))])
            x_m, y_m = self._ground.centre((row, column))
            if all(self._field(goal).reaches((x_m, y_m)) for goal in self.goals):
                return Pose(x_m, y_m, float(rng.uniform(-180, 180)))

    def _field(self, goal: str) -> RouteField:
        place = self.goals[goal]
        if place not in self._fields:
            self._fields[place] = RouteField(self._ground, place)
        return self._fields[place]


def _polar(pose: Pose, place: tuple[float, float]) -> tuple[float, float]:
    x_m, y_m = place[0] - pose.x_m, place[1] - pose.y_m
    return math.hypot(x_m, y_m), wrap_deg(math.degrees(math.atan2(y_m, x_m)) - pose.yaw_deg)


def _ahead(pose: Pose, distances_m: np.ndarray) -> np.ndarray:
    yaw = math.radians(pose.yaw_deg)
    return np.stack([pose.x_m + distances_m * math.cos(yaw), pose.y_m + distances_m * math.sin(yaw)], axis=1)
