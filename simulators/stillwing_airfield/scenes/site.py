"""A scene under construction, told in metres ahead and to the right of the start, whichever way that looks.

It knows where things stand and what they are made of, and nothing of what a scene is for.
"""

import math

import numpy as np

from stillwing_airfield.scenes.base import SceneObject, SceneSpec, mjcf_document
from stillwing_airfield.scenes.parts import (
    BALL_RADIUS_M,
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

HIGHEST_OBSTACLE_BASE_M = 2.5
"""A ball that begins below this is in the way of a vehicle at 2 m."""


class Site:
    """Collects a scene's things and their XML; the vehicle stands at the origin."""

    def __init__(
        self, rng: np.random.Generator, heading_deg: float, ground_half_m: int = 80, ground: str = "grass"
    ) -> None:
        """`heading_deg` is the direction called ahead, clockwise from north; `ground` names a material."""
        self.rng = rng
        self.heading_deg = heading_deg
        self.objects: list[SceneObject] = [SceneObject("ground", "ground", None, (0.0, 0.0, 0.0), 0.0, 0.0)]
        self._bodies = [ground_xml(ground_half_m, ground), light_xml(rng)]
        self._cos, self._sin = math.cos(math.radians(heading_deg)), math.sin(math.radians(heading_deg))

    def place(self, ahead_m: float, right_m: float) -> tuple[float, float]:
        """North and east, in whole millimetres."""
        north_m = ahead_m * self._cos - right_m * self._sin
        east_m = ahead_m * self._sin + right_m * self._cos
        return round(north_m, 3), round(east_m, 3)

    def add_beacon(
        self,
        colour: str,
        ahead_m: float,
        right_m: float,
        height_m: float = BEACON_HEIGHT_M,
        ball_m: float = BALL_RADIUS_M,
    ) -> None:
        """A beacon of a colour of which there is no other."""
        x, y = self.place(ahead_m, right_m)
        name = f"beacon_{colour}"
        in_the_way_m = ball_m if height_m - 2 * ball_m < HIGHEST_OBSTACLE_BASE_M else BEACON_RADIUS_M
        self._bodies.append(beacon_xml(name, x, y, colour, height_m, ball_m))
        self.objects.append(SceneObject(name, "beacon", colour, (x, y, 0.0), in_the_way_m, height_m))

    def add_tree(self, ahead_m: float, right_m: float) -> None:
        """A tree; they are numbered."""
        x, y = self.place(ahead_m, right_m)
        name = f"tree_{sum(thing.kind == 'tree' for thing in self.objects)}"
        xml, radius_m, height_m = tree_xml(self.rng, name, x, y)
        self._bodies.append(xml)
        self.objects.append(SceneObject(name, "tree", None, (x, y, 0.0), radius_m, height_m))

    def add_post(self, name: str, kind: str, ahead_m: float, right_m: float, radius_m: float, height_m: float) -> None:
        """A grey upright cylinder."""
        x, y = self.place(ahead_m, right_m)
        self._bodies.append(
            f'    <geom name="{name}/post" type="cylinder" size="{radius_m} {height_m / 2:.3f}" '
            f'pos="{x} {-y} {height_m / 2:.3f}" rgba="0.32 0.34 0.36 1"/>'
        )
        self.objects.append(SceneObject(name, kind, None, (x, y, 0.0), radius_m, height_m))

    def add_box(
        self,
        name: str,
        kind: str,
        ahead_m: float,
        right_m: float,
        size_m: tuple[float, float, float],
        paint: str,
        *,
        colour: str | None = None,
        bottom_m: float = 0.0,
    ) -> None:
        """A box with its sides along the axes of the site: length ahead, width across, height.

        `paint` is `material="…"`, `rgba="…"` or both.
        """
        x, y = self.place(ahead_m, right_m)
        length_m, width_m, height_m = size_m
        half = f"{length_m / 2:.3f} {width_m / 2:.3f} {height_m / 2:.3f}"
        self._bodies.append(
            f'    <geom name="{name}/box" type="box" size="{half}" pos="{x} {-y} {bottom_m + height_m / 2:.3f}" '
            f'euler="0 0 {-self.heading_deg:.4f}" {paint}/>'
        )
        top_m = bottom_m + height_m
        self.objects.append(
            SceneObject(name, kind, colour, (x, y, 0.0), 0.0, top_m, (length_m, width_m), self.heading_deg)
        )

    def hidden_by_trees(self, ahead_m: float, right_m: float) -> bool:
        """Whether crowns cover all of the ball of a beacon there, seen from the start."""
        goal = self.place(ahead_m, right_m)
        goal_m, bearing = math.hypot(*goal), math.atan2(goal[1], goal[0])
        edges = np.linspace(-BALL_RADIUS_M, BALL_RADIUS_M, 9) / goal_m
        seen = np.ones(len(edges), dtype=bool)
        for tree in (thing for thing in self.objects if thing.kind == "tree"):
            north_m, east_m, _ = tree.position_ned_m
            tree_m = math.hypot(north_m, east_m)
            if tree_m < goal_m:
                apart = math.remainder(math.atan2(east_m, north_m) - bearing, math.tau)
                seen &= np.abs(edges - apart) > math.asin(min(CROWN_MAX_RADIUS_M / tree_m, 1.0)) + 0.02
        return not bool(seen.any())

    def finish(
        self, name: str, seed: int, goal_colour: str, mission: str, start_yaw_deg: float, assets: str = ""
    ) -> SceneSpec:
        """The scene; `assets` are textures and materials beyond the usual."""
        visual, usual = visual_xml(self.rng), assets_xml(self.rng)
        return SceneSpec(
            name=name,
            seed=seed,
            mjcf=mjcf_document(
                name=name.partition(",")[0],
                visual=visual,
                assets=f"{usual}\n{assets}" if assets else usual,
                bodies="\n".join(self._bodies),
            ),
            objects=tuple(self.objects),
            start_position_ned_m=(0.0, 0.0, 0.0),
            start_yaw_deg=start_yaw_deg,
            goal_colour=goal_colour,
            mission=mission,
        )
