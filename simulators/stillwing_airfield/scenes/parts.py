"""What scenes are built of, as MuJoCo XML: ground, light, sky, beacons, trees, walls and boxes.

Placing things is the scenes' own affair. It knows only MuJoCo's XML.
"""

import colorsys
import math

import numpy as np

BEACON_COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.07, 0.07),
    "blue": (0.08, 0.18, 0.95),
    "yellow": (0.96, 0.86, 0.04),
    "green": (0.04, 0.88, 0.25),
}
"""Colours a beacon or a sign can have, as linear RGB."""

BEACON_RADIUS_M = 0.3
BEACON_HEIGHT_M = 5.8
BALL_RADIUS_M = 0.9
CROWN_MAX_RADIUS_M = 1.0


def rgb(colour: tuple[float, ...]) -> str:
    """Red, green, blue in 0 to 1 as MuJoCo reads them, clipped."""
    return " ".join(f"{min(max(part, 0.0), 1.0):.3f}" for part in colour)


def assets_xml(rng: np.random.Generator) -> str:
    """Sky, grass, bark and the colours of beacons."""
    sky = colorsys.hsv_to_rgb(rng.uniform(0.55, 0.62), rng.uniform(0.35, 0.6), rng.uniform(0.8, 1.0))
    haze = tuple(0.35 * part + 0.6 for part in sky)
    grass = colorsys.hsv_to_rgb(rng.uniform(0.17, 0.30), rng.uniform(0.30, 0.5), rng.uniform(0.55, 0.8))
    darker, mark = (tuple(part * rng.uniform(*span) for part in grass) for span in ((0.82, 0.92), (0.6, 0.75)))
    bark = colorsys.hsv_to_rgb(rng.uniform(0.05, 0.09), rng.uniform(0.35, 0.6), rng.uniform(0.4, 0.6))
    bark_dark = tuple(part * 0.7 for part in bark)
    # A little emission keeps the named colour the same in shade and in any light.
    beacons = "\n".join(
        f'    <material name="{name}" rgba="{rgb(colour)} 1" emission="0.35" specular="0.1" shininess="0.3"/>'
        for name, colour in BEACON_COLOURS.items()
    )
    sky_xml = f'type="skybox" builtin="gradient" rgb1="{rgb(sky)}" rgb2="{rgb(haze)}" width="64" height="64"'
    grass_xml = f'rgb1="{rgb(grass)}" rgb2="{rgb(darker)}" markrgb="{rgb(mark)}" width="256" height="256"'
    bark_xml = f'rgb1="{rgb(bark)}" rgb2="{rgb(bark)}" markrgb="{rgb(bark_dark)}" width="32" height="32"'
    return f"""    <texture name="sky" {sky_xml}/>
    <texture name="grass" type="2d" builtin="checker" mark="random" random="0.12" {grass_xml}/>
    <texture name="bark" type="cube" builtin="flat" mark="random" random="0.25" {bark_xml}/>
{beacons}
    <material name="grass" texture="grass" texrepeat="0.25 0.25" texuniform="true" specular="0" shininess="0"/>
    <material name="bark" texture="bark" specular="0" shininess="0"/>"""


def visual_xml(rng: np.random.Generator) -> str:
    """Light that comes from everywhere, haze, how near and far is drawn."""
    ambient = rng.uniform(0.38, 0.5)
    return f"""<visual>
    <headlight ambient="{ambient:.3f} {ambient:.3f} {ambient:.3f}" diffuse="0.12 0.12 0.12" specular="0 0 0"/>
    <map znear="0.05" zfar="120" haze="0.15"/>
    <rgba haze="0.85 0.90 0.95 1"/>
    <global offwidth="1280" offheight="960"/>
    <quality offsamples="0" shadowsize="2048" numslices="20" numstacks="12" numquads="2"/>
  </visual>"""


def light_xml(rng: np.random.Generator) -> str:
    """A sun, 35 to 75 degrees high."""
    azimuth, elevation = rng.uniform(-math.pi, math.pi), math.radians(rng.uniform(35, 75))
    direction = (
        -math.cos(azimuth) * math.cos(elevation),
        -math.sin(azimuth) * math.cos(elevation),
        -math.sin(elevation),
    )
    strength = rng.uniform(0.6, 0.85)
    warm = (strength, strength * rng.uniform(0.92, 1.0), strength * rng.uniform(0.82, 0.98))
    aim = " ".join(f"{part:.3f}" for part in direction)
    return f'    <light name="sun" type="directional" dir="{aim}" pos="0 0 30" diffuse="{rgb(warm)}" specular="0 0 0"/>'


def ground_xml(half_m: int = 80, material: str = "grass") -> str:
    """Level ground, `half_m` to each side of the start."""
    size = f'size="{half_m} {half_m} 1"'
    return f'    <geom name="ground/plane" type="plane" {size} material="{material}" friction="1 0.01 0.001"/>'


def blob_shadow_xml(name: str, radius_m: float) -> str:
    """A dark disc: a real shadow map would halve the frame rate without a graphics card."""
    return (
        f'<geom name="{name}/shade" type="cylinder" size="{radius_m:.2f} 0.004" pos="0 0 0.004" group="2" '
        'rgba="0.05 0.07 0.03 0.35" contype="0" conaffinity="0"/>'
    )


def upright(radius_m: float, height_m: float) -> str:
    """Size and place of a cylinder that stands on the ground."""
    return f'size="{radius_m} {height_m / 2:.3f}" pos="0 0 {height_m / 2:.3f}"'


def beacon_xml(
    name: str, x: float, y: float, colour: str, height_m: float = BEACON_HEIGHT_M, ball_m: float = BALL_RADIUS_M
) -> str:
    """A pole with a ball of radius `ball_m` on top, in the beacon's colour."""
    centre_m = height_m - ball_m
    return f"""    <body name="{name}" pos="{x} {-y} 0">
      <geom name="{name}/pole" type="cylinder" {upright(BEACON_RADIUS_M, centre_m)} material="{colour}"/>
      <geom name="{name}/ball" type="sphere" size="{ball_m}" pos="0 0 {centre_m:.3f}" material="{colour}"/>
      {blob_shadow_xml(name, ball_m)}
    </body>"""


def tree_xml(rng: np.random.Generator, name: str, x: float, y: float) -> tuple[str, float, float]:
    """XML of a tree, its radius and its height: trunk and crown stand in the way at 2 m."""
    crown_m, trunk_m = rng.uniform(0.8, 1.0), rng.uniform(1.8, 2.3)
    leaf = colorsys.hsv_to_rgb(rng.uniform(0.24, 0.36), rng.uniform(0.5, 0.75), rng.uniform(0.34, 0.55))
    lighter = tuple(part * 1.15 for part in leaf)
    top_m = trunk_m + 1.15 * crown_m
    upper = (rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3))
    crown_xml = f'size="{crown_m:.3f}" pos="0 0 {trunk_m + 0.45 * crown_m:.3f}" rgba="{rgb(leaf)} 1"'
    top_xml = f'size="{0.7 * crown_m:.3f}" pos="{upper[0]:.3f} {upper[1]:.3f} {top_m:.3f}" rgba="{rgb(lighter)} 1"'
    xml = f"""    <body name="{name}" pos="{x} {-y} 0">
      <geom name="{name}/trunk" type="cylinder" {upright(0.25, trunk_m)} material="bark"/>
      <geom name="{name}/crown" type="sphere" {crown_xml}/>
      <geom name="{name}/top" type="sphere" {top_xml}/>
      {blob_shadow_xml(name, crown_m)}
    </body>"""
    return xml, round(crown_m, 3), round(top_m + 0.7 * crown_m, 3)
