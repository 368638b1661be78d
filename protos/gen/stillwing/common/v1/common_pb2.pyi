import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Stamp(_message.Message):
    __slots__ = ("time", "clock_id")
    TIME_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    clock_id: str
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., clock_id: _Optional[str] = ...) -> None: ...

class PositionNed(_message.Message):
    __slots__ = ("north_m", "east_m", "down_m")
    NORTH_M_FIELD_NUMBER: _ClassVar[int]
    EAST_M_FIELD_NUMBER: _ClassVar[int]
    DOWN_M_FIELD_NUMBER: _ClassVar[int]
    north_m: float
    east_m: float
    down_m: float
    def __init__(self, north_m: _Optional[float] = ..., east_m: _Optional[float] = ..., down_m: _Optional[float] = ...) -> None: ...

class VelocityNed(_message.Message):
    __slots__ = ("north_m_s", "east_m_s", "down_m_s")
    NORTH_M_S_FIELD_NUMBER: _ClassVar[int]
    EAST_M_S_FIELD_NUMBER: _ClassVar[int]
    DOWN_M_S_FIELD_NUMBER: _ClassVar[int]
    north_m_s: float
    east_m_s: float
    down_m_s: float
    def __init__(self, north_m_s: _Optional[float] = ..., east_m_s: _Optional[float] = ..., down_m_s: _Optional[float] = ...) -> None: ...

class Quaternion(_message.Message):
    __slots__ = ("w", "x", "y", "z")
    W_FIELD_NUMBER: _ClassVar[int]
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    Z_FIELD_NUMBER: _ClassVar[int]
    w: float
    x: float
    y: float
    z: float
    def __init__(self, w: _Optional[float] = ..., x: _Optional[float] = ..., y: _Optional[float] = ..., z: _Optional[float] = ...) -> None: ...

class Pose(_message.Message):
    __slots__ = ("position", "orientation")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    ORIENTATION_FIELD_NUMBER: _ClassVar[int]
    position: PositionNed
    orientation: Quaternion
    def __init__(self, position: _Optional[_Union[PositionNed, _Mapping]] = ..., orientation: _Optional[_Union[Quaternion, _Mapping]] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("encoding", "width_px", "height_px", "data")
    class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ENCODING_UNSPECIFIED: _ClassVar[Image.Encoding]
        ENCODING_JPEG: _ClassVar[Image.Encoding]
        ENCODING_PNG: _ClassVar[Image.Encoding]
        ENCODING_RGB8: _ClassVar[Image.Encoding]
        ENCODING_DEPTH_F32: _ClassVar[Image.Encoding]
    ENCODING_UNSPECIFIED: Image.Encoding
    ENCODING_JPEG: Image.Encoding
    ENCODING_PNG: Image.Encoding
    ENCODING_RGB8: Image.Encoding
    ENCODING_DEPTH_F32: Image.Encoding
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    encoding: Image.Encoding
    width_px: int
    height_px: int
    data: bytes
    def __init__(self, encoding: _Optional[_Union[Image.Encoding, str]] = ..., width_px: _Optional[int] = ..., height_px: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class Vectors(_message.Message):
    __slots__ = ("shape", "data")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("frame_id", "camera_id", "capture", "camera_pose", "image", "hfov_deg")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CAMERA_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    CAMERA_POSE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    HFOV_DEG_FIELD_NUMBER: _ClassVar[int]
    frame_id: str
    camera_id: str
    capture: Stamp
    camera_pose: Pose
    image: Image
    hfov_deg: float
    def __init__(self, frame_id: _Optional[str] = ..., camera_id: _Optional[str] = ..., capture: _Optional[_Union[Stamp, _Mapping]] = ..., camera_pose: _Optional[_Union[Pose, _Mapping]] = ..., image: _Optional[_Union[Image, _Mapping]] = ..., hfov_deg: _Optional[float] = ...) -> None: ...
