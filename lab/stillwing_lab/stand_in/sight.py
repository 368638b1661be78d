"""What a good model would see in a picture: which things of the scene it shows, where in it, and how far away.

It is told from the scene and the pose that the camera had, by rays to what is not hidden. Nothing of it outlives its
picture. It knows no engine and no missions.
"""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from stillwing_airfield.scenes.base import SceneObject, SceneSpec
from stillwing_airfield.world import World
from stillwing_common.types import Frame, Pose

_FARTHEST_M = 60.0
_SLACK_M = 0.4
_USUAL_HFOV_DEG = 90.0
_HEIGHTS = (0.9, 0.75, 0.5, 0.25)
"""Shares of a thing's height at which it is looked for."""
_UNSEEN_KINDS = ("ground", "wall")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A thing in a picture. `aside_deg`: to the right of its middle; `distance_m` over ground; `x`, `y` from 0 to 1."""

    name: str
    aside_deg: float
    distance_m: float
    x: float
    y: float


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A picture that somebody looks at: its frame and what it shows, the nearest first."""

    frame_id: str
    sightings: tuple[Sighting, ...] = ()

    def as_text(self) -> dict[str, Any]:
        """For a file."""
        return {"frame_id": self.frame_id, "sightings": [asdict(one) for one in self.sightings]}

    @classmethod
    def from_text(cls, written: Mapping[str, Any]) -> Self:
        """The same read again."""
        return cls(written["frame_id"], tuple(Sighting(**one) for one in written["sightings"]))


class Sight:
    """Looks at pictures of one scene. Any thread may call it."""

    def __init__(self, scene: SceneSpec) -> None:
        self.scene = scene
        self._world = World(scene)
        self._lock = threading.Lock()

    def look(self, frame: Frame) -> Picture:
        """What a frame shows; nothing where it does not say from where it was taken."""
        if frame.camera_pose is None:
            return Picture(frame.frame_id)
        shape = frame.image.height_px / frame.image.width_px if frame.image.width_px else 0.75
        half = math.tan(math.radians(frame.hfov_deg or _USUAL_HFOV_DEG) / 2)
        with self._lock:
            found = [
                sighting
                for thing in self.scene.objects
                if thing.kind not in _UNSEEN_KINDS
                and (sighting := self._sighting(thing, frame.camera_pose, half, half * shape)) is not None
            ]
        return Picture(frame.frame_id, tuple(sorted(found, key=lambda one: one.distance_m)))

    def _sighting(self, thing: SceneObject, pose: Pose, half_x: float, half_y: float) -> Sighting | None:
        start = self.scene.start_position_ned_m
        eye = tuple(
            of + at
            for of, at in zip(start, (pose.position.north_m, pose.position.east_m, pose.position.down_m), strict=True)
        )
        foot_north_m, foot_east_m, foot_down_m = thing.position_ned_m
        slack_m = _SLACK_M + max(thing.radius_m, math.hypot(*thing.size_m) / 2 if thing.size_m else 0.0)
        for height_m in _heights(thing):
            away = (foot_north_m - eye[0], foot_east_m - eye[1], foot_down_m - height_m - eye[2])
            forward_m, right_m, down_m = _in_camera(away, pose)
            distance_m = math.hypot(*away)
            if forward_m < 0.2 or distance_m > _FARTHEST_M:
                continue
            x, y = right_m / forward_m / half_x, down_m / forward_m / half_y
            if max(abs(x), abs(y)) > 1:
                continue
            hit_m = self._world.cast_ray(eye, away, distance_m + slack_m)
            if hit_m is not None and hit_m < distance_m - slack_m:
                continue
            aside_deg = math.degrees(math.atan2(right_m, forward_m))
            return Sighting(
                name_of(thing), round(aside_deg, 1), round(math.hypot(*away[:2]), 1), (x + 1) / 2, (y + 1) / 2
            )
        return None


def _heights(thing: SceneObject) -> Iterator[float]:
    if thing.kind == "sign":
        # It hangs: what is below its middle is the wall.
        yield thing.height_m - 0.6
        return
    for share in _HEIGHTS:
        yield share * thing.height_m


def _in_camera(away: Sequence[float], pose: Pose) -> tuple[float, float, float]:
    """A vector of the world in the camera's axes: forward, right, down."""
    turn = pose.orientation
    back = type(turn)(turn.w, -turn.x, -turn.y, -turn.z)
    return back.rotate(*away)


def name_of(thing: SceneObject) -> str:
    """As a person would call it: its colour, where it has one, and its kind."""
    return f"{thing.colour} {thing.kind}" if thing.colour else thing.kind
