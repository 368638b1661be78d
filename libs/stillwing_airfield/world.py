"""One scene in MuJoCo: where the vehicle is, what pushes it, what it touches, what a ray hits.

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

from stillwing_airfield.frames import Vector, flip_quaternion, flip_vector, quaternion_from_euler, rotation_matrix
from stillwing_airfield.scenes.base import SceneSpec

# Scenery of group 2 (painted shade) and the vehicle's own groups are invisible to rays.
_RAY_GROUPS = np.array([1, 1, 0, 0, 0, 0], dtype=np.uint8)


@dataclass(frozen=True)
class Contact:
    """The vehicle touches something: where, with the normal pointing from that thing to the vehicle."""

    object_name: str
    position_ned_m: tuple[float, float, float]
    normal_ned: tuple[float, float, float]
    penetration_m: float


@dataclass(frozen=True)
class RenderState:
    """All that a camera needs to draw one instant; a copy, safe to hand to another thread."""

    time_s: float
    qpos: Vector


class World:
    """MuJoCo model and data of one scene, spoken to in NED and FRD."""

    def __init__(self, scene: SceneSpec, timestep_s: float = 0.005) -> None:
        """Compile `scene` and put the vehicle at its start; `timestep_s` is one physics step."""
        self.scene = scene
        self.model = mujoco.MjModel.from_xml_string(scene.mjcf)
        self.model.opt.timestep = timestep_s
        self.data = mujoco.MjData(self.model)
        self.vehicle_body_id: int = mujoco.mj_name2id(self.model, mujoco.mjtObj.mjOBJ_BODY, "vehicle")
        self.object_names: tuple[str, ...] = tuple(thing.name for thing in scene.objects)
        self.object_of_geom: npt.NDArray[np.int32] = self._objects_of_geoms()
        """For each MuJoCo geom id the index into `scene.objects`, or -1 for the vehicle."""
        self.place_at_start()

    def _objects_of_geoms(self) -> npt.NDArray[np.int32]:
        index = {name: i for i, name in enumerate(self.object_names)}
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

    def vehicle_position_ned_m(self) -> Vector:
        """Position of the underside of the vehicle, (3,)."""
        return flip_vector(self.data.qpos[:3])

    def vehicle_orientation_ned(self) -> Vector:
        """Orientation FRD→NED, unit quaternion (4,) in order w, x, y, z."""
        return flip_quaternion(self.data.qpos[3:7])

    def vehicle_velocity_ned_m_s(self) -> Vector:
        """Linear velocity, (3,)."""
        return flip_vector(self.data.qvel[:3])

    def vehicle_angular_velocity_body_rad_s(self) -> Vector:
        """Rates about forward, right, down, (3,)."""
        return flip_vector(self.data.qvel[3:6])

    def place_at_start(self) -> None:
        """Put the vehicle where the scene starts, standing still."""
        self.place_vehicle(self.scene.start_position_ned_m, quaternion_from_euler(yaw_deg=self.scene.start_yaw_deg))

    def reset(self) -> None:
        """Back to the first instant: time 0, the vehicle at its start, nothing pushing it."""
        mujoco.mj_resetData(self.model, self.data)
        self.place_at_start()

    def place_vehicle(self, position_ned_m: npt.ArrayLike, orientation_wxyz_ned: npt.ArrayLike) -> None:
        """Teleport the vehicle and stop it. The orientation need not be normalised."""
        orientation = flip_quaternion(orientation_wxyz_ned)
        self.data.qpos[:3] = flip_vector(position_ned_m)
        self.data.qpos[3:7] = orientation / np.linalg.norm(orientation)
        self.data.qvel[:6] = 0
        self.data.xfrc_applied[self.vehicle_body_id] = 0
        mujoco.mj_forward(self.model, self.data)

    def apply_body_wrench(self, force_ned_n: npt.ArrayLike, torque_body_nm: npt.ArrayLike) -> None:
        """Push at the centre of mass until told otherwise; the torque is turned into the world frame now."""
        torque_ned = rotation_matrix(self.vehicle_orientation_ned()) @ np.asarray(torque_body_nm, dtype=np.float64)
        wrench = self.data.xfrc_applied[self.vehicle_body_id]
        wrench[:3] = flip_vector(force_ned_n)
        wrench[3:] = flip_vector(torque_ned)

    def step(self, n: int = 1) -> None:
        """Let `n` time steps pass."""
        mujoco.mj_step(self.model, self.data, n)

    def contacts(self) -> list[Contact]:
        """What the vehicle touches now, deepest first."""
        found = []
        for contact in self.data.contact[: self.data.ncon]:
            bodies = self.model.geom_bodyid[contact.geom]
            if self.vehicle_body_id not in bodies:
                continue
            other = int(contact.geom[0] if bodies[1] == self.vehicle_body_id else contact.geom[1])
            # MuJoCo's normal points from the first geom to the second.
            sign = 1.0 if bodies[1] == self.vehicle_body_id else -1.0
            position, normal = flip_vector(contact.pos), flip_vector(sign * contact.frame[:3])
            found.append(Contact(self._object_name(other), _triple(position), _triple(normal), float(-contact.dist)))
        return sorted(found, key=lambda contact: -contact.penetration_m)

    def _object_name(self, geom: int) -> str:
        return self.object_names[int(self.object_of_geom[geom])]

    def cast_ray(self, origin_ned_m: npt.ArrayLike, direction_ned: npt.ArrayLike, max_m: float) -> float | None:
        """Distance to the first thing within `max_m` along a ray, or None; the vehicle itself is not hit."""
        distance_m = float(self.cast_rays(origin_ned_m, [direction_ned], max_m)[0])
        return distance_m if np.isfinite(distance_m) else None

    def cast_rays(
        self, origin_ned_m: npt.ArrayLike, directions_ned: npt.ArrayLike | Sequence[npt.ArrayLike], max_m: float
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
            self.vehicle_body_id,
            geoms,
            distances_m,
            None,
            count,
            float(max_m),
        )
        return np.where((distances_m < 0) | (distances_m > max_m), np.inf, distances_m)

    def copy_render_state(self) -> RenderState:
        """This instant, for a camera on any thread."""
        return RenderState(self.time_s, np.array(self.data.qpos))


def _triple(vector: Vector) -> tuple[float, float, float]:
    return float(vector[0]), float(vector[1]), float(vector[2])
