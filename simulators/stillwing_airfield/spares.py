"""Bodies kept out of sight until somebody spawns a thing: MuJoCo's models cannot grow while they run.

It knows sizes, places and names, and nothing of vehicles or of the wire.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from stillwing_airfield.axes import flip_quaternion, flip_vector

SPARES = 8
_IDLE_GROUP = 5
_PARKED = (0.0, 0.0, -50.0)
_HALF_M = 0.5

ASSETS: dict[str, int] = {
    "Cube": mujoco.mjtGeom.mjGEOM_BOX.value,
    "Cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER.value,
    "Sphere": mujoco.mjtGeom.mjGEOM_ELLIPSOID.value,
}
"""What can be spawned, each a metre across at scale 1."""

Triple = tuple[float, float, float]
Quadruple = tuple[float, float, float, float]


@dataclass(slots=True)
class Spawned:
    """A thing that was spawned: what it is, where it is (NED, FRD→NED w x y z) and its scale along each axis."""

    name: str
    asset: str
    position_ned_m: Triple
    orientation_wxyz: Quadruple
    scale: Triple


def spares_xml() -> str:
    """Bodies that stand still deep in the ground, in a group that nobody draws and no ray sees."""
    return "".join(
        f'    <body name="spare_{index}" mocap="true" pos="0 0 -50">'
        f'<geom name="spare_{index}/shape" type="box" size="0.5 0.5 0.5" group="{_IDLE_GROUP}" '
        'rgba="0.72 0.72 0.70 1"/></body>\n'
        for index in range(SPARES)
    )


class Spares:
    """The spare bodies of one model; each can be taken, changed and given back."""

    def __init__(self, model: Any, data: Any) -> None:
        self._model, self._data = model, data
        self._things: list[Spawned | None] = [None] * SPARES

    @property
    def names(self) -> tuple[str, ...]:
        """Name of the thing in each spare body, "" where there is none."""
        return tuple(thing.name if thing else "" for thing in self._things)

    def find(self, name: str) -> Spawned | None:
        """The spawned thing of that name."""
        return next((thing for thing in self._things if thing is not None and thing.name == name), None)

    def add(self, thing: Spawned) -> bool:
        """Put `thing` into the world; False where every spare body is taken."""
        for index, taken in enumerate(self._things):
            if taken is None:
                self._things[index] = thing
                self._show(index, thing)
                return True
        return False

    def update(self, thing: Spawned) -> None:
        """`thing`, which is in the world, was moved or scaled."""
        self._show(self._things.index(thing), thing)

    def remove(self, name: str) -> bool:
        """Take a thing out of the world; whether there was one."""
        for index, thing in enumerate(self._things):
            if thing is not None and thing.name == name:
                self._things[index] = None
                self._hide(index)
                return True
        return False

    def clear(self) -> None:
        """Take everything out."""
        for index in range(SPARES):
            self._things[index] = None
            self._hide(index)

    def _geom(self, index: int) -> int:
        return int(mujoco.mj_name2id(self._model, mujoco.mjtObj.mjOBJ_GEOM, f"spare_{index}/shape"))

    def _show(self, index: int, thing: Spawned) -> None:
        geom, model = self._geom(index), self._model
        half = np.abs(np.asarray(thing.scale)) * _HALF_M
        size = [half[0], half[2], 0.0] if thing.asset == "Cylinder" else half
        model.geom_type[geom] = ASSETS[thing.asset]
        model.geom_size[geom] = size
        model.geom_rbound[geom] = float(np.linalg.norm(half))
        model.geom_aabb[geom] = [0, 0, 0, *half]
        model.geom_group[geom] = 0
        # The broad search for contacts goes by the box round the body, which was compiled.
        model.bvh_aabb[model.body_bvhadr[model.geom_bodyid[geom]]] = [0, 0, 0, *half]
        self._data.mocap_pos[index] = flip_vector(thing.position_ned_m)
        orientation = flip_quaternion(thing.orientation_wxyz)
        self._data.mocap_quat[index] = orientation / np.linalg.norm(orientation)
        mujoco.mj_forward(model, self._data)

    def _hide(self, index: int) -> None:
        geom = self._geom(index)
        self._model.geom_group[geom] = _IDLE_GROUP
        self._data.mocap_pos[index] = _PARKED
        mujoco.mj_kinematics(self._model, self._data)
