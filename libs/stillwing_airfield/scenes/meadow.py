"""`meadow`: open textured ground, five trees, two or three coloured beacons. It knows only MuJoCo's XML."""

import colorsys
import math

import numpy as np

from stillwing_airfield.scenes.base import SceneObject, SceneSpec, mjcf_document

BEACON_COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.07, 0.07),
    "blue": (0.08, 0.18, 0.95),
    "yellow": (0.96, 0.86, 0.04),
    "green": (0.04, 0.88, 0.25),
}
"""Colours a beacon can have, as linear RGB."""

_TREES = 5
_BEACON_RADIUS_M = 0.3
_BEACON_HEIGHT_M = 5.8
_BALL_RADIUS_M = 0.9
_CROWN_MAX_RADIUS_M = 1.0
_SEED_SPACE = 0x5EED_0001


def meadow(seed: int) -> SceneSpec:
    """A meadow drawn from `seed`: the goal stands 6 to 15 m from the start and mostly in view."""
    rng = np.random.default_rng([_SEED_SPACE, seed])
    start_yaw_deg = float(rng.uniform(-180, 180))
    beacons = _place_beacons(rng, start_yaw_deg)
    goal_colour = next(iter(beacons))
    trees = _place_trees(rng, beacons, goal_colour)
    objects: list[SceneObject] = [SceneObject("ground", "ground", None, (0.0, 0.0, 0.0), 0.0, 0.0)]
    bodies = [_ground_xml(), _light_xml(rng)]
    for colour, (x, y) in beacons.items():
        name = f"beacon_{colour}"
        bodies.append(_beacon_xml(name, x, y, colour))
        objects.append(SceneObject(name, "beacon", colour, (x, y, 0.0), _BEACON_RADIUS_M, _BEACON_HEIGHT_M))
    for index, (x, y) in enumerate(trees):
        xml, radius_m, height_m = _tree_xml(rng, f"tree_{index}", x, y)
        bodies.append(xml)
        objects.append(SceneObject(f"tree_{index}", "tree", None, (x, y, 0.0), radius_m, height_m))
    return SceneSpec(
        name="meadow",
        seed=seed,
        mjcf=mjcf_document(name="meadow", visual=_visual_xml(rng), assets=_assets_xml(rng), bodies="\n".join(bodies)),
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
    return tree_m < goal_m and apart + _BALL_RADIUS_M / goal_m < math.asin(_CROWN_MAX_RADIUS_M / tree_m) + 0.04


def _rgb(colour: tuple[float, ...]) -> str:
    return " ".join(f"{min(max(part, 0.0), 1.0):.3f}" for part in colour)


def _assets_xml(rng: np.random.Generator) -> str:
    sky = colorsys.hsv_to_rgb(rng.uniform(0.55, 0.62), rng.uniform(0.35, 0.6), rng.uniform(0.8, 1.0))
    haze = tuple(0.35 * part + 0.6 for part in sky)
    grass = colorsys.hsv_to_rgb(rng.uniform(0.17, 0.30), rng.uniform(0.30, 0.5), rng.uniform(0.55, 0.8))
    darker, mark = (tuple(part * rng.uniform(*span) for part in grass) for span in ((0.82, 0.92), (0.6, 0.75)))
    bark = colorsys.hsv_to_rgb(rng.uniform(0.05, 0.09), rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.6))
    bark_dark = tuple(part * 0.7 for part in bark)
    # A little emission keeps the named colour the same in shade and in any light.
    beacons = "\n".join(
        f'    <material name="{name}" rgba="{_rgb(colour)} 1" emission="0.35" specular="0.1" shininess="0.3"/>'
        for name, colour in BEACON_COLOURS.items()
    )
    sky_xml = f'type="skybox" builtin="gradient" rgb1="{_rgb(sky)}" rgb2="{_rgb(haze)}" width="64" height="64"'
    grass_xml = f'rgb1="{_rgb(grass)}" rgb2="{_rgb(darker)}" markrgb="{_rgb(mark)}" width="256" height="256"'
    bark_xml = f'rgb1="{_rgb(bark)}" rgb2="{_rgb(bark)}" markrgb="{_rgb(bark_dark)}" width="32" height="32"'
    return f"""    <texture name="sky" {sky_xml}/>
    <texture name="grass" type="2d" builtin="checker" mark="random" random="0.12" {grass_xml}/>
    <texture name="bark" type="cube" builtin="flat" mark="random" random="0.25" {bark_xml}/>
{beacons}
    <material name="grass" texture="grass" texrepeat="0.25 0.25" texuniform="true" specular="0" shininess="0"/>
    <material name="bark" texture="bark" specular="0" shininess="0"/>"""


def _visual_xml(rng: np.random.Generator) -> str:
    ambient = rng.uniform(0.38, 0.5)
    return f"""<visual>
    <headlight ambient="{ambient:.3f} {ambient:.3f} {ambient:.3f}" diffuse="0.12 0.12 0.12" specular="0 0 0"/>
    <map znear="0.05" zfar="120" haze="0.15"/>
    <rgba haze="0.85 0.90 0.95 1"/>
    <global offwidth="1280" offheight="960"/>
    <quality offsamples="0" shadowsize="2048" numslices="20" numstacks="12" numquads="2"/>
  </visual>"""


def _light_xml(rng: np.random.Generator) -> str:
    azimuth, elevation = rng.uniform(-math.pi, math.pi), math.radians(rng.uniform(35, 75))
    direction = (
        -math.cos(azimuth) * math.cos(elevation),
        -math.sin(azimuth) * math.cos(elevation),
        -math.sin(elevation),
    )
    strength = rng.uniform(0.6, 0.85)
    warm = (strength, strength * rng.uniform(0.92, 1.0), strength * rng.uniform(0.82, 0.98))
    aim = " ".join(f"{part:.3f}" for part in direction)
    return (
        f'    <light name="sun" type="directional" dir="{aim}" pos="0 0 30" diffuse="{_rgb(warm)}" specular="0 0 0"/>'
    )


def _ground_xml() -> str:
    return '    <geom name="ground/plane" type="plane" size="80 80 1" material="grass" friction="1 0.01 0.001"/>'


def _blob_shadow_xml(name: str, radius_m: float) -> str:
    """A dark disc: a real shadow map would halve the frame rate without a graphics card."""
    return (
        f'<geom name="{name}/shade" type="cylinder" size="{radius_m:.2f} 0.004" pos="0 0 0.004" group="2" '
        'rgba="0.05 0.07 0.03 0.35" contype="0" conaffinity="0"/>'
    )


def _upright(radius_m: float, height_m: float) -> str:
    return f'size="{radius_m} {height_m / 2:.3f}" pos="0 0 {height_m / 2:.3f}"'


def _beacon_xml(name: str, x: float, y: float, colour: str) -> str:
    ball_height_m = _BEACON_HEIGHT_M - _BALL_RADIUS_M
    return f"""    <body name="{name}" pos="{x} {-y} 0">
      <geom name="{name}/pole" type="cylinder" {_upright(_BEACON_RADIUS_M, ball_height_m)} material="{colour}"/>
      <geom name="{name}/ball" type="sphere" size="{_BALL_RADIUS_M}" pos="0 0 {ball_height_m:.3f}" material="{colour}"/>
      {_blob_shadow_xml(name, 0.9)}
    </body>"""


def _tree_xml(rng: np.random.Generator, name: str, x: float, y: float) -> tuple[str, float, float]:
    """XML of a tree, its radius and its height: trunk and crown stand in the way at 2 m."""
    crown_m, trunk_m = rng.uniform(0.8, 1.0), rng.uniform(1.8, 2.3)
    leaf = colorsys.hsv_to_rgb(rng.uniform(0.24, 0.36), rng.uniform(0.5, 0.75), rng.uniform(0.34, 0.55))
    lighter = tuple(part * 1.15 for part in leaf)
    top_m = trunk_m + 1.15 * crown_m
    upper = (rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3))
    crown_xml = f'size="{crown_m:.3f}" pos="0 0 {trunk_m + 0.45 * crown_m:.3f}" rgba="{_rgb(leaf)} 1"'
    top_xml = f'size="{0.7 * crown_m:.3f}" pos="{upper[0]:.3f} {upper[1]:.3f} {top_m:.3f}" rgba="{_rgb(lighter)} 1"'
    xml = f"""    <body name="{name}" pos="{x} {-y} 0">
      <geom name="{name}/trunk" type="cylinder" {_upright(0.25, trunk_m)} material="bark"/>
      <geom name="{name}/crown" type="sphere" {crown_xml}/>
      <geom name="{name}/top" type="sphere" {top_xml}/>
      {_blob_shadow_xml(name, crown_m)}
    </body>"""
    return xml, round(crown_m, 3), round(top_m + 0.7 * crown_m, 3)
