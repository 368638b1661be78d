"""The expert: from the truth of a scene to the action a careful pilot would take, by geometry on the level of flight.

It knows the scene's objects, not its pictures: whether a beacon was seen, and so may be flown to, is the caller's to
judge.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwing_agent.core.prompting.prompts import WHERES
from stillwing_airfield.scenes import SceneSpec
from stillwing_training.pilot.config import ACTIONS, STEP_M, STOP_WITHIN_M, TURN_DEG, VEHICLE_RADIUS_M

FORWARD, LEFT, RIGHT, STOP = range(len(ACTIONS))
MIRRORED_ACTION = np.array([FORWARD, RIGHT, LEFT, STOP])
"""What each action is in a mirror."""

AHEAD, WHERE_LEFT, WHERE_RIGHT, NONE = range(len(WHERES))

_LOOKAHEAD_M = 3.5
_SIDE_MARGIN_M = 0.65
_END_MARGIN_M = 0.5
REFUSED_WITHIN_M = 1.5
REFUSED_HALF_WIDTH_M = 0.45


def wrap_deg(angle_deg: float) -> float:
    """The same angle in [-180, 180)."""
    return (angle_deg + 180.0) % 360.0 - 180.0


@dataclass(frozen=True)
class Pose:
    """Where the vehicle is on the level of flight: north, east, heading clockwise from north."""

    x_m: float
    y_m: float
    yaw_deg: float

    def forward(self, distance_m: float) -> "Pose":
        """This pose moved along its heading."""
        yaw = math.radians(self.yaw_deg)
        return Pose(self.x_m + distance_m * math.cos(yaw), self.y_m + distance_m * math.sin(yaw), self.yaw_deg)

    def turned(self, angle_deg: float) -> "Pose":
        """This pose turned clockwise."""
        return Pose(self.x_m, self.y_m, wrap_deg(self.yaw_deg + angle_deg))


class Expert:
    """Knows where everything in one scene is."""

    def __init__(self, scene: SceneSpec) -> None:
        things = [thing for thing in scene.objects if thing.radius_m > 0]
        self._centre_m = np.array([thing.position_ned_m[:2] for thing in things])
        self._radius_m = np.array([thing.radius_m for thing in things])
        self.goals: dict[str, int] = {
            thing.colour: index for index, thing in enumerate(things) if thing.kind == "beacon" and thing.colour
        }

    def to_goal(self, pose: Pose, colour: str) -> tuple[float, float]:
        """Distance in metres and bearing in degrees (right positive) of the beacon of that colour, which must exist."""
        x_m, y_m = self._centre_m[self.goals[colour]] - (pose.x_m, pose.y_m)
        return math.hypot(x_m, y_m), wrap_deg(math.degrees(math.atan2(y_m, x_m)) - pose.yaw_deg)

    def collides(self, pose: Pose, margin_m: float = VEHICLE_RADIUS_M) -> bool:
        """Whether a vehicle of that radius there touches anything."""
        distance_m = np.hypot(*(self._centre_m - (pose.x_m, pose.y_m)).T)
        return bool(np.any(distance_m < self._radius_m + margin_m))

    def path_collides(self, pose: Pose, distance_m: float, margin_m: float = VEHICLE_RADIUS_M) -> bool:
        """Whether the straight way ahead of that length touches anything."""
        steps = np.linspace(0.0, distance_m, max(2, math.ceil(distance_m / 0.1)))
        return any(self.collides(pose.forward(float(step)), margin_m) for step in steps)

    def refused(self, pose: Pose) -> bool:
        """Whether a guard that looks along the corridor ahead would refuse to move forward."""
        ahead_m, aside_m = self._along(pose)
        # Depth is measured from the camera to the near surface, so the distance counted here is to that surface.
        near_m = ahead_m - np.sqrt(np.maximum(self._radius_m**2 - np.minimum(np.abs(aside_m), self._radius_m) ** 2, 0))
        within = (np.abs(aside_m) < self._radius_m + REFUSED_HALF_WIDTH_M) & (ahead_m > 0)
        return bool(np.any(within & (near_m < REFUSED_WITHIN_M)))

    def action(self, pose: Pose, colour: str, *, forward_refused: bool = False) -> int:
        """Index into `ACTIONS` for a pilot who knows where the beacon of that colour is; `RIGHT` where there is none.

        The heading nearest to the beacon's that is clear for some way is turned to, fifteen degrees at a time. With
        `forward_refused` the answer is never `FORWARD`.
        """
        if colour not in self.goals:
            return RIGHT
        distance_m, bearing_deg = self.to_goal(pose, colour)
        close_m = STOP_WITHIN_M + (0.6 if forward_refused else 0.0)
        if distance_m < close_m:
            if abs(bearing_deg) < 40:
                return STOP
            return RIGHT if bearing_deg > 0 else LEFT
        turns = self._best_turns(pose, colour, distance_m, bearing_deg, skip_ahead=forward_refused)
        if turns == 0:
            return FORWARD
        return RIGHT if turns > 0 else LEFT

    def steer_deg(self, pose: Pose, colour: str) -> float:
        """Bearing (right positive) to fly at for the beacon of that colour: its own where the way there is clear."""
        distance_m, bearing_deg = self.to_goal(pose, colour)
        turns = self._best_turns(pose, colour, distance_m, bearing_deg, skip_ahead=False)
        return bearing_deg if abs(turns * TURN_DEG - bearing_deg) <= TURN_DEG else turns * TURN_DEG

    def somewhere(self, rng: np.random.Generator) -> Pose:
        """A pose anywhere in the meadow with room round it."""
        while True:
            pose = Pose(rng.uniform(-11, 11), rng.uniform(-11, 11), rng.uniform(-180, 180))
            if not self.collides(pose, margin_m=0.6):
                return pose

    def _best_turns(self, pose: Pose, colour: str, distance_m: float, bearing_deg: float, *, skip_ahead: bool) -> int:
        """How many turns to the right bring the best clear heading; 0 is straight on."""
        best_cost, best = math.inf, 1
        length_m = min(distance_m - 0.8, _LOOKAHEAD_M)
        for turns in range(-12, 12):
            if skip_ahead and turns == 0:
                continue
            # The dearer half of a tie between both ways round an obstacle must not flip with every metre flown.
            cost = abs(wrap_deg(bearing_deg - turns * TURN_DEG)) + 1.2 * abs(turns)
            if cost < best_cost and self._clear(pose.turned(turns * TURN_DEG), length_m, skip=self.goals[colour]):
                best_cost, best = cost, turns
        return best

    def _clear(self, pose: Pose, length_m: float, skip: int) -> bool:
        ahead_m, aside_m = self._along(pose)
        beside = (ahead_m > 0) & (ahead_m < length_m) & (np.abs(aside_m) < self._radius_m + _SIDE_MARGIN_M)
        at_end = (ahead_m >= length_m) & (np.hypot(ahead_m - length_m, aside_m) < self._radius_m + _END_MARGIN_M)
        blocked = beside | at_end
        blocked[skip] = False
        return not bool(blocked.any())

    def _along(self, pose: Pose) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Each thing's centre, metres ahead and metres to the right."""
        yaw = math.radians(pose.yaw_deg)
        offset_m = self._centre_m - (pose.x_m, pose.y_m)
        return offset_m @ (math.cos(yaw), math.sin(yaw)), offset_m @ (-math.sin(yaw), math.cos(yaw))


def straight_action(bearing_deg: float) -> int:
    """Index into `ACTIONS` of the way to a beacon at that bearing (right positive) where nothing is in between."""
    if abs(bearing_deg) <= TURN_DEG / 2:
        return FORWARD
    return RIGHT if bearing_deg > 0 else LEFT


def where(bearing_deg: float, visible: bool) -> int:
    """Index into `WHERES` of a beacon at that bearing (right positive)."""
    if not visible:
        return NONE
    if abs(bearing_deg) < 10:
        return AHEAD
    return WHERE_RIGHT if bearing_deg > 0 else WHERE_LEFT


def apply_action(pose: Pose, action: int, step_m: float = STEP_M, turn_deg: float = TURN_DEG) -> Pose:
    """Where an action ends; `STOP` stays."""
    if action == FORWARD:
        return pose.forward(step_m)
    if action in (LEFT, RIGHT):
        return pose.turned(turn_deg if action == RIGHT else -turn_deg)
    return pose
