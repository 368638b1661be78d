"""Twelve pictures of a meadow with a known thing in each, drawn by airfield's camera, and where it is, pixel by pixel.

It knows nothing of models.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.contact_sheet import level_pose
from stillwing_airfield.scenes import build_scene
from stillwing_airfield.scenes.base import SceneObject
from stillwing_airfield.world import World

WIDTH_PX, HEIGHT_PX = 640, 480
PICTURES = 12
_SCENE, _SEED = "meadow", 7
_COARSE = 4
"""Views are sought in pictures so many times as small."""

_LEAST_SHARE = 0.01
"""Of the picture's pixels: a thing that takes fewer is too small to be asked for."""

_ASIDE = 0.12
"""Of the width: a thing is at least so far from the picture's middle."""

_EYE_M = 1.5
_MOST_TRIES = 400


@dataclass(frozen=True, slots=True, eq=False)
class KnownPicture:
    """`pixels` uint8[rows, columns, 3]; `mask` bool[rows, columns]: the thing that `words` name."""

    pixels: npt.NDArray[np.uint8]
    words: str
    mask: npt.NDArray[np.bool_]

    def middle(self) -> tuple[float, float]:
        """The thing's middle, as shares of width and height."""
        rows, columns = np.nonzero(self.mask)
        return (float(columns.mean()) + 0.5) / self.mask.shape[1], (float(rows.mean()) + 0.5) / self.mask.shape[0]

    def miss(self, right: float, down: float) -> float:
        """How far a place, in shares of width and height, is from the thing's nearest pixel; in shares of the width."""
        rows, columns = np.nonzero(self.mask)
        height_px, width_px = self.mask.shape
        away_px = np.hypot(columns + 0.5 - right * width_px, rows + 0.5 - down * height_px)
        return max(0.0, float(away_px.min()) - 1.0) / float(width_px)


def known_pictures() -> list[KnownPicture]:
    """Twelve of them, the same each time; raises NoGraphics."""
    scene = build_scene(_SCENE, _SEED)
    world = World(scene)
    state = world.copy_render_state()
    with Camera(world, WIDTH_PX // _COARSE, HEIGHT_PX // _COARSE) as camera:
        views = []
        for thing, pose in _views(scene.of_kind("beacon")):
            seen = camera.render(state, pose, ("segmentation",))["segmentation"] == scene.objects.index(thing)
            if _is_whole(seen):
                views.append((thing, pose))
            if len(views) == PICTURES:
                break
    found = []
    with Camera(world, WIDTH_PX, HEIGHT_PX, samples=4) as camera:
        for thing, pose in views:
            shown = camera.render(state, pose, ("scene", "segmentation"))
            mask = shown["segmentation"] == scene.objects.index(thing)
            found.append(KnownPicture(shown["scene"], f"the {thing.colour} ball on a pole", mask))
    return found


def _views(beacons: tuple[SceneObject, ...]) -> Iterator[tuple[SceneObject, CameraPose]]:
    """A beacon in turn, and a camera that looks about its way from some metres off."""
    draw = np.random.default_rng(5)
    for turn in range(_MOST_TRIES):
        thing = beacons[turn % len(beacons)]
        bearing, away_m = draw.uniform(0, 2 * math.pi), draw.uniform(4, 9)
        north_m = thing.position_ned_m[0] - away_m * math.cos(bearing)
        east_m = thing.position_ned_m[1] - away_m * math.sin(bearing)
        yaw_deg = math.degrees(bearing) + draw.uniform(-38, 38)
        yield thing, level_pose((north_m, east_m, -_EYE_M), draw.uniform(-12, 12), yaw_deg)


def _is_whole(mask: npt.NDArray[np.bool_]) -> bool:
    """Whether it is large enough, cut off nowhere but at the bottom, and not where any model would point first."""
    if mask.mean() < _LEAST_SHARE or mask[0].any() or mask[:, 0].any() or mask[:, -1].any():
        return False
    middle: float = np.nonzero(mask)[1].mean() / mask.shape[1]
    return bool(abs(middle - 0.5) > _ASIDE)
