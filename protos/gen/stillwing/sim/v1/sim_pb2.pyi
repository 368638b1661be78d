import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from stillwing.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetWorldRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetWorldResponse(_message.Message):
    __slots__ = ("simulator", "settings_json", "paused", "stamp")
    SIMULATOR_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_JSON_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    STAMP_FIELD_NUMBER: _ClassVar[int]
    simulator: str
    settings_json: str
    paused: bool
    stamp: _common_pb2.Stamp
    def __init__(self, simulator: _Optional[str] = ..., settings_json: _Optional[str] = ..., paused: bool = ..., stamp: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ...) -> None: ...

class ResetRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ResetResponse(_message.Message):
    __slots__ = ("stamp",)
    STAMP_FIELD_NUMBER: _ClassVar[int]
    stamp: _common_pb2.Stamp
    def __init__(self, stamp: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ...) -> None: ...

class PauseRequest(_message.Message):
    __slots__ = ("paused",)
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    paused: bool
    def __init__(self, paused: bool = ...) -> None: ...

class PauseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StepRequest(_message.Message):
    __slots__ = ("duration",)
    DURATION_FIELD_NUMBER: _ClassVar[int]
    duration: _duration_pb2.Duration
    def __init__(self, duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class StepResponse(_message.Message):
    __slots__ = ("stamp",)
    STAMP_FIELD_NUMBER: _ClassVar[int]
    stamp: _common_pb2.Stamp
    def __init__(self, stamp: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ...) -> None: ...

class GetGroundTruthRequest(_message.Message):
    __slots__ = ("vehicle_id", "object_name")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    OBJECT_NAME_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    object_name: str
    def __init__(self, vehicle_id: _Optional[str] = ..., object_name: _Optional[str] = ...) -> None: ...

class GetGroundTruthResponse(_message.Message):
    __slots__ = ("stamp", "pose", "velocity")
    STAMP_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    VELOCITY_FIELD_NUMBER: _ClassVar[int]
    stamp: _common_pb2.Stamp
    pose: _common_pb2.Pose
    velocity: _common_pb2.VelocityNed
    def __init__(self, stamp: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ..., pose: _Optional[_Union[_common_pb2.Pose, _Mapping]] = ..., velocity: _Optional[_Union[_common_pb2.VelocityNed, _Mapping]] = ...) -> None: ...

class ListObjectsRequest(_message.Message):
    __slots__ = ("name_regex",)
    NAME_REGEX_FIELD_NUMBER: _ClassVar[int]
    name_regex: str
    def __init__(self, name_regex: _Optional[str] = ...) -> None: ...

class ListObjectsResponse(_message.Message):
    __slots__ = ("object_names",)
    OBJECT_NAMES_FIELD_NUMBER: _ClassVar[int]
    object_names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, object_names: _Optional[_Iterable[str]] = ...) -> None: ...

class SpawnObjectRequest(_message.Message):
    __slots__ = ("object_name", "asset", "pose", "scale")
    OBJECT_NAME_FIELD_NUMBER: _ClassVar[int]
    ASSET_FIELD_NUMBER: _ClassVar[int]
    POSE_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    object_name: str
    asset: str
    pose: _common_pb2.Pose
    scale: float
    def __init__(self, object_name: _Optional[str] = ..., asset: _Optional[str] = ..., pose: _Optional[_Union[_common_pb2.Pose, _Mapping]] = ..., scale: _Optional[float] = ...) -> None: ...

class SpawnObjectResponse(_message.Message):
    __slots__ = ("object_name",)
    OBJECT_NAME_FIELD_NUMBER: _ClassVar[int]
    object_name: str
    def __init__(self, object_name: _Optional[str] = ...) -> None: ...
