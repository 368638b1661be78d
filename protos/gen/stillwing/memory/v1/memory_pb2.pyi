import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from stillwing.common.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RecalledBy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECALLED_BY_UNSPECIFIED: _ClassVar[RecalledBy]
    RECALLED_BY_NOTHING: _ClassVar[RecalledBy]
    RECALLED_BY_THINGS: _ClassVar[RecalledBy]
    RECALLED_BY_SIMILARITY: _ClassVar[RecalledBy]
RECALLED_BY_UNSPECIFIED: RecalledBy
RECALLED_BY_NOTHING: RecalledBy
RECALLED_BY_THINGS: RecalledBy
RECALLED_BY_SIMILARITY: RecalledBy

class GetBankRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetBankResponse(_message.Message):
    __slots__ = ("store", "store_version", "similarity", "keyframes", "entities", "revision", "tenant", "scorer", "image_bytes")
    STORE_FIELD_NUMBER: _ClassVar[int]
    STORE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIMILARITY_FIELD_NUMBER: _ClassVar[int]
    KEYFRAMES_FIELD_NUMBER: _ClassVar[int]
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    SCORER_FIELD_NUMBER: _ClassVar[int]
    IMAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    store: str
    store_version: str
    similarity: str
    keyframes: int
    entities: int
    revision: int
    tenant: str
    scorer: str
    image_bytes: int
    def __init__(self, store: _Optional[str] = ..., store_version: _Optional[str] = ..., similarity: _Optional[str] = ..., keyframes: _Optional[int] = ..., entities: _Optional[int] = ..., revision: _Optional[int] = ..., tenant: _Optional[str] = ..., scorer: _Optional[str] = ..., image_bytes: _Optional[int] = ...) -> None: ...

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
    __slots__ = ("frame", "sightings", "caption", "mission_id", "score", "vehicle_id", "put_time", "instruction", "chunk", "place", "forgotten")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    SIGHTINGS_FIELD_NUMBER: _ClassVar[int]
    CAPTION_FIELD_NUMBER: _ClassVar[int]
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    PUT_TIME_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    frame: _common_pb2.Frame
    sightings: _containers.RepeatedCompositeFieldContainer[Sighting]
    caption: str
    mission_id: str
    score: float
    vehicle_id: str
    put_time: _timestamp_pb2.Timestamp
    instruction: int
    chunk: int
    place: int
    forgotten: bool
    def __init__(self, frame: _Optional[_Union[_common_pb2.Frame, _Mapping]] = ..., sightings: _Optional[_Iterable[_Union[Sighting, _Mapping]]] = ..., caption: _Optional[str] = ..., mission_id: _Optional[str] = ..., score: _Optional[float] = ..., vehicle_id: _Optional[str] = ..., put_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., instruction: _Optional[int] = ..., chunk: _Optional[int] = ..., place: _Optional[int] = ..., forgotten: bool = ...) -> None: ...

class Attribute(_message.Message):
    __slots__ = ("text", "slot", "valid_from", "valid_to")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_TO_FIELD_NUMBER: _ClassVar[int]
    text: str
    slot: str
    valid_from: _timestamp_pb2.Timestamp
    valid_to: _timestamp_pb2.Timestamp
    def __init__(self, text: _Optional[str] = ..., slot: _Optional[str] = ..., valid_from: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_to: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Entity(_message.Message):
    __slots__ = ("entity_id", "label", "last_position", "last_seen", "merged_ids", "aliases", "kind", "attributes")
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    LAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_FIELD_NUMBER: _ClassVar[int]
    MERGED_IDS_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    entity_id: str
    label: str
    last_position: _common_pb2.PositionNed
    last_seen: _common_pb2.Stamp
    merged_ids: _containers.RepeatedScalarFieldContainer[str]
    aliases: _containers.RepeatedScalarFieldContainer[str]
    kind: str
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    def __init__(self, entity_id: _Optional[str] = ..., label: _Optional[str] = ..., last_position: _Optional[_Union[_common_pb2.PositionNed, _Mapping]] = ..., last_seen: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ..., merged_ids: _Optional[_Iterable[str]] = ..., aliases: _Optional[_Iterable[str]] = ..., kind: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

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
    __slots__ = ("text", "entity_id", "near", "captured", "page_size", "include_image", "mission_id")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    NEAR_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    text: str
    entity_id: str
    near: _common_pb2.PositionNed
    captured: TimeRange
    page_size: int
    include_image: bool
    mission_id: str
    def __init__(self, text: _Optional[str] = ..., entity_id: _Optional[str] = ..., near: _Optional[_Union[_common_pb2.PositionNed, _Mapping]] = ..., captured: _Optional[_Union[TimeRange, _Mapping]] = ..., page_size: _Optional[int] = ..., include_image: bool = ..., mission_id: _Optional[str] = ...) -> None: ...

class TimeRange(_message.Message):
    __slots__ = ("to",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    to: _common_pb2.Stamp
    def __init__(self, to: _Optional[_Union[_common_pb2.Stamp, _Mapping]] = ..., **kwargs) -> None: ...

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
    __slots__ = ("page_size", "page_token", "name")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    name: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

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
    __slots__ = ("revision", "keyframe_put", "entity_changed", "keyframe_forgotten")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYFRAME_PUT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_CHANGED_FIELD_NUMBER: _ClassVar[int]
    KEYFRAME_FORGOTTEN_FIELD_NUMBER: _ClassVar[int]
    revision: int
    keyframe_put: Keyframe
    entity_changed: Entity
    keyframe_forgotten: Keyframe
    def __init__(self, revision: _Optional[int] = ..., keyframe_put: _Optional[_Union[Keyframe, _Mapping]] = ..., entity_changed: _Optional[_Union[Entity, _Mapping]] = ..., keyframe_forgotten: _Optional[_Union[Keyframe, _Mapping]] = ...) -> None: ...

class ThingMention(_message.Message):
    __slots__ = ("label", "entity_id", "new", "kind", "attributes")
    LABEL_FIELD_NUMBER: _ClassVar[int]
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    label: str
    entity_id: str
    new: bool
    kind: str
    attributes: _containers.RepeatedCompositeFieldContainer[Attribute]
    def __init__(self, label: _Optional[str] = ..., entity_id: _Optional[str] = ..., new: bool = ..., kind: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[Attribute, _Mapping]]] = ...) -> None: ...

class BeginInstructionRequest(_message.Message):
    __slots__ = ("mission_id", "number", "text", "things", "include_image")
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    THINGS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_IMAGE_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    number: int
    text: str
    things: _containers.RepeatedCompositeFieldContainer[ThingMention]
    include_image: bool
    def __init__(self, mission_id: _Optional[str] = ..., number: _Optional[int] = ..., text: _Optional[str] = ..., things: _Optional[_Iterable[_Union[ThingMention, _Mapping]]] = ..., include_image: bool = ...) -> None: ...

class BeginInstructionResponse(_message.Message):
    __slots__ = ("entities", "memory", "recalled_by", "created")
    ENTITIES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    RECALLED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    entities: _containers.RepeatedCompositeFieldContainer[Entity]
    memory: _containers.RepeatedCompositeFieldContainer[Keyframe]
    recalled_by: RecalledBy
    created: bool
    def __init__(self, entities: _Optional[_Iterable[_Union[Entity, _Mapping]]] = ..., memory: _Optional[_Iterable[_Union[Keyframe, _Mapping]]] = ..., recalled_by: _Optional[_Union[RecalledBy, str]] = ..., created: bool = ...) -> None: ...

class ChunkFrame(_message.Message):
    __slots__ = ("keyframe", "mean_keys")
    KEYFRAME_FIELD_NUMBER: _ClassVar[int]
    MEAN_KEYS_FIELD_NUMBER: _ClassVar[int]
    keyframe: Keyframe
    mean_keys: _common_pb2.Vectors
    def __init__(self, keyframe: _Optional[_Union[Keyframe, _Mapping]] = ..., mean_keys: _Optional[_Union[_common_pb2.Vectors, _Mapping]] = ...) -> None: ...

class ThingView(_message.Message):
    __slots__ = ("entity_id", "tokens", "mean_query")
    ENTITY_ID_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    MEAN_QUERY_FIELD_NUMBER: _ClassVar[int]
    entity_id: str
    tokens: int
    mean_query: _common_pb2.Vectors
    def __init__(self, entity_id: _Optional[str] = ..., tokens: _Optional[int] = ..., mean_query: _Optional[_Union[_common_pb2.Vectors, _Mapping]] = ...) -> None: ...

class FileChunkRequest(_message.Message):
    __slots__ = ("mission_id", "instruction", "chunk", "frames", "views")
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    instruction: int
    chunk: int
    frames: _containers.RepeatedCompositeFieldContainer[ChunkFrame]
    views: _containers.RepeatedCompositeFieldContainer[ThingView]
    def __init__(self, mission_id: _Optional[str] = ..., instruction: _Optional[int] = ..., chunk: _Optional[int] = ..., frames: _Optional[_Iterable[_Union[ChunkFrame, _Mapping]]] = ..., views: _Optional[_Iterable[_Union[ThingView, _Mapping]]] = ...) -> None: ...

class FileChunkResponse(_message.Message):
    __slots__ = ("keyframe", "memory_frame_ids", "created", "revision")
    KEYFRAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    keyframe: Keyframe
    memory_frame_ids: _containers.RepeatedScalarFieldContainer[str]
    created: bool
    revision: int
    def __init__(self, keyframe: _Optional[_Union[Keyframe, _Mapping]] = ..., memory_frame_ids: _Optional[_Iterable[str]] = ..., created: bool = ..., revision: _Optional[int] = ...) -> None: ...

class ListInstructionsRequest(_message.Message):
    __slots__ = ("mission_id",)
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    def __init__(self, mission_id: _Optional[str] = ...) -> None: ...

class InstructionRecord(_message.Message):
    __slots__ = ("mission_id", "number", "text", "entity_ids", "recalled_by", "recalled_frame_ids", "memory_frame_ids", "begin_time", "mentions")
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_IDS_FIELD_NUMBER: _ClassVar[int]
    RECALLED_BY_FIELD_NUMBER: _ClassVar[int]
    RECALLED_FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    BEGIN_TIME_FIELD_NUMBER: _ClassVar[int]
    MENTIONS_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    number: int
    text: str
    entity_ids: _containers.RepeatedScalarFieldContainer[str]
    recalled_by: RecalledBy
    recalled_frame_ids: _containers.RepeatedScalarFieldContainer[str]
    memory_frame_ids: _containers.RepeatedScalarFieldContainer[str]
    begin_time: _timestamp_pb2.Timestamp
    mentions: _containers.RepeatedCompositeFieldContainer[ThingMention]
    def __init__(self, mission_id: _Optional[str] = ..., number: _Optional[int] = ..., text: _Optional[str] = ..., entity_ids: _Optional[_Iterable[str]] = ..., recalled_by: _Optional[_Union[RecalledBy, str]] = ..., recalled_frame_ids: _Optional[_Iterable[str]] = ..., memory_frame_ids: _Optional[_Iterable[str]] = ..., begin_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., mentions: _Optional[_Iterable[_Union[ThingMention, _Mapping]]] = ...) -> None: ...

class ListInstructionsResponse(_message.Message):
    __slots__ = ("instructions",)
    INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    instructions: _containers.RepeatedCompositeFieldContainer[InstructionRecord]
    def __init__(self, instructions: _Optional[_Iterable[_Union[InstructionRecord, _Mapping]]] = ...) -> None: ...
