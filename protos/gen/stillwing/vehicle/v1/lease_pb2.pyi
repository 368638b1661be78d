import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Lease(_message.Message):
    __slots__ = ("vehicle_id", "epoch", "sequence")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    epoch: str
    sequence: int
    def __init__(self, vehicle_id: _Optional[str] = ..., epoch: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class LeaseState(_message.Message):
    __slots__ = ("lease", "holder", "expire_time", "stale")
    LEASE_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    STALE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    holder: str
    expire_time: _timestamp_pb2.Timestamp
    stale: bool
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ..., holder: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stale: bool = ...) -> None: ...

class AcquireLeaseRequest(_message.Message):
    __slots__ = ("vehicle_id", "holder", "stale_after")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    STALE_AFTER_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    holder: str
    stale_after: _duration_pb2.Duration
    def __init__(self, vehicle_id: _Optional[str] = ..., holder: _Optional[str] = ..., stale_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class AcquireLeaseResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: LeaseState
    def __init__(self, state: _Optional[_Union[LeaseState, _Mapping]] = ...) -> None: ...

class TakeLeaseRequest(_message.Message):
    __slots__ = ("vehicle_id", "holder", "reason", "stale_after")
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    HOLDER_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STALE_AFTER_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    holder: str
    reason: str
    stale_after: _duration_pb2.Duration
    def __init__(self, vehicle_id: _Optional[str] = ..., holder: _Optional[str] = ..., reason: _Optional[str] = ..., stale_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class TakeLeaseResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: LeaseState
    def __init__(self, state: _Optional[_Union[LeaseState, _Mapping]] = ...) -> None: ...

class RetainLeaseRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ...) -> None: ...

class RetainLeaseResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: LeaseState
    def __init__(self, state: _Optional[_Union[LeaseState, _Mapping]] = ...) -> None: ...

class GetLeaseRequest(_message.Message):
    __slots__ = ("vehicle_id",)
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    vehicle_id: str
    def __init__(self, vehicle_id: _Optional[str] = ...) -> None: ...

class GetLeaseResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: LeaseState
    def __init__(self, state: _Optional[_Union[LeaseState, _Mapping]] = ...) -> None: ...

class ReturnLeaseRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ...) -> None: ...

class ReturnLeaseResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AttendLeaseRequest(_message.Message):
    __slots__ = ("lease",)
    LEASE_FIELD_NUMBER: _ClassVar[int]
    lease: Lease
    def __init__(self, lease: _Optional[_Union[Lease, _Mapping]] = ...) -> None: ...

class AttendLeaseResponse(_message.Message):
    __slots__ = ("state",)
    STATE_FIELD_NUMBER: _ClassVar[int]
    state: LeaseState
    def __init__(self, state: _Optional[_Union[LeaseState, _Mapping]] = ...) -> None: ...
