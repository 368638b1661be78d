"""The two frames of the simulator and the way between them. It knows no simulator.

MuJoCo's world is x north, y west, z up and its bodies x forward, y left, z up. Everybody else is told NED (north,
east, down) and FRD (forward, right, down). Both pairs differ by half a turn about x, so one rule serves vectors of
either kind and is its own inverse.
"""

import math

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

_FLIP_VECTOR = np.array([1.0, -1.0, -1.0])
_FLIP_QUATERNION = np.array([1.0, 1.0, -1.0, -1.0])


def flip_vector(vector: npt.ArrayLike) -> Vector:
    """NED to MuJoCo or back, (..., 3)."""
    flipped: Vector = np.asarray(vector, dtype=np.float64) * _FLIP_VECTOR
    return flipped


def flip_quaternion(quaternion_wxyz: npt.ArrayLike) -> Vector:
    """Orientation FRD→NED to FLU→MuJoCo or back, (4,) in order w, x, y, z."""
    flipped: Vector = np.asarray(quaternion_wxyz, dtype=np.float64) * _FLIP_QUATERNION
    return flipped


def rotation_matrix(quaternion_wxyz: npt.ArrayLike) -> Vector:
    """Matrix (3, 3) of a unit quaternion: columns are the body's axes in the outer frame."""
    w, x, y, z = (float(part) for part in np.asarray(quaternion_wxyz))
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def quaternion_from_euler(roll_deg: float = 0.0, pitch_deg: float = 0.0, yaw_deg: float = 0.0) -> Vector:
    """Orientation FRD→NED, (4,) in order w, x, y, z, from yaw, then pitch (nose up positive), then roll."""
    r, p, y = (math.radians(angle) / 2 for angle in (roll_deg, pitch_deg, yaw_deg))
    cr, sr, cp, sp, cy, sy = math.cos(r), math.sin(r), math.cos(p), math.sin(p), math.cos(y), math.sin(y)
    return np.array(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )
