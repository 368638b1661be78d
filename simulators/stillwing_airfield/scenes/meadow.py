"""`meadow`: open textured ground, five trees, two or three coloured beacons. It knows only MuJoCo's XML."""

import math

import numpy as np

from stillwing_airfield.scenes.base import SceneObject, SceneSpec, mjcf_document
from stillwing_airfield.scenes.parts import (
    BALL_RADIUS_M,
    BEACON_COLOURS,
    BEACON_HEIGHT_M,
    BEACON_RADIUS_M,
    CROWN_MAX_RADIUS_M,
    assets_xml,
    beacon_xml,
    ground_xml,
    light_xml,
    tree_xml,
    visual_xml,
)

_TREES = 5
_SEED_SPACE = 0x5EED_0001


def meadow(seed: int) -> SceneSpec:
    """A meadow drawn from `seed`: the goal stands 6 to 15 m from the start and mostly in view."""
    rng = np.random.default_rng([_SEED_SPACE, seed])
    start_yaw_deg = float(rng.uniform(-180, 180))
    beacons = _place_beacons(rng, start_yaw_deg)
    goal_colour = next(iter(beacons))
    trees = _place_trees(rng, beacons, goal_colour)
    objects: list[SceneObject] = [SceneObject("ground", "ground", None, (0.0, 0.0, 0.0), 0.0, 0.0)]
    bodies = [ground_xml(), light_xml(rng)]
    for colour, (x, y) in beacons.items():
        name = f"beacon_{colour}"
        bodies.append(beacon_xml(name, x, y, colour))
        objects.append(SceneObject(name, "beacon", colour, (x, y, 0.0), BEACON_RADIUS_M, BEACON_HEIGHT_M))
    for index, (x, y) in enumerate(trees):
        xml, radius_m, height_m = tree_xml(rng, f"tree_{index}", x, y)
        bodies.append(xml)
        objects.append(SceneObject(f"tree_{index}", "tree", None, (x, y, 0.0), radius_m, height_m))
    return SceneSpec(
        name="meadow",
        seed=seed,
        mjcf=mjcf_document(name="meadow", visual=visual_xml(rng), assets=assets_xml(rng), bodies="\n".join(bodies)),
        objects=tuple(objects),
        start_position_ned_m=(0.0, 0.0, 0.0),
        start_yaw_deg=start_yaw_deg,
        goal_colour=goal_colour,
        mission=f"Fly to the {goal_colour} beacon.",
    )


def _place_beacons(rng: np.random.Generator, start_yaw_deg: float) -> dict[str, tuple[float, float]]:
    """Foot of each beacon (north, east) by colour; the first is the goal."""
    count = int(rng.integers(2, 4))
    colours = [list(BEACON_COLOURS)[int(index)] for index in rng.permutation(len(BEACON_COLOURS))[:count]]
    placed: dict[str, tuple[float, float]] = {}
    while len(placed) < count:
        distance_m = rng.uniform(6, 15)
        ahead = not placed and rng.random() < 0.7
        bearing_deg = start_yaw_deg + (rng.uniform(-40, 40) if ahead else rng.uniform(-180, 180))
        x, y = distance_m * math.cos(math.radians(bearing_deg)), distance_m * math.sin(math.radians(bearing_deg))
        if all(math.dist((x, y), other) > 4.5 for other in placed.values()):
            placed[colours[len(placed)]] = (round(x, 3), round(y, 3))
    return placed


def _place_trees(
    rng: np.random.Generator, beacons: dict[str, tuple[float, float]], goal_colour: str
) -> list[tuple[float, float]]:
    """Five trees (north, east); the first two near the straight way to the goal, so that it has to be left."""
    goal_x, goal_y = beacons[goal_colour]
    trees: list[tuple[float, float]] = []
    while len(trees) < _TREES:
        if len(trees) < 2 and rng.random() < 0.97:
            share = rng.uniform(0.3, 0.75)
            x, y = goal_x * share + rng.normal(0, 1), goal_y * share + rng.normal(0, 1)
        else:
            x, y = rng.uniform(-14, 14, 2)
        clear = math.hypot(x, y) > 3.0 and all(math.dist((x, y), other) > 3.6 for other in trees)
        clear = clear and all(math.dist((x, y), foot) > 3.4 for foot in beacons.values())
        if clear and not _hides((x, y), (goal_x, goal_y)):
            trees.append((round(float(x), 3), round(float(y), 3)))
    return trees


def _hides(tree: tuple[float, float], goal: tuple[float, float]) -> bool:
    """Whether a tree covers all of the goal's ball from above the start: looking round there must suffice."""
    tree_m, goal_m = math.hypot(*tree), math.hypot(*goal)
    between = math.atan2(goal[1], goal[0]) - math.atan2(tree[1], tree[0])
    apart = abs((between + math.pi) % (2 * math.pi) - math.pi)
    return tree_m < goal_m and apart + BALL_RADIUS_M / goal_m < math.asin(CROWN_MAX_RADIUS_M / tree_m) + 0.04
