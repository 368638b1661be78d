"""A picture of scenes side by side: each from above, with the start and the goal marked, and from the pilot's place.

It knows nothing of flying.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from stillwing_airfield.camera import Camera, CameraPose
from stillwing_airfield.frames import quaternion_from_euler
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


def _draw(scene: SceneSpec) -> tuple[Image.Image, Image.Image]:
    """The scene from above, north up, and what is seen from 2 m above the start."""
    world = World(scene)
    state = world.copy_render_state()
    start, goal = scene.start_position_ned_m, scene.goal().position_ned_m
    feet = [start[:2], *(thing.position_ned_m[:2] for thing in scene.of_kind("beacon"))]
    low, high = np.min(feet, axis=0), np.max(feet, axis=0)
    middle, half_m = (low + high) / 2, float(np.max(high - low)) / 2 + 4.0
    # From high up with a long lens things hide little of the ground; beyond some 80 m there is only sky.
    height_m = min(half_m / math.tan(math.radians(_NARROW_DEG / 2)), _HIGHEST_M)
    hfov_deg = 2 * math.degrees(math.atan(half_m / height_m))
    down = _pose((float(middle[0]), float(middle[1]), -height_m), pitch_deg=-90)
    ahead = _pose((start[0], start[1], start[2] - _EYE_M), yaw_deg=scene.start_yaw_deg)
    with Camera(world, _TILE_PX, _TILE_PX, hfov_deg, samples=4) as camera:
        from_above = Image.fromarray(camera.render(state, down)["scene"])
    with Camera(world, *_VIEW_PX, samples=4) as camera:
        first_view = Image.fromarray(camera.render(state, ahead)["scene"])
    per_m = _TILE_PX / (2 * half_m)

    def pixel(place: Sequence[float]) -> tuple[float, float]:
        return _TILE_PX / 2 + (place[1] - middle[1]) * per_m, _TILE_PX / 2 - (place[0] - middle[0]) * per_m

    _mark(ImageDraw.Draw(from_above), pixel(start), pixel(goal), math.radians(scene.start_yaw_deg))
    return from_above, first_view


def _pose(position: tuple[float, float, float], pitch_deg: float = 0.0, yaw_deg: float = 0.0) -> CameraPose:
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
