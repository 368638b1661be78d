"""What a scene is, and scenes by name. It knows neither MuJoCo's library nor any vehicle's protocol."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature

from stillwing_common.errors import InvalidInput, NotFound


class UnknownScene(NotFound):
    """No scene of that name exists."""

    reason = "UNKNOWN_SCENE"


@dataclass(frozen=True)
class SceneObject:
    """One thing that can be pointed at; its MuJoCo geoms are called `<name>/<part>`.

    Attributes:
        name: Unique in the scene, e.g. `beacon_red`.
        kind: `ground`, `beacon`, `tree`, `building`, `van`, `kiosk`, `lamp`, `wall` or `sign`.
        colour: Name of the colour where it matters, else None.
        position_ned_m: Foot of the thing on the ground.
        radius_m: Of the round part a vehicle at flight height would hit; 0 for the ground and for boxes.
        height_m: Top above the ground.
        size_m: Of a box, along its own heading and across, else None.
        yaw_deg: Heading of a box, clockwise from north.
    """

    name: str
    kind: str
    colour: str | None
    position_ned_m: tuple[float, float, float]
    radius_m: float
    height_m: float
    size_m: tuple[float, float] | None = None
    yaw_deg: float = 0.0


@dataclass(frozen=True)
class SceneSpec:
    """A scene drawn from a seed.

    Attributes:
        name: Which kind of scene, parameters included: `maze,corridor_m=40`.
        seed: Same seed, same scene, to the last bit.
        mjcf: MuJoCo XML with one free body called `vehicle`.
        objects: All that can be pointed at.
        start_position_ned_m: Where the vehicle stands on the ground.
        start_yaw_deg: Heading there, clockwise from north.
        goal_colour: Colour of the beacon the mission names.
        mission: The goal in words.
    """

    name: str
    seed: int
    mjcf: str
    objects: tuple[SceneObject, ...]
    start_position_ned_m: tuple[float, float, float]
    start_yaw_deg: float
    goal_colour: str
    mission: str

    def goal(self) -> SceneObject:
        """The beacon the mission names."""
        return next(thing for thing in self.objects if thing.kind == "beacon" and thing.colour == self.goal_colour)

    def of_kind(self, kind: str) -> tuple[SceneObject, ...]:
        """Every object of one kind, in order."""
        return tuple(thing for thing in self.objects if thing.kind == kind)


_BUILDERS = {
    "maze": "stillwing_airfield.scenes.maze:maze",
    "meadow": "stillwing_airfield.scenes.meadow:meadow",
    "orchard": "stillwing_airfield.scenes.orchard:orchard",
    "street": "stillwing_airfield.scenes.street:street",
}


def scene_names() -> list[str]:
    """Every known scene, sorted."""
    return sorted(_BUILDERS)


def build_scene(name: str, seed: int) -> SceneSpec:
    """The scene `name` drawn from `seed` (>= 0); parameters follow the name, as in `maze,corridor_m=40`.

    Raises `UnknownScene`, naming those there are, and `InvalidInput` for a parameter the scene does not have.
    """
    family, *arguments = name.split(",")
    target = _BUILDERS.get(family)
    if target is None:
        raise UnknownScene(f"{family!r}; known: {', '.join(scene_names())}", name=family)
    module, _, attribute = target.partition(":")
    builder: Callable[..., SceneSpec] = getattr(import_module(module), attribute)
    return builder(seed, **_parameters(family, builder, arguments))


def _parameters(family: str, builder: Callable[..., SceneSpec], arguments: list[str]) -> dict[str, float]:
    known = [name for name in signature(builder).parameters if name != "seed"]
    found: dict[str, float] = {}
    for text in arguments:
        key, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if key not in known or not math.isfinite(number):
            told = ", ".join(f"{name}=<number>" for name in known) or "it has none"
            raise InvalidInput(f"scene {family!r} has no parameter {text!r}; known: {told}", field="scene")
        found[key] = number
    return found


_SEEN_ONLY = 'contype="0" conaffinity="0"'
_HULL = 'type="cylinder" size="0.25 0.06" pos="0 0 0.06" group="4" rgba="0 0 0 0" friction="0.8 0.01 0.001"'
_TRUNK = f'type="box" size="0.11 0.07 0.035" pos="0 0 0.06" group="3" rgba="0.16 0.17 0.2 1" {_SEEN_ONLY}'
_ARM = f'type="capsule" size="0.012" group="3" rgba="0.3 0.3 0.32 1" {_SEEN_ONLY}'
_NOSE = f'type="sphere" size="0.03" pos="0.13 0 0.06" group="3" rgba="0.95 0.55 0.1 1" {_SEEN_ONLY}'


def vehicle_xml(name: str = "vehicle") -> str:
    """The body of one vehicle.

    It is 1 kg with the inertia of a small quadrotor. Its hull (group 4) is what collides; the parts in group 3 are
    drawn for cameras that do not sit on it. The origin of the body is the underside of the hull, so that it stands at a
    height of 0.
    """
    return f"""    <body name="{name}" pos="0 0 0">
      <freejoint name="{name}"/>
      <inertial pos="0 0 0.06" mass="1" diaginertia="0.0070 0.0070 0.0120"/>
      <geom name="{name}/hull" {_HULL}/>
      <geom name="{name}/trunk" {_TRUNK}/>
      <geom name="{name}/arm_a" fromto="0.16 0.16 0.07 -0.16 -0.16 0.07" {_ARM}/>
      <geom name="{name}/arm_b" fromto="0.16 -0.16 0.07 -0.16 0.16 0.07" {_ARM}/>
      <geom name="{name}/nose" {_NOSE}/>
    </body>
"""


def mjcf_document(*, name: str, visual: str, assets: str, bodies: str) -> str:
    """A whole MuJoCo document round a scene's parts, with one vehicle in it.

    Group 2 is for scenery that is seen but can be neither hit nor measured by rays.
    """
    return f"""<mujoco model="{name}">
  <compiler angle="degree" autolimits="true"/>
  <option gravity="0 0 -9.81" integrator="implicitfast" density="0" viscosity="0"/>
  <statistic center="0 0 1" extent="1"/>
  {visual}
  <asset>
{assets}
  </asset>
  <worldbody>
{bodies}
{vehicle_xml()}  </worldbody>
</mujoco>
"""
