import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stillwing.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetBankRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBankResponse(_message.Message):
    __slots__ = ("store", "store_version", "similarity", "keyframes", "entities", "revision")
    STORE_FIELD_NUMBER: _ClassVar[int]
    STORE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    KEYFRAMES_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    store: str
    store_version: str
    similarity: str
    keyframes: int
    entities: int
    revision: int
    def __init__(self, store: _Optional[str] = ..., store_version: _Optional[str] = ..., similarity: _Optional[str] = ..., keyframes: _Optional[int] = ..., entities: _Optional[int] = ..., revision: _Optional[int] = ...) -> None: ...

class Sighting(_message.Message):
    __slots__ = ("entity_id", "track_id", "label", "box", "confidence", "position")
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    TRACK_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    entity_id: str
    track_id: str
    label: str
    box: _containers.RepeatedScalarFieldContainer[float]
    confidence: float
    position: _common_pb2.PositionNed
    def __init__(self, entity_id: _Optional[str] = ..., track_id: _Optional[str] = ..., label: _Optional[str] = ..., box: _Optional[_Iterable[float]] = ..., confidence: _Optional[float] = ..., position: _Optional[_Union[_common_pb2.PositionNed, _Mapping]] = ...) -> None: ...

class Keyframe(_message.Message):
    __slots__ = ("frame", "sightings", "caption", "mission_id", "score", "vehicle_id", "put_time")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    SIGHTINGS_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    PUT_TIME_FIELD_NUMBER: _ClassVar[int]
    frame: _common_pb2.Frame
    sightings: _containers.RepeatedCompositeFieldContainer[Sighting]
    caption: str
    mission_id: str
    score: float
    vehicle_id: str
    put_time: _timestamp_pb2.Timestamp
    def __init__(self, frame: _Optional[_Union[_common_pb2.Frame, _Mapping]] = ..., sightings: _Optional[_Iterable[_Union[Sighting, _Mapping]]] = ..., caption: _Optional[str] = ..., mission_id: _Optional[str] = ..., score: _Optional[float] = ..., vehicle_id: _Optional[str] = ..., put_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("entity_id", "label", "last_position", "last_seen", "merged_ids", "aliases")
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    LAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    MERGED_IDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    entity_id: str
    label: str
    last_position: _common_pb2.PositionNed
    last_seen: _common_pb2.Stamp
    merged_ids: _containers.RepeatedScalarFieldContainer[str]
    aliases: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, entity_id: _Optional[str] = ..., label: _Optional[str] = ..., last_position: _Optional[_Union[_common_pb2.PositionNed, _Mapping]] = ..., last_seen: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ..., merged_ids: _Optional[_Iterable[str]] = ..., aliases: _Optional[_Iterable[str]] = ...) -> None: ...

class PutKeyframeRequest(_message.Message):
    __slots__ = ("keyframe",)
    KEYFRAME_FIELD_NUMBER: _ClassVar[int]
    keyframe: Keyframe
    def __init__(self, keyframe: _Optional[_Union[Keyframe, _Mapping]] = ...) -> None: ...

class PutKeyframeResponse(_message.Message):
    __slots__ = ("keyframe", "revision", "created")
    KEYFRAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    keyframe: Keyframe
    revision: int
    created: bool
    def __init__(self, keyframe: _Optional[_Union[Keyframe, _Mapping]] = ..., revision: _Optional[int] = ..., created: bool = ...) -> None: ...

class GetKeyframeRequest(_message.Message):
    __slots__ = ("frame_id", "include_image", "clock_id")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    frame_id: str
    include_image: bool
    clock_id: str
    def __init__(self, frame_id: _Optional[str] = ..., include_image: bool = ..., clock_id: _Optional[str] = ...) -> None: ...

class GetKeyframeResponse(_message.Message):
    __slots__ = ("keyframe",)
    KEYFRAME_FIELD_NUMBER: _ClassVar[int]
    keyframe: Keyframe
    def __init__(self, keyframe: _Optional[_Union[Keyframe, _Mapping]] = ...) -> None: ...

class ListKeyframesRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "mission_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    mission_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., mission_id: _Optional[str] = ...) -> None: ...

class ListKeyframesResponse(_message.Message):
    __slots__ = ("keyframes", "next_page_token")
    KEYFRAMES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    keyframes: _containers.RepeatedCompositeFieldContainer[Keyframe]
    next_page_token: str
    def __init__(self, keyframes: _Optional[_Iterable[_Union[Keyframe, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class SearchKeyframesRequest(_message.Message):
    __slots__ = ("text", "entity_id", "near", "page_size", "include_image", "mission_id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    NEAR_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    entity_id: str
    near: _common_pb2.PositionNed
    page_size: int
    include_image: bool
    mission_id: str
    def __init__(self, text: _Optional[str] = ..., entity_id: _Optional[str] = ..., near: _Optional[_Union[_common_pb2.PositionNed, _Mapping]] = ..., page_size: _Optional[int] = ..., include_image: bool = ..., mission_id: _Optional[str] = ...) -> None: ...

class SearchKeyframesResponse(_message.Message):
    __slots__ = ("matches",)
    class Match(_message.Message):
        __slots__ = ("keyframe", "score")
        KEYFRAME_FIELD_NUMBER: _ClassVar[int]
        SCORE_FIELD_NUMBER: _ClassVar[int]
        keyframe: Keyframe
        score: float
        def __init__(self, keyframe: _Optional[_Union[Keyframe, _Mapping]] = ..., score: _Optional[float] = ...) -> None: ...
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: _containers.RepeatedCompositeFieldContainer[SearchKeyframesResponse.Match]
    def __init__(self, matches: _Optional[_Iterable[_Union[SearchKeyframesResponse.Match, _Mapping]]] = ...) -> None: ...

class ListEntitiesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListEntitiesResponse(_message.Message):
    __slots__ = ("entities", "next_page_token")
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    next_page_token: str
    def __init__(self, entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class MergeEntitiesRequest(_message.Message):
    __slots__ = ("into_entity_id", "from_entity_id")
    INTO_ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    into_entity_id: str
    from_entity_id: str
    def __init__(self, into_entity_id: _Optional[str] = ..., from_entity_id: _Optional[str] = ...) -> None: ...

class MergeEntitiesResponse(_message.Message):
    __slots__ = ("entity",)
    ENTITY_FIELD_NUMBER: _ClassVar[int]
    entity: Entity
    def __init__(self, entity: _Optional[_Union[Entity, _Mapping]] = ...) -> None: ...

class WatchChangesRequest(_message.Message):
    __slots__ = ("after_revision",)
    AFTER_REVISION_FIELD_NUMBER: _ClassVar[int]
    after_revision: int
    def __init__(self, after_revision: _Optional[int] = ...) -> None: ...

class WatchChangesResponse(_message.Message):
    __slots__ = ("revision", "keyframe_put", "entity_changed")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYFRAME_PUT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_CHANGED_FIELD_NUMBER: _ClassVar[int]
    revision: int
    keyframe_put: Keyframe
    entity_changed: Entity
    def __init__(self, revision: _Optional[int] = ..., keyframe_put: _Optional[_Union[Keyframe, _Mapping]] = ..., entity_changed: _Optional[_Union[Entity, _Mapping]] = ...) -> None: ...
