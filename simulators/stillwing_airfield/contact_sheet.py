"""A picture of scenes side by side: each from above, with the start and the goal marked, and from the pilot's place.

It knows nothing of flying.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stillwing_airfield.axes import quaternion_from_euler
from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.scenes.base import SceneSpec, build_scene
from stillwing_airfield.world import World

_TILE_PX, _VIEW_PX = 240, (320, 240)
_LABEL_PX = 40
_NARROW_DEG, _HIGHEST_M = 24.0, 70.0
_EYE_M = 2.0
_PAPER, _INK = (250, 250, 248), (30, 32, 36)


def draw_sheet(
    names: Sequence[str], seeds: Sequence[int], out: Path, on_tile: Callable[[], None] = lambda: None
) -> None:
    """Write a PNG with a row for each scene and, for each seed, the map and the first view. Raises `NoGraphics`."""
    cell_px = _TILE_PX + _VIEW_PX[0] + 8
    row_px = _TILE_PX + _LABEL_PX + 8
    sheet = Image.new("RGB", (cell_px * len(seeds), row_px * len(names)), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for row, name in enumerate(names):
        for column, seed in enumerate(seeds):
            scene = build_scene(name, seed)
            x, y = column * cell_px, row * row_px
            pen.text((x + 6, y + 3), f"{scene.name}, seed {seed}\n{scene.mission}", fill=_INK, font=font)
            from_above, first_view = _draw(scene)
            sheet.paste(from_above, (x + 2, y + _LABEL_PX))
            sheet.paste(first_view, (x + _TILE_PX + 4, y + _LABEL_PX))
            on_tile()
    sheet.save(out)


@dataclass(frozen=True, slots=True)
class Map:
    """A scene from above, north up: the picture, the place (north, east) in its middle, its scale."""

    image: Image.Image
    middle_m: tuple[float, float]
    px_per_m: float

    def pixel(self, place_m: Sequence[float]) -> tuple[float, float]:
        """Column and row of a place (north, east)."""
        half_px = self.image.width / 2
        return (
            half_px + (place_m[1] - self.middle_m[1]) * self.px_per_m,
            half_px - (place_m[0] - self.middle_m[0]) * self.px_per_m,
        )


def draw_map(world: World, size_px: int, also_m: Sequence[Sequence[float]] = ()) -> Map:
    """The start, every beacon and the places `also_m` (north, east) from above. Raises `NoGraphics`."""
    scene = world.scene
    feet = [scene.start_position_ned_m[:2], *(thing.position_ned_m[:2] for thing in scene.of_kind("beacon"))]
    places = np.array([*feet, *also_m])
    low, high = places.min(axis=0), places.max(axis=0)
    middle, half_m = (low + high) / 2, float(np.max(high - low)) / 2 + 4.0
    # From high up with a long lens things hide little of the ground; beyond some 80 m there is only sky.
    height_m = min(half_m / math.tan(math.radians(_NARROW_DEG / 2)), _HIGHEST_M)
    hfov_deg = 2 * math.degrees(math.atan(half_m / height_m))
    down = level_pose((float(middle[0]), float(middle[1]), -height_m), pitch_deg=-90)
    with Camera(world, size_px, size_px, hfov_deg, samples=4) as camera:
        image = Image.fromarray(camera.render(world.copy_render_state(), down)["scene"])
    return Map(image, (float(middle[0]), float(middle[1])), size_px / (2 * half_m))


def _draw(scene: SceneSpec) -> tuple[Image.Image, Image.Image]:
    """The scene from above, north up, and what is seen from 2 m above the start."""
    world = World(scene)
    start, goal = scene.start_position_ned_m, scene.goal().position_ned_m
    ahead = level_pose((start[0], start[1], start[2] - _EYE_M), yaw_deg=scene.start_yaw_deg)
    from_above = draw_map(world, _TILE_PX)
    with Camera(world, *_VIEW_PX, samples=4) as camera:
        first_view = Image.fromarray(camera.render(world.copy_render_state(), ahead)["scene"])
    pen = ImageDraw.Draw(from_above.image)
    _mark(pen, from_above.pixel(start), from_above.pixel(goal), math.radians(scene.start_yaw_deg))
    return from_above.image, first_view


def level_pose(position: tuple[float, float, float], pitch_deg: float = 0.0, yaw_deg: float = 0.0) -> CameraPose:
    """A camera that is not rolled, at a place in NED metres."""
    w, x, y, z = quaternion_from_euler(pitch_deg=pitch_deg, yaw_deg=yaw_deg).tolist()
    return CameraPose(position, (w, x, y, z))


def _mark(
    pen: ImageDraw.ImageDraw, start_px: tuple[float, float], goal_px: tuple[float, float], yaw_rad: float
) -> None:
    """An arrow head at the start, pointing along the heading there, and a ring round the goal."""
    x, y = start_px
    head = [
        (x + long_px * math.sin(yaw_rad + turn), y - long_px * math.cos(yaw_rad + turn))
        for turn, long_px in ((0.0, 13), (2.5, 9), (-2.5, 9))
    ]
    pen.polygon(head, fill=(255, 255, 255), outline=_INK)
    x, y = goal_px
    pen.ellipse((x - 13, y - 13, x + 13, y + 13), outline=(255, 255, 255), width=3)
