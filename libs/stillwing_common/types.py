"""Values that cross the borders between services, as plain frozen dataclasses. They know nothing of any wire format.

World axes are NED (north, east, down; metres from the vehicle's home point); body axes are FRD (forward, right, down).
"""

import math
from dataclasses import dataclass
from enum import Enum
from typing import Self


@dataclass(frozen=True, slots=True)
class Stamp:
    """An instant on one named clock; two stamps compare only if their `clock_id` is equal."""

    time_ns: int
    clock_id: str


@dataclass(frozen=True, slots=True)
class PositionNed:
    """Metres north, east and down of home."""

    north_m: float
    east_m: float
    down_m: float

    def distance_m(self, other: "PositionNed") -> float:
        """Straight-line distance in metres."""
        return math.dist(
            (self.north_m, self.east_m, self.down_m),
            (other.north_m, other.east_m, other.down_m),
        )


@dataclass(frozen=True, slots=True)
class VelocityNed:
    """Metres a second north, east and down, over ground."""

    north_m_s: float
    east_m_s: float
    down_m_s: float

    @property
    def speed_m_s(self) -> float:
        """Magnitude, metres a second."""
        return math.hypot(self.north_m_s, self.east_m_s, self.down_m_s)


@dataclass(frozen=True, slots=True)
class Quaternion:
    """Unit quaternion that rotates body (FRD) to world (NED)."""

    w: float
    x: float
    y: float
    z: float

    @classmethod
    def from_yaw_deg(cls, yaw_deg: float) -> Self:
        """Level attitude with heading `yaw_deg`, degrees clockwise from north."""
        half = math.radians(yaw_deg) / 2
        return cls(math.cos(half), 0.0, 0.0, math.sin(half))

    @property
    def yaw_deg(self) -> float:
        """Heading in degrees clockwise from north, in (-180, 180]."""
        siny = 2 * (self.w * self.z + self.x * self.y)
        cosy = 1 - 2 * (self.y * self.y + self.z * self.z)
        return math.degrees(math.atan2(siny, cosy))

    def rotate(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """A body vector in world axes: v + 2 q × (q × v + w v), q the vector part."""
        cx = self.y * z - self.z * y + self.w * x
        cy = self.z * x - self.x * z + self.w * y
        cz = self.x * y - self.y * x + self.w * z
        return (
            x + 2 * (self.y * cz - self.z * cy),
            y + 2 * (self.z * cx - self.x * cz),
            z + 2 * (self.x * cy - self.y * cx),
        )


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a body is and how it is turned."""

    position: PositionNed
    orientation: Quaternion


class ImageEncoding(Enum):
    """How `Image.data` is to be read."""

    JPEG = "jpeg"
    PNG = "png"
    RGB8 = "rgb8"
    DEPTH_F32 = "depth_f32"


@dataclass(frozen=True, slots=True)
class Image:
    """Encoded pixels: a JPEG or PNG file, rows of 8-bit R,G,B, or rows of little-endian float32 planar metres."""

    encoding: ImageEncoding
    width_px: int
    height_px: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """One image with what is needed to place it in space and time; `frame_id` is "<vehicle>/<camera>/<n>"."""

    frame_id: str
    camera_id: str
    capture: Stamp
    camera_pose: Pose | None
    image: Image
    hfov_deg: float | None = None
