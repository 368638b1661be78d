"""`street`: a corridor between buildings, with vans, lamps and trees in it. It knows only where things stand."""

import colorsys
import math

import numpy as np

from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.scenes.parts import BEACON_COLOURS, rgb
from stillwing_airfield.scenes.site import Site

_SEED_SPACE = 0x5EED_0002
_BEHIND_M = 8.0
_LENGTH_M = 32.0
_DEPTH_M = 7.0
_FACADES = 3


def street(seed: int) -> SceneSpec:
    """A street drawn from `seed`: the goal stands 11 to 24 m down it, beyond something in the way.

    Beside whatever stands in the way at least 2 m are free, and the goal's ball shows above or beside it.
    """
    rng = np.random.default_rng([_SEED_SPACE, seed])
    site = Site(rng, float(rng.uniform(-180, 180)), ground="road")
    half_m = float(rng.uniform(4.2, 5.5))
    _build_sides(site, half_m)
    beacons = _place_beacons(rng, half_m)
    goal_colour = next(iter(beacons))
    for colour, (ahead_m, right_m) in beacons.items():
        site.add_beacon(colour, ahead_m, right_m)
    _furnish(site, half_m, beacons, beacons[goal_colour])
    start_yaw_deg = math.remainder(site.heading_deg + float(rng.uniform(-35, 35)), 360.0)
    mission = f"Fly to the {goal_colour} beacon."
    return site.finish("street", seed, goal_colour, mission, start_yaw_deg, _facades_xml(rng))


def _build_sides(site: Site, half_m: float) -> None:
    """A row of buildings on each side, and one across each end."""
    rng = site.rng
    number = 0
    for side in (-1, 1):
        at_m = -_BEHIND_M
        while at_m < _LENGTH_M:
            length_m = float(rng.uniform(6, 11))
            back_m, height_m = float(rng.uniform(0, 0.6)), float(rng.uniform(5, 13))
            site.add_box(
                f"building_{number}",
                "building",
                at_m + length_m / 2,
                side * (half_m + back_m + _DEPTH_M / 2),
                (length_m, _DEPTH_M, height_m),
                f'material="facade_{int(rng.integers(_FACADES))}"',
            )
            number += 1
            at_m += length_m
    for ahead_m in (-_BEHIND_M - _DEPTH_M / 2, _LENGTH_M + _DEPTH_M / 2):
        size_m = (_DEPTH_M, 2 * half_m + 4, float(rng.uniform(6, 12)))
        paint = f'material="facade_{int(rng.integers(_FACADES))}"'
        site.add_box(f"building_{number}", "building", ahead_m, 0.0, size_m, paint)
        number += 1


def _place_beacons(rng: np.random.Generator, half_m: float) -> dict[str, tuple[float, float]]:
    """Foot of each beacon (ahead, right) by colour; the first is the goal."""
    count = int(rng.integers(2, 4))
    colours = [list(BEACON_COLOURS)[int(index)] for index in rng.permutation(len(BEACON_COLOURS))[:count]]
    placed: dict[str, tuple[float, float]] = {}
    while len(placed) < count:
        nearest_m, farthest_m = (11.0, 24.0) if not placed else (6.0, 27.0)
        foot = (float(rng.uniform(nearest_m, farthest_m)), float(rng.uniform(-1, 1)) * (half_m - 1.6))
        if all(abs(foot[0] - other[0]) > 4.5 for other in placed.values()):
            placed[colours[len(placed)]] = foot
    return placed


def _furnish(site: Site, half_m: float, beacons: dict[str, tuple[float, float]], goal: tuple[float, float]) -> None:
    """A kiosk near the straight way to the goal, then vans at the kerb, lamps and trees, well apart."""
    rng = site.rng
    taken = [(*foot, 1.6) for foot in beacons.values()]

    def free(ahead_m: float, right_m: float, round_m: float) -> bool:
        apart = all(math.dist((ahead_m, right_m), (a, r)) > round_m + other_m + 1.2 for a, r, other_m in taken)
        return apart and math.hypot(ahead_m, right_m) > round_m + 2.5

    def try_to(place: str) -> None:
        for _ in range(30):
            if place == "kiosk":
                share = rng.uniform(0.35, 0.65)
                spot = goal[0] * share, goal[1] * share + rng.normal(0, 0.5)
                # On the side where the walls leave more room it is passed on the other.
                if free(*spot, 1.2) and half_m + abs(spot[1]) - 1.0 > 2.0:
                    site.add_box("kiosk_0", "kiosk", *spot, (1.8, 1.8, 2.7), 'rgba="0.45 0.30 0.22 1"')
                    taken.append((*spot, 1.2))
                    return
                continue
            side = 1 if rng.random() < 0.5 else -1
            ahead_m = float(rng.uniform(2, 27))
            if place == "van" and free(ahead_m, side * (half_m - 1.1), 2.2):
                number = sum(thing.kind == "van" for thing in site.objects)
                tint = colorsys.hsv_to_rgb(rng.uniform(0, 1), rng.uniform(0.0, 0.25), rng.uniform(0.35, 0.9))
                paint = f'rgba="{rgb(tint)} 1"'
                site.add_box(f"van_{number}", "van", ahead_m, side * (half_m - 1.1), (4.4, 1.9, 2.4), paint)
                taken.append((ahead_m, side * (half_m - 1.1), 2.2))
                return
            if place == "lamp" and free(ahead_m, side * (half_m - 0.5), 0.2):
                number = sum(thing.kind == "lamp" for thing in site.objects)
                site.add_post(f"lamp_{number}", "lamp", ahead_m, side * (half_m - 0.5), 0.1, 5.0)
                taken.append((ahead_m, side * (half_m - 0.5), 0.2))
                return
            if place == "tree" and free(ahead_m, side * (half_m - 1.3), 1.0):
                site.add_tree(ahead_m, side * (half_m - 1.3))
                taken.append((ahead_m, side * (half_m - 1.3), 1.0))
                return

    for place in ("kiosk", "van", "van", "tree", "lamp", "lamp", "lamp"):
        try_to(place)


def _facades_xml(rng: np.random.Generator) -> str:
    """Asphalt, and walls with darker windows here and there."""
    grey = rng.uniform(0.42, 0.58)
    road, worn = (grey, grey, grey * rng.uniform(0.95, 1.06)), (grey * 0.8,) * 3
    lines = [
        f'    <texture name="road" type="2d" builtin="flat" mark="random" random="0.2" rgb1="{rgb(road)}" '
        f'rgb2="{rgb(road)}" markrgb="{rgb(worn)}" width="128" height="128"/>',
        '    <material name="road" texture="road" texrepeat="0.3 0.3" texuniform="true" specular="0" shininess="0"/>',
    ]
    for index in range(_FACADES):
        wall = colorsys.hsv_to_rgb(rng.uniform(0.02, 0.14), rng.uniform(0.08, 0.45), rng.uniform(0.75, 1.0))
        window = tuple(part * rng.uniform(0.4, 0.6) for part in wall)
        colours = f'rgb1="{rgb(wall)}" rgb2="{rgb(wall)}" markrgb="{rgb(window)}"'
        lines.append(
            f'    <texture name="facade_{index}" type="cube" builtin="flat" mark="random" random="0.25" {colours} '
            'width="14" height="14"/>'
        )
        lines.append(f'    <material name="facade_{index}" texture="facade_{index}" specular="0" shininess="0"/>')
    return "\n".join(lines)
