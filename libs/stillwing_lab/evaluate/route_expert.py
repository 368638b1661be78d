"""An expert for scenes whose things are not all round: it follows the route that the scene's geometry allows.

It knows where everything is and what the bridge refused, and looks at no picture.
"""

import math

from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.scenes.route import is_clear, plan_route
from stillwing_lab.pilot.config import STOP_WITHIN_M, TURN_DEG
from stillwing_lab.pilot.expert import FORWARD, LEFT, RIGHT, STOP, Pose, straight_action, wrap_deg

_AHEAD_M = 4.0
_ROOM_M = 0.6


class RouteExpert:
    """Steers for the farthest point of the route that lies ahead in the clear."""

    def __init__(self, scene: SceneSpec) -> None:
        """Raises `NoRoute` where no way leads to the goal."""
        self._scene = scene
        self._route = plan_route(scene)
        self._passed = 0

    def action(self, pose: Pose, *, forward_refused: bool = False) -> int:
        """Index into `ACTIONS`; never `FORWARD` with `forward_refused`."""
        goal_x_m, goal_y_m, _ = self._scene.goal().position_ned_m
        goal_bearing_deg = wrap_deg(math.degrees(math.atan2(goal_y_m - pose.y_m, goal_x_m - pose.x_m)) - pose.yaw_deg)
        near_m = STOP_WITHIN_M + (0.6 if forward_refused else 0.0)
        if math.dist((pose.x_m, pose.y_m), (goal_x_m, goal_y_m)) < near_m:
            return STOP if abs(goal_bearing_deg) < 40 else straight_action(goal_bearing_deg)
        x_m, y_m = self._target(pose)
        bearing_deg = wrap_deg(math.degrees(math.atan2(y_m - pose.y_m, x_m - pose.x_m)) - pose.yaw_deg)
        if abs(bearing_deg) <= TURN_DEG / 2 and not forward_refused:
            return FORWARD
        return RIGHT if bearing_deg > 0 else LEFT

    def _target(self, pose: Pose) -> tuple[float, float]:
        """The farthest point of the route, not farther than some metres, to which the straight way is clear."""
        here = (pose.x_m, pose.y_m)
        ahead = range(self._passed, len(self._route))
        self._passed = min(ahead, key=lambda index: math.dist(here, self._route[index]))
        best = min(self._passed + 2, len(self._route) - 1)
        for index in range(best, len(self._route)):
            if math.dist(here, self._route[index]) > _AHEAD_M:
                break
            if is_clear(self._scene, here, self._route[index], _ROOM_M):
                best = index
        return self._route[best]
