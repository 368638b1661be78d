"""One scene in MuJoCo: where its vehicles are, what pushes them, what they touch, what a ray hits.

It knows nothing of AirSim, of pictures or of flight controllers. Not thread-safe: one thread at a time, except that a
`RenderState` taken from it may be drawn anywhere.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

# Without a display MuJoCo has to be told which GL to load, and it reads this once, on import.
os.environ.setdefault("MUJOCO_GL", "egl")

import mujoco
import numpy as np
import numpy.typing as npt

from stillwing_airfield.axes import Vector, flip_quaternion, flip_vector, quaternion_from_euler, rotation_matrix
from stillwing_airfield.scenes.base import SceneSpec, vehicle_xml
from stillwing_airfield.spares import SPARES, Spares, spares_xml

# Scenery of group 2 (painted shade) and the vehicles' own groups are invisible to rays.
_RAY_GROUPS = np.array([1, 1, 0, 0, 0, 0], dtype=np.uint8)


@dataclass(frozen=True)
class Contact:
    """A vehicle touches something: where, with the normal pointing from that thing to the vehicle."""

    object_name: str
    position_ned_m: tuple[float, float, float]
    normal_ned: tuple[float, float, float]
    penetration_m: float


@dataclass(frozen=True)
class RenderState:
    """All that a camera needs to draw one instant; a copy, safe to hand to another thread."""

    time_s: float
    qpos: Vector
    mocap_pos: Vector
    mocap_quat: Vector


class World:
    """MuJoCo model and data of one scene, spoken to in NED and FRD."""

    def __init__(
        self, scene: SceneSpec, timestep_s: float = 0.005, vehicle_names: Sequence[str] = ("vehicle",)
    ) -> None:
        """Compile `scene` and put every vehicle at its start; `timestep_s` is one physics step."""
        self.scene = scene
        self.vehicle_names = tuple(vehicle_names)
        self.model = mujoco.MjModel.from_xml_string(_document(scene, len(self.vehicle_names)))
        self.model.opt.timestep = timestep_s
        self.data = mujoco.MjData(self.model)
        self._body_ids: list[int] = [
            mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, _body(index))
            for index in range(len(self.vehicle_names))
        ]
        self.spares = Spares(self.model, self.data)
        self.object_of_geom: npt.NDArray[np.int32] = self._objects_of_geoms()
        """For each MuJoCo geom id the index into `object_names`, or -1 for the only vehicle."""
        self.place_at_start()

    @property
    def object_names(self) -> tuple[str, ...]:
        """Things of the scene, then, where there are several vehicles, those, then what was spawned ("" for none)."""
        vehicles = self.vehicle_names if len(self.vehicle_names) > 1 else ()
        return (*(thing.name for thing in self.scene.objects), *vehicles, *self.spares.names)

    def _objects_of_geoms(self) -> npt.NDArray[np.int32]:
        index = {thing.name: i for i, thing in enumerate(self.scene.objects)}
        count = len(index)
        if len(self.vehicle_names) > 1:
            index |= {_body(i): count + i for i in range(len(self.vehicle_names))}
            count += len(self.vehicle_names)
        index |= {f"spare_{i}": count + i for i in range(SPARES)}
        names = [self.model.geom(geom).name.partition("/")[0] for geom in range(self.model.ngeom)]
        return np.array([index.get(name, -1) for name in names], dtype=np.int32)

    @property
    def time_s(self) -> float:
        """Simulated time since the start."""
        return float(self.data.time)

    @property
    def timestep_s(self) -> float:
        """Length of one physics step."""
        return float(self.model.opt.timestep)

    def body_id(self, index: int) -> int:
        """MuJoCo's id of a vehicle's body."""
        return self._body_ids[index]

    def vehicle_orientation_ned(self, index: int = 0) -> Vector:
        """Orientation FRD→NED, unit quaternion (4,) in order w, x, y, z."""
        return flip_quaternion(self.data.qpos[7 * index + 3 : 7 * index + 7])

    def place_at_start(self) -> None:
        """Put the first vehicle where the scene starts, standing still; whoever owns the others places them."""
        self.place_vehicle(self.scene.start_position_ned_m, quaternion_from_euler(yaw_deg=self.scene.start_yaw_deg))

    def reset(self) -> None:
        """Back to the first instant: time 0, the first vehicle at its start, nothing pushing, nothing spawned."""
        mujoco.mj_resetData(self.model, self.data)
        self.spares.clear()
        self.place_at_start()

    def place_vehicle(self, position_ned_m: npt.ArrayLike, orientation_wxyz_ned: npt.ArrayLike, index: int = 0) -> None:
        """Teleport a vehicle and stop it. The orientation need not be normalised."""
        orientation = flip_quaternion(orientation_wxyz_ned)
        at = 7 * index
        self.data.qpos[at : at + 3] = flip_vector(position_ned_m)
        self.data.qpos[at + 3 : at + 7] = orientation / np.linalg.norm(orientation)
        self.data.qvel[6 * index : 6 * index + 6] = 0
        self.data.xfrc_applied[self._body_ids[index]] = 0
        mujoco.mj_forward(self.model, self.data)

    def set_velocity(self, velocity_ned_m_s: npt.ArrayLike, rates_body_rad_s: npt.ArrayLike, index: int = 0) -> None:
        """Make a vehicle move and turn at once."""
        self.data.qvel[6 * index : 6 * index + 3] = flip_vector(velocity_ned_m_s)
        self.data.qvel[6 * index + 3 : 6 * index + 6] = flip_vector(rates_body_rad_s)

    def apply_body_wrench(self, force_ned_n: npt.ArrayLike, torque_body_nm: npt.ArrayLike, index: int = 0) -> None:
        """Push at the centre of mass until told otherwise; the torque is turned into the world frame now."""
        turn = rotation_matrix(self.vehicle_orientation_ned(index))
        torque_ned = turn @ np.asarray(torque_body_nm, dtype=np.float64)
        wrench = self.data.xfrc_applied[self._body_ids[index]]
        wrench[:3] = flip_vector(force_ned_n)
        wrench[3:] = flip_vector(torque_ned)

    def step(self, n: int = 1) -> None:
        """Let `n` time steps pass."""
        mujoco.mj_step(self.model, self.data, n)

    def contacts(self, index: int = 0) -> list[Contact]:
        """What a vehicle touches now, deepest first."""
        found = []
        body = self._body_ids[index]
        for contact in self.data.contact[: self.data.ncon]:
            bodies = self.model.geom_bodyid[contact.geom]
            if body not in bodies:
                continue
            other = int(contact.geom[0] if bodies[1] == body else contact.geom[1])
            # MuJoCo's normal points from the first geom to the second.
            sign = 1.0 if bodies[1] == body else -1.0
            position, normal = flip_vector(contact.pos), flip_vector(sign * contact.frame[:3])
            found.append(Contact(self._object_name(other), _triple(position), _triple(normal), float(-contact.dist)))
        return sorted(found, key=lambda contact: -contact.penetration_m)

    def _object_name(self, geom: int) -> str:
        return self.object_names[int(self.object_of_geom[geom])]

    def cast_ray(
        self, origin_ned_m: npt.ArrayLike, direction_ned: npt.ArrayLike, max_m: float, index: int = 0
    ) -> float | None:
        """Distance to the first thing within `max_m` along a ray, or None; vehicle `index` itself is not hit."""
        distance_m = float(self.cast_rays(origin_ned_m, [direction_ned], max_m, index)[0])
        return distance_m if np.isfinite(distance_m) else None

    def cast_rays(
        self,
        origin_ned_m: npt.ArrayLike,
        directions_ned: npt.ArrayLike | Sequence[npt.ArrayLike],
        max_m: float,
        index: int = 0,
    ) -> Vector:
        """Distances (n,) along directions (n, 3) from one origin; `inf` where nothing is hit within `max_m`."""
        directions = flip_vector(np.atleast_2d(np.asarray(directions_ned, dtype=np.float64)))
        directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
        count = len(directions)
        geoms, distances_m = np.empty(count, dtype=np.int32), np.empty(count)
        mujoco.mj_multiRay(
            self.model,
            self.data,
            flip_vector(origin_ned_m),
            directions.ravel(),
            _RAY_GROUPS,
            True,
            self._body_ids[index],
            geoms,
            distances_m,
            None,
            count,
            float(max_m),
        )
        return np.where((distances_m < 0) | (distances_m > max_m), np.inf, distances_m)

    def copy_render_state(self) -> RenderState:
        """This instant, for a camera on any thread."""
        data = self.data
        return RenderState(self.time_s, np.array(data.qpos), np.array(data.mocap_pos), np.array(data.mocap_quat))


def _body(index: int) -> str:
    return f"vehicle_{index}" if index else "vehicle"


def _document(scene: SceneSpec, vehicles: int) -> str:
    """The scene's own document with the other vehicles and the spare things beside its vehicle."""
    own = vehicle_xml()
    if scene.mjcf.count(own) != 1:
        raise ValueError(f"scene {scene.name!r} has not exactly one vehicle")
    others = "".join(vehicle_xml(_body(index)) for index in range(1, vehicles))
    return scene.mjcf.replace(own, own + others + spares_xml())


def _triple(vector: Vector) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])
