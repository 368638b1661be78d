"""What all targets share: decisions out of bytes, and what a target is."""

import struct
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

Target = Callable[[bytes], bool]
"""Takes any bytes; whether they got past the first parse. Raises only for what is no answer to bad input."""
Make = Callable[[ExitStack], Target]

KEYS = (
    "x_val", "y_val", "z_val", "w_val", "position", "orientation", "linear_velocity", "is_rate", "yaw_or_rate",
    "camera_name", "image_type", "pixels_as_float", "compress", "kinematics_estimated", "timestamp", "landed_state",
    "has_collided", "object_name", "width", "height", "image_data_uint8", "image_data_float", "camera_position",
    "camera_orientation", "time_stamp", "message", "fov", "latitude", "longitude", "altitude",
)  # fmt: skip
TEXTS = ("", "SimpleFlight", "front_center", "0", "Imu", "ground", ".*", "(", "\udcff", "tree_1", "x" * 300)


class Dice:
    """Decisions out of bytes; zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    @property
    def used_up(self) -> bool:
        return self._place >= len(self._data)

    def byte(self) -> int:
        self._place += 1
        return self._data[self._place - 1] if self._place <= len(self._data) else 0

    def pick(self, options: Any) -> Any:
        return options[self.byte() % len(options)]

    def raw(self, most: int) -> bytes:
        count = self.byte() % (most + 1)
        taken = self._data[self._place : self._place + count]
        self._place += count
        return taken

    def value(self, depth: int = 0) -> Any:
        """Any msgpack value, of the shapes that AirSim's calls have more often than not."""
        kind = self.byte() % (16 if depth < 4 else 10)
        if kind < 2:
            return float(self.byte()) / 16
        if kind == 2:
            return struct.unpack("<d", self.raw(8).ljust(8, b"\0"))[0]
        if kind == 3:
            return self.pick((float("nan"), float("inf"), -float("inf"), 1e308, -0.0))
        if kind == 4:
            return self.pick((True, False, None))
        if kind == 5:
            return self.byte() - 128
        if kind == 6:
            return self.pick((0, -1, 1 << 31, -(1 << 31), (1 << 63) - 1, (1 << 64) - 1, 1 << 32))
        if kind < 9:
            return self.pick(TEXTS)
        if kind == 9:
            return self.raw(40)
        if kind < 12:
            return [self.value(depth + 1) for _ in range(self.byte() % 6)]
        if kind == 12:
            return {"x_val": self.value(4), "y_val": self.value(4), "z_val": self.value(4), "w_val": self.value(4)}
        return {self.pick(KEYS): self.value(depth + 1) for _ in range(self.byte() % 8)}
