"""`maze`: a corridor to a junction, and a sign, seen only at the start, that tells which way to turn there.

The vehicle stands with its back to the corridor: the first picture, which a streaming memory keeps for good, does not
show the sign, so that only what is kept of later ones can tell the turn.

It knows only where things stand.
"""

import colorsys
import math

import numpy as np

from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.scenes.parts import rgb
from stillwing_airfield.scenes.site import Site
from stillwing_common.errors import InvalidInput

SIGN_SIDES: dict[str, int] = {"red": -1, "blue": 1}
"""Where each colour of sign sends: -1 left, 1 right."""

LEAST_CORRIDOR_M, MOST_CORRIDOR_M = 4.0, 200.0
MISSION = "Remember the sign: red turns left, blue turns right. Then fly to the beacon."

_SEED_SPACE = 0x5EED_0004
_HALF_WIDTH_M = 1.5
_JUNCTION_M = 3.6
_ARM_M = 8.0
_WALL_HEIGHT_M, _WALL_M = 3.2, 0.2
_BEACON_AT_M = 6.2
_SIGN_AT_M = 2.6


def maze(seed: int, *, corridor_m: float | None = None, sign: float = 1.0) -> SceneSpec:
    """A maze drawn from `seed`. `corridor_m` is the way from the start to the junction, drawn from 4 to 12 if None.

    `sign=0` leaves the sign away and all else as it was: whoever still turns right more often than by chance knows it
    from elsewhere. Raises `InvalidInput` for a corridor below 4 or above 200 m.
    """
    rng = np.random.default_rng([_SEED_SPACE, seed])
    drawn_m = round(float(rng.uniform(4, 12)), 1)
    length_m = drawn_m if corridor_m is None else corridor_m
    if not LEAST_CORRIDOR_M <= length_m <= MOST_CORRIDOR_M:
        raise InvalidInput(f"corridor_m is {LEAST_CORRIDOR_M:g} to {MOST_CORRIDOR_M:g}", field="corridor_m")
    site = Site(rng, float(rng.uniform(-180, 180)), ground_half_m=240)
    colour = "red" if rng.random() < 0.5 else "blue"
    wall = colorsys.hsv_to_rgb(rng.uniform(0.05, 0.6), rng.uniform(0.05, 0.3), rng.uniform(0.8, 1.0))
    _build_walls(site, length_m, f'material="wall" rgba="{rgb(wall)} 1"')
    hung = 1 if rng.random() < 0.5 else -1
    if sign:
        site.add_box(
            "sign",
            "sign",
            _SIGN_AT_M,
            hung * (_HALF_WIDTH_M - 0.03),
            (0.9, 0.06, 1.2),
            f'material="{colour}" contype="0" conaffinity="0"',
            colour=colour,
            bottom_m=1.3,
        )
    beacons = ["yellow", "green"] if rng.random() < 0.5 else ["green", "yellow"]
    goal_colour = beacons[0]
    for beacon, side in zip(beacons, (SIGN_SIDES[colour], -SIGN_SIDES[colour]), strict=True):
        site.add_beacon(beacon, length_m + _JUNCTION_M / 2, side * _BEACON_AT_M, height_m=3.0, ball_m=0.55)
    start_yaw_deg = math.remainder(site.heading_deg + 180.0 + float(rng.uniform(-20, 20)), 360.0)
    given = [f"corridor_m={corridor_m:g}"] if corridor_m is not None else []
    name = ",".join(["maze", *given, *([] if sign else ["sign=0"])])
    texture = (
        '    <texture name="wall" type="cube" builtin="flat" mark="random" random="0.06" rgb1="0.9 0.9 0.9" '
        'rgb2="0.9 0.9 0.9" markrgb="0.6 0.6 0.6" width="64" height="64"/>\n'
        '    <material name="wall" texture="wall" specular="0" shininess="0"/>'
    )
    return site.finish(name, seed, goal_colour, MISSION, start_yaw_deg, texture)


def _build_walls(site: Site, length_m: float, paint: str) -> None:
    """The corridor from behind the start, and the two arms across its end; nothing is open but the sky."""
    back_m, thick = -1.8, _WALL_M

    def wall(name: str, ahead_m: float, right_m: float, along_m: float, across_m: float) -> None:
        site.add_box(name, "wall", ahead_m, right_m, (along_m, across_m, _WALL_HEIGHT_M), paint)

    for side, word in ((-1, "left"), (1, "right")):
        middle = side * (_HALF_WIDTH_M + thick / 2)
        wall(f"wall_{word}", (back_m + length_m) / 2, middle, length_m - back_m, thick)
        near = side * (_HALF_WIDTH_M + _ARM_M) / 2
        wall(f"wall_near_{word}", length_m - thick / 2, near + side * thick / 2, thick, _ARM_M - _HALF_WIDTH_M)
        end = side * (_ARM_M + thick / 2)
        wall(f"wall_end_{word}", length_m + _JUNCTION_M / 2, end, _JUNCTION_M + 2 * thick, thick)
    wall("wall_back", back_m - thick / 2, 0.0, thick, 2 * _HALF_WIDTH_M + 2 * thick)
    wall("wall_far", length_m + _JUNCTION_M + thick / 2, 0.0, thick, 2 * _ARM_M + 2 * thick)
