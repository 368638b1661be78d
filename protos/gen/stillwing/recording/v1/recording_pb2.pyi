import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecorderReport(_message.Message):
    __slots__ = ("report_time", "streams", "final")
    REPORT_TIME_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    report_time: _timestamp_pb2.Timestamp
    streams: _containers.RepeatedCompositeFieldContainer[StreamReport]
    final: bool
    def __init__(self, report_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., streams: _Optional[_Iterable[_Union[StreamReport, _Mapping]]] = ..., final: bool = ...) -> None: ...

class StreamReport(_message.Message):
    __slots__ = ("topic", "written", "dropped", "missed", "interruptions")
    TOPIC_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    INTERRUPTIONS_FIELD_NUMBER: _ClassVar[int]
    topic: str
    written: int
    dropped: int
    missed: int
    interruptions: int
    def __init__(self, topic: _Optional[str] = ..., written: _Optional[int] = ..., dropped: _Optional[int] = ..., missed: _Optional[int] = ..., interruptions: _Optional[int] = ...) -> None: ...
