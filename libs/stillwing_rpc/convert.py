"""`stillwing.common.v1` messages to the plain types of `stillwing_common.types` and back.

Each `…_from_wire` refuses what the types cannot hold (`InvalidInput`): an encoding that is not said, numbers that are
not finite, an orientation that is no rotation. Names of fields in errors are those of the wire.
"""

import math

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from stillwing.common.v1 import common_pb2
from stillwing_common.errors import InvalidInput
from stillwing_common.types import (
    Frame,
    Image,
    ImageEncoding,
    Pose,
    PositionNed,
    Quaternion,
    Stamp,
    VelocityNed,
)

_ENCODING_TO_WIRE: dict[ImageEncoding, common_pb2.Image.Encoding] = {
    ImageEncoding.JPEG: common_pb2.Image.ENCODING_JPEG,
    ImageEncoding.PNG: common_pb2.Image.ENCODING_PNG,
    ImageEncoding.RGB8: common_pb2.Image.ENCODING_RGB8,
    ImageEncoding.DEPTH_F32: common_pb2.Image.ENCODING_DEPTH_F32,
}
_ENCODING_FROM_WIRE: dict[int, ImageEncoding] = {int(wire): encoding for encoding, wire in _ENCODING_TO_WIRE.items()}

_QUATERNION_NORM_TOLERANCE = 1e-3
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799
"""What google.protobuf.Timestamp may hold: 0001-01-01 to 9999-12-31."""


def timestamp_to_wire(time_ns: int) -> Timestamp:
    """Nanoseconds since the clock's zero (1970 UTC for a wall clock)."""
    return Timestamp(seconds=time_ns // 1_000_000_000, nanos=time_ns % 1_000_000_000)


def timestamp_from_wire(message: Timestamp) -> int:
    """Nanoseconds since the clock's zero; `InvalidInput` beyond the years 1 to 9999, all that the type may hold."""
    if not (_FIRST_S <= message.seconds <= _LAST_S and 0 <= message.nanos < 1_000_000_000):
        raise InvalidInput(f"{message.seconds} s and {message.nanos} ns are no instant", field="seconds")
    return message.seconds * 1_000_000_000 + message.nanos


def duration_to_wire(seconds: float) -> Duration:
    """A span; seconds, rounded to nanoseconds."""
    total_ns = round(seconds * 1e9)
    sign = -1 if total_ns < 0 else 1
    whole, nanos = divmod(abs(total_ns), 1_000_000_000)
    return Duration(seconds=sign * whole, nanos=sign * nanos)


def duration_from_wire(message: Duration) -> float:
    """Seconds."""
    return message.seconds + message.nanos / 1e9


def stamp_to_wire(stamp: Stamp) -> common_pb2.Stamp:
    """An instant on a named clock."""
    return common_pb2.Stamp(time=timestamp_to_wire(stamp.time_ns), clock_id=stamp.clock_id)


def stamp_from_wire(message: common_pb2.Stamp) -> Stamp:
    """An instant on a named clock."""
    return Stamp(timestamp_from_wire(message.time), message.clock_id)


def position_to_wire(position: PositionNed) -> common_pb2.PositionNed:
    """Metres from home."""
    return common_pb2.PositionNed(north_m=position.north_m, east_m=position.east_m, down_m=position.down_m)


def position_from_wire(message: common_pb2.PositionNed) -> PositionNed:
    """Metres from home."""
    _refuse_not_finite("position", message.north_m, message.east_m, message.down_m)
    return PositionNed(message.north_m, message.east_m, message.down_m)


def velocity_to_wire(velocity: VelocityNed) -> common_pb2.VelocityNed:
    """Metres a second over ground."""
    return common_pb2.VelocityNed(north_m_s=velocity.north_m_s, east_m_s=velocity.east_m_s, down_m_s=velocity.down_m_s)


def velocity_from_wire(message: common_pb2.VelocityNed) -> VelocityNed:
    """Metres a second over ground."""
    _refuse_not_finite("velocity", message.north_m_s, message.east_m_s, message.down_m_s)
    return VelocityNed(message.north_m_s, message.east_m_s, message.down_m_s)


def quaternion_to_wire(quaternion: Quaternion) -> common_pb2.Quaternion:
    """Body to world."""
    return common_pb2.Quaternion(w=quaternion.w, x=quaternion.x, y=quaternion.y, z=quaternion.z)


def quaternion_from_wire(message: common_pb2.Quaternion) -> Quaternion:
    """Body to world; made exactly unit, refused where it is far from it."""
    _refuse_not_finite("orientation", message.w, message.x, message.y, message.z)
    norm = math.hypot(message.w, message.x, message.y, message.z)
    if abs(norm - 1) > _QUATERNION_NORM_TOLERANCE:
        raise InvalidInput(f"orientation is no unit quaternion: its norm is {norm:.4g}", field="orientation")
    return Quaternion(message.w / norm, message.x / norm, message.y / norm, message.z / norm)


def pose_to_wire(pose: Pose) -> common_pb2.Pose:
    """Place and attitude."""
    return common_pb2.Pose(position=position_to_wire(pose.position), orientation=quaternion_to_wire(pose.orientation))


def pose_from_wire(message: common_pb2.Pose) -> Pose:
    """Place and attitude; both must be given."""
    for field in ("position", "orientation"):
        if not message.HasField(field):
            raise InvalidInput(f"pose has no {field}", field=field)
    return Pose(position_from_wire(message.position), quaternion_from_wire(message.orientation))


def encoding_to_wire(encoding: ImageEncoding) -> common_pb2.Image.Encoding:
    """How the bytes of an image are to be read."""
    return _ENCODING_TO_WIRE[encoding]


def encoding_from_wire(value: int) -> ImageEncoding:
    """How the bytes of an image are to be read; what is unset or unknown is refused."""
    encoding = _ENCODING_FROM_WIRE.get(value)
    if encoding is None:
        raise InvalidInput(f"image encoding {value} is unset or unknown", field="encoding", value=value)
    return encoding


def image_to_wire(image: Image) -> common_pb2.Image:
    """Encoded pixels."""
    return common_pb2.Image(
        encoding=encoding_to_wire(image.encoding), width_px=image.width_px, height_px=image.height_px, data=image.data
    )


def image_from_wire(message: common_pb2.Image) -> Image:
    """Encoded pixels; the bytes themselves are looked at by whoever decodes them."""
    return Image(encoding_from_wire(message.encoding), message.width_px, message.height_px, message.data)


def frame_to_wire(frame: Frame) -> common_pb2.Frame:
    """One image in space and time."""
    return common_pb2.Frame(
        frame_id=frame.frame_id,
        camera_id=frame.camera_id,
        capture=stamp_to_wire(frame.capture),
        camera_pose=None if frame.camera_pose is None else pose_to_wire(frame.camera_pose),
        image=image_to_wire(frame.image),
        hfov_deg=frame.hfov_deg,
    )


def frame_from_wire(message: common_pb2.Frame) -> Frame:
    """One image in space and time; it needs an id and an image."""
    if not message.frame_id:
        raise InvalidInput("frame has no frame_id", field="frame_id")
    if not message.HasField("image"):
        raise InvalidInput(f"frame {message.frame_id} has no image", field="image")
    return Frame(
        frame_id=message.frame_id,
        camera_id=message.camera_id,
        capture=stamp_from_wire(message.capture),
        camera_pose=pose_from_wire(message.camera_pose) if message.HasField("camera_pose") else None,
        image=image_from_wire(message.image),
        hfov_deg=message.hfov_deg if message.HasField("hfov_deg") else None,
    )


def _refuse_not_finite(field: str, *values: float) -> None:
    if not all(math.isfinite(value) for value in values):
        raise InvalidInput(f"{field} holds a number that is not finite", field=field)
