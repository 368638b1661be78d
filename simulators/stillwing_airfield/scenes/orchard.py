"""`orchard`: rows of trees close together and beacons among them. It knows only where things stand."""

import math

import numpy as np

from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.scenes.parts import BEACON_COLOURS
from stillwing_airfield.scenes.site import Site

_SEED_SPACE = 0x5EED_0003
_ROWS, _TREES_A_ROW = 6, 6
_FREE_ROUND_START_M = 3.0
_FREE_ROUND_BEACON_M = 3.0


def orchard(seed: int) -> SceneSpec:
    """An orchard drawn from `seed`: up to 36 trees, at least 1.4 m between crowns, the goal 8 to 18 m away.

    Some part of the goal's ball can be seen from above the start.
    """
    rng = np.random.default_rng([_SEED_SPACE, seed])
    while True:
        site = Site(rng, float(rng.uniform(-180, 180)))
        beacons = _plant(site)
        if beacons is not None:
            break
    for colour, (ahead_m, right_m) in beacons.items():
        site.add_beacon(colour, ahead_m, right_m)
    goal_colour = next(iter(beacons))
    start_yaw_deg = math.remainder(site.heading_deg + float(rng.uniform(-40, 40)), 360.0)
    return site.finish("orchard", seed, goal_colour, f"Fly to the {goal_colour} beacon.", start_yaw_deg)


def _plant(site: Site) -> dict[str, tuple[float, float]] | None:
    """Set the trees; where the beacons go (ahead, right) by colour, the goal first, or None where none would do."""
    rng = site.rng
    along_m, between_m = rng.uniform(3.9, 4.4), rng.uniform(4.2, 4.9)
    first_m = rng.uniform(0.5, 2.0)
    # The start looks down an alley between two rows.
    rows_m = [(row - (_ROWS - 1) / 2) * between_m for row in range(_ROWS)]
    beacons: list[tuple[float, float]] = []
    for _ in range(40):
        alley_m = rows_m[int(rng.integers(1, _ROWS - 2))] + between_m / 2
        foot = (float(rng.uniform(8, 17)), float(alley_m + rng.uniform(-0.6, 0.6)))
        if len(beacons) < 3 and all(math.dist(foot, other) > 5.0 for other in beacons):
            beacons.append(foot)
    for right_m in rows_m:
        for place in range(_TREES_A_ROW):
            ahead_m = first_m + place * along_m + rng.normal(0, 0.15)
            aside_m = right_m + rng.normal(0, 0.15)
            near_start = math.hypot(ahead_m, aside_m) < _FREE_ROUND_START_M
            if not near_start and all(math.dist((ahead_m, aside_m), foot) > _FREE_ROUND_BEACON_M for foot in beacons):
                site.add_tree(ahead_m, aside_m)
    visible = [foot for foot in beacons if not site.hidden_by_trees(*foot)]
    if not visible:
        return None
    feet = [visible[0], *(foot for foot in beacons if foot != visible[0])]
    colours = [list(BEACON_COLOURS)[int(index)] for index in rng.permutation(len(BEACON_COLOURS))[: len(feet)]]
    return dict(zip(colours, feet, strict=True))
