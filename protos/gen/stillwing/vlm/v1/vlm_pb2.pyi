import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from stillwing.common.v1 import common_pb2 as _common_pb2
from stillwing.vlm.v1 import conversation_pb2 as _conversation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FramePolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FRAME_POLICY_UNSPECIFIED: _ClassVar[FramePolicy]
    FRAME_POLICY_IN_ORDER: _ClassVar[FramePolicy]
    FRAME_POLICY_NEWEST_WINS: _ClassVar[FramePolicy]
FRAME_POLICY_UNSPECIFIED: FramePolicy
FRAME_POLICY_IN_ORDER: FramePolicy
FRAME_POLICY_NEWEST_WINS: FramePolicy

class GetModelRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("engine", "model", "device", "dtype", "parameters", "cache_bytes_per_token", "default_max_context_tokens", "budget_reason", "can_snapshot", "can_recall", "max_sessions", "max_asks", "max_text_chars", "max_watches", "idle_timeout", "default_eviction", "can_export", "can_recall_kept", "attention", "attention_reason", "decoding", "default_gate_levels", "budget_plan", "layers", "default_layout", "kv_cache_dtype", "weight_dtype", "chat", "max_question_tokens", "max_tools", "max_messages", "max_conversation_chars", "path_proofs")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    CACHE_BYTES_PER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_MAX_CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_REASON_FIELD_NUMBER: _ClassVar[int]
    CAN_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    CAN_RECALL_FIELD_NUMBER: _ClassVar[int]
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_ASKS_FIELD_NUMBER: _ClassVar[int]
    MAX_TEXT_CHARS_FIELD_NUMBER: _ClassVar[int]
    MAX_WATCHES_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EVICTION_FIELD_NUMBER: _ClassVar[int]
    CAN_EXPORT_FIELD_NUMBER: _ClassVar[int]
    CAN_RECALL_KEPT_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_FIELD_NUMBER: _ClassVar[int]
    ATTENTION_REASON_FIELD_NUMBER: _ClassVar[int]
    DECODING_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_GATE_LEVELS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_PLAN_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_LAYOUT_FIELD_NUMBER: _ClassVar[int]
    KV_CACHE_DTYPE_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_DTYPE_FIELD_NUMBER: _ClassVar[int]
    CHAT_FIELD_NUMBER: _ClassVar[int]
    MAX_QUESTION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_TOOLS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGES_FIELD_NUMBER: _ClassVar[int]
    MAX_CONVERSATION_CHARS_FIELD_NUMBER: _ClassVar[int]
    PATH_PROOFS_FIELD_NUMBER: _ClassVar[int]
    engine: str
    model: str
    device: str
    dtype: str
    parameters: int
    cache_bytes_per_token: int
    default_max_context_tokens: int
    budget_reason: str
    can_snapshot: bool
    can_recall: bool
    max_sessions: int
    max_asks: int
    max_text_chars: int
    max_watches: int
    idle_timeout: _duration_pb2.Duration
    default_eviction: Eviction
    can_export: bool
    can_recall_kept: bool
    attention: str
    attention_reason: str
    decoding: str
    default_gate_levels: float
    budget_plan: BudgetPlan
    layers: int
    default_layout: FrameLayout
    kv_cache_dtype: str
    weight_dtype: str
    chat: _conversation_pb2.ChatFormat
    max_question_tokens: int
    max_tools: int
    max_messages: int
    max_conversation_chars: int
    path_proofs: _containers.RepeatedCompositeFieldContainer[PathProof]
    def __init__(self, engine: _Optional[str] = ..., model: _Optional[str] = ..., device: _Optional[str] = ..., dtype: _Optional[str] = ..., parameters: _Optional[int] = ..., cache_bytes_per_token: _Optional[int] = ..., default_max_context_tokens: _Optional[int] = ..., budget_reason: _Optional[str] = ..., can_snapshot: bool = ..., can_recall: bool = ..., max_sessions: _Optional[int] = ..., max_asks: _Optional[int] = ..., max_text_chars: _Optional[int] = ..., max_watches: _Optional[int] = ..., idle_timeout: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., default_eviction: _Optional[_Union[Eviction, _Mapping]] = ..., can_export: bool = ..., can_recall_kept: bool = ..., attention: _Optional[str] = ..., attention_reason: _Optional[str] = ..., decoding: _Optional[str] = ..., default_gate_levels: _Optional[float] = ..., budget_plan: _Optional[_Union[BudgetPlan, _Mapping]] = ..., layers: _Optional[int] = ..., default_layout: _Optional[_Union[FrameLayout, _Mapping]] = ..., kv_cache_dtype: _Optional[str] = ..., weight_dtype: _Optional[str] = ..., chat: _Optional[_Union[_conversation_pb2.ChatFormat, _Mapping]] = ..., max_question_tokens: _Optional[int] = ..., max_tools: _Optional[int] = ..., max_messages: _Optional[int] = ..., max_conversation_chars: _Optional[int] = ..., path_proofs: _Optional[_Iterable[_Union[PathProof, _Mapping]]] = ...) -> None: ...

class PathProof(_message.Message):
    __slots__ = ("setting", "wanted", "is_taken", "reason")
    SETTING_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    IS_TAKEN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    setting: str
    wanted: str
    is_taken: bool
    reason: str
    def __init__(self, setting: _Optional[str] = ..., wanted: _Optional[str] = ..., is_taken: bool = ..., reason: _Optional[str] = ...) -> None: ...

class BudgetPlan(_message.Message):
    __slots__ = ("free_bytes", "reserved_bytes", "safe_tokens", "aggressive_tokens", "window_frames", "policy", "memory_tokens", "frame_tokens")
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESERVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SAFE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AGGRESSIVE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FRAMES_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FRAME_TOKENS_FIELD_NUMBER: _ClassVar[int]
    free_bytes: int
    reserved_bytes: int
    safe_tokens: int
    aggressive_tokens: int
    window_frames: int
    policy: str
    memory_tokens: int
    frame_tokens: int
    def __init__(self, free_bytes: _Optional[int] = ..., reserved_bytes: _Optional[int] = ..., safe_tokens: _Optional[int] = ..., aggressive_tokens: _Optional[int] = ..., window_frames: _Optional[int] = ..., policy: _Optional[str] = ..., memory_tokens: _Optional[int] = ..., frame_tokens: _Optional[int] = ...) -> None: ...

class SessionRequest(_message.Message):
    __slots__ = ("request_seq", "open", "append_frame", "ask", "cancel_ask", "take_snapshot", "restore_snapshot", "append_chunk", "ask_choice", "recall", "set_watch", "unset_watch", "export_session", "recall_kept", "pool_vectors")
    REQUEST_SEQ_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    APPEND_FRAME_FIELD_NUMBER: _ClassVar[int]
    ASK_FIELD_NUMBER: _ClassVar[int]
    CANCEL_ASK_FIELD_NUMBER: _ClassVar[int]
    TAKE_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    RESTORE_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    APPEND_CHUNK_FIELD_NUMBER: _ClassVar[int]
    ASK_CHOICE_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    SET_WATCH_FIELD_NUMBER: _ClassVar[int]
    UNSET_WATCH_FIELD_NUMBER: _ClassVar[int]
    EXPORT_SESSION_FIELD_NUMBER: _ClassVar[int]
    RECALL_KEPT_FIELD_NUMBER: _ClassVar[int]
    POOL_VECTORS_FIELD_NUMBER: _ClassVar[int]
    request_seq: int
    open: OpenSession
    append_frame: AppendFrame
    ask: Ask
    cancel_ask: CancelAsk
    take_snapshot: TakeSnapshot
    restore_snapshot: RestoreSnapshot
    append_chunk: AppendChunk
    ask_choice: AskChoice
    recall: Recall
    set_watch: SetWatch
    unset_watch: UnsetWatch
    export_session: ExportSession
    recall_kept: RecallKept
    pool_vectors: PoolVectors
    def __init__(self, request_seq: _Optional[int] = ..., open: _Optional[_Union[OpenSession, _Mapping]] = ..., append_frame: _Optional[_Union[AppendFrame, _Mapping]] = ..., ask: _Optional[_Union[Ask, _Mapping]] = ..., cancel_ask: _Optional[_Union[CancelAsk, _Mapping]] = ..., take_snapshot: _Optional[_Union[TakeSnapshot, _Mapping]] = ..., restore_snapshot: _Optional[_Union[RestoreSnapshot, _Mapping]] = ..., append_chunk: _Optional[_Union[AppendChunk, _Mapping]] = ..., ask_choice: _Optional[_Union[AskChoice, _Mapping]] = ..., recall: _Optional[_Union[Recall, _Mapping]] = ..., set_watch: _Optional[_Union[SetWatch, _Mapping]] = ..., unset_watch: _Optional[_Union[UnsetWatch, _Mapping]] = ..., export_session: _Optional[_Union[ExportSession, _Mapping]] = ..., recall_kept: _Optional[_Union[RecallKept, _Mapping]] = ..., pool_vectors: _Optional[_Union[PoolVectors, _Mapping]] = ...) -> None: ...

class OpenSession(_message.Message):
    __slots__ = ("system_prompt", "max_context_tokens", "label", "frame_policy", "frame_period", "eviction", "gate_levels", "from_export", "periodic_export", "pooled_layers", "layout", "tools")
    SYSTEM_PROMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    FRAME_POLICY_FIELD_NUMBER: _ClassVar[int]
    FRAME_PERIOD_FIELD_NUMBER: _ClassVar[int]
    EVICTION_FIELD_NUMBER: _ClassVar[int]
    GATE_LEVELS_FIELD_NUMBER: _ClassVar[int]
    FROM_EXPORT_FIELD_NUMBER: _ClassVar[int]
    PERIODIC_EXPORT_FIELD_NUMBER: _ClassVar[int]
    POOLED_LAYERS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    system_prompt: str
    max_context_tokens: int
    label: str
    frame_policy: FramePolicy
    frame_period: _duration_pb2.Duration
    eviction: Eviction
    gate_levels: float
    from_export: str
    periodic_export: PeriodicExport
    pooled_layers: _containers.RepeatedScalarFieldContainer[int]
    layout: FrameLayout
    tools: _containers.RepeatedCompositeFieldContainer[_conversation_pb2.Tool]
    def __init__(self, system_prompt: _Optional[str] = ..., max_context_tokens: _Optional[int] = ..., label: _Optional[str] = ..., frame_policy: _Optional[_Union[FramePolicy, str]] = ..., frame_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., eviction: _Optional[_Union[Eviction, _Mapping]] = ..., gate_levels: _Optional[float] = ..., from_export: _Optional[str] = ..., periodic_export: _Optional[_Union[PeriodicExport, _Mapping]] = ..., pooled_layers: _Optional[_Iterable[int]] = ..., layout: _Optional[_Union[FrameLayout, _Mapping]] = ..., tools: _Optional[_Iterable[_Union[_conversation_pb2.Tool, _Mapping]]] = ...) -> None: ...

class FrameLayout(_message.Message):
    __slots__ = ("sink", "memory", "window")
    SINK_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    sink: int
    memory: int
    window: int
    def __init__(self, sink: _Optional[int] = ..., memory: _Optional[int] = ..., window: _Optional[int] = ...) -> None: ...

class PeriodicExport(_message.Message):
    __slots__ = ("name", "every_chunks")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EVERY_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    name: str
    every_chunks: int
    def __init__(self, name: _Optional[str] = ..., every_chunks: _Optional[int] = ...) -> None: ...

class Eviction(_message.Message):
    __slots__ = ("level", "positions")
    class Level(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        LEVEL_UNSPECIFIED: _ClassVar[Eviction.Level]
        LEVEL_OLDEST: _ClassVar[Eviction.Level]
        LEVEL_SUBSAMPLED: _ClassVar[Eviction.Level]
    LEVEL_UNSPECIFIED: Eviction.Level
    LEVEL_OLDEST: Eviction.Level
    LEVEL_SUBSAMPLED: Eviction.Level
    class Positions(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        POSITIONS_UNSPECIFIED: _ClassVar[Eviction.Positions]
        POSITIONS_CONTIGUOUS: _ClassVar[Eviction.Positions]
        POSITIONS_GAP: _ClassVar[Eviction.Positions]
    POSITIONS_UNSPECIFIED: Eviction.Positions
    POSITIONS_CONTIGUOUS: Eviction.Positions
    POSITIONS_GAP: Eviction.Positions
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    level: Eviction.Level
    positions: Eviction.Positions
    def __init__(self, level: _Optional[_Union[Eviction.Level, str]] = ..., positions: _Optional[_Union[Eviction.Positions, str]] = ...) -> None: ...

class AppendFrame(_message.Message):
    __slots__ = ("frame", "deadline", "skipped_frames")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    frame: _common_pb2.Frame
    deadline: _duration_pb2.Duration
    skipped_frames: int
    def __init__(self, frame: _Optional[_Union[_common_pb2.Frame, _Mapping]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., skipped_frames: _Optional[int] = ...) -> None: ...

class AppendChunk(_message.Message):
    __slots__ = ("frames", "deadline", "skipped_frames")
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[_common_pb2.Frame]
    deadline: _duration_pb2.Duration
    skipped_frames: int
    def __init__(self, frames: _Optional[_Iterable[_Union[_common_pb2.Frame, _Mapping]]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., skipped_frames: _Optional[int] = ...) -> None: ...

class View(_message.Message):
    __slots__ = ("full", "recent_n")
    FULL_FIELD_NUMBER: _ClassVar[int]
    RECENT_N_FIELD_NUMBER: _ClassVar[int]
    full: Full
    recent_n: RecentN
    def __init__(self, full: _Optional[_Union[Full, _Mapping]] = ..., recent_n: _Optional[_Union[RecentN, _Mapping]] = ...) -> None: ...

class Full(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RecentN(_message.Message):
    __slots__ = ("chunks",)
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    chunks: int
    def __init__(self, chunks: _Optional[int] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("temperature", "top_p", "seed", "top_k", "as_model")
    TEMPERATURE_FIELD_NUMBER: _ClassVar[int]
    TOP_P_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    AS_MODEL_FIELD_NUMBER: _ClassVar[int]
    temperature: float
    top_p: float
    seed: int
    top_k: int
    as_model: bool
    def __init__(self, temperature: _Optional[float] = ..., top_p: _Optional[float] = ..., seed: _Optional[int] = ..., top_k: _Optional[int] = ..., as_model: bool = ...) -> None: ...

class Ask(_message.Message):
    __slots__ = ("prompt", "max_tokens", "json_schema", "sampling", "view", "deadline", "messages", "answer_format")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_FIELD_NUMBER: _ClassVar[int]
    JSON_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FORMAT_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    max_tokens: int
    json_schema: str
    sampling: Sampling
    view: View
    deadline: _duration_pb2.Duration
    messages: _containers.RepeatedCompositeFieldContainer[_conversation_pb2.Message]
    answer_format: _conversation_pb2.AnswerFormat
    def __init__(self, prompt: _Optional[str] = ..., max_tokens: _Optional[int] = ..., json_schema: _Optional[str] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., view: _Optional[_Union[View, _Mapping]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., messages: _Optional[_Iterable[_Union[_conversation_pb2.Message, _Mapping]]] = ..., answer_format: _Optional[_Union[_conversation_pb2.AnswerFormat, _Mapping]] = ...) -> None: ...

class AskChoice(_message.Message):
    __slots__ = ("prompt", "options", "view", "deadline")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    options: _containers.RepeatedScalarFieldContainer[str]
    view: View
    deadline: _duration_pb2.Duration
    def __init__(self, prompt: _Optional[str] = ..., options: _Optional[_Iterable[str]] = ..., view: _Optional[_Union[View, _Mapping]] = ..., deadline: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SetWatch(_message.Message):
    __slots__ = ("prompt", "every_chunks", "yes", "no", "threshold", "margin", "view")
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    EVERY_CHUNKS_FIELD_NUMBER: _ClassVar[int]
    YES_FIELD_NUMBER: _ClassVar[int]
    NO_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    prompt: str
    every_chunks: int
    yes: str
    no: str
    threshold: float
    margin: float
    view: View
    def __init__(self, prompt: _Optional[str] = ..., every_chunks: _Optional[int] = ..., yes: _Optional[str] = ..., no: _Optional[str] = ..., threshold: _Optional[float] = ..., margin: _Optional[float] = ..., view: _Optional[_Union[View, _Mapping]] = ...) -> None: ...

class UnsetWatch(_message.Message):
    __slots__ = ("watch_seq",)
    WATCH_SEQ_FIELD_NUMBER: _ClassVar[int]
    watch_seq: int
    def __init__(self, watch_seq: _Optional[int] = ...) -> None: ...

class CancelAsk(_message.Message):
    __slots__ = ("ask_seq",)
    ASK_SEQ_FIELD_NUMBER: _ClassVar[int]
    ask_seq: int
    def __init__(self, ask_seq: _Optional[int] = ...) -> None: ...

class Recall(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[_common_pb2.Frame]
    def __init__(self, frames: _Optional[_Iterable[_Union[_common_pb2.Frame, _Mapping]]] = ...) -> None: ...

class RecallKept(_message.Message):
    __slots__ = ("frame_ids",)
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, frame_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class TakeSnapshot(_message.Message):
    __slots__ = ("ttl", "name")
    TTL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    ttl: _duration_pb2.Duration
    name: str
    def __init__(self, ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., name: _Optional[str] = ...) -> None: ...

class RestoreSnapshot(_message.Message):
    __slots__ = ("snapshot_id",)
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    def __init__(self, snapshot_id: _Optional[str] = ...) -> None: ...

class ExportSession(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class PoolVectors(_message.Message):
    __slots__ = ("texts", "frame_ids")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedScalarFieldContainer[str]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, texts: _Optional[_Iterable[str]] = ..., frame_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class TextQuery(_message.Message):
    __slots__ = ("text", "tokens", "mean_query")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    MEAN_QUERY_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: int
    mean_query: _common_pb2.Vectors
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[int] = ..., mean_query: _Optional[_Union[_common_pb2.Vectors, _Mapping]] = ...) -> None: ...

class FrameKeys(_message.Message):
    __slots__ = ("frame_id", "mean_keys")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    MEAN_KEYS_FIELD_NUMBER: _ClassVar[int]
    frame_id: str
    mean_keys: _common_pb2.Vectors
    def __init__(self, frame_id: _Optional[str] = ..., mean_keys: _Optional[_Union[_common_pb2.Vectors, _Mapping]] = ...) -> None: ...

class SessionResponse(_message.Message):
    __slots__ = ("event_seq", "request_seq", "opened", "chunk_appended", "answer_delta", "answer_done", "choice_done", "snapshot_taken", "snapshot_restored", "context_evicted", "recalled", "failed", "frames_dropped", "watch_changed", "watch_ended", "session_exported", "vectors_pooled")
    EVENT_SEQ_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SEQ_FIELD_NUMBER: _ClassVar[int]
    OPENED_FIELD_NUMBER: _ClassVar[int]
    CHUNK_APPENDED_FIELD_NUMBER: _ClassVar[int]
    ANSWER_DELTA_FIELD_NUMBER: _ClassVar[int]
    ANSWER_DONE_FIELD_NUMBER: _ClassVar[int]
    CHOICE_DONE_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_TAKEN_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_RESTORED_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_EVICTED_FIELD_NUMBER: _ClassVar[int]
    RECALLED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_DROPPED_FIELD_NUMBER: _ClassVar[int]
    WATCH_CHANGED_FIELD_NUMBER: _ClassVar[int]
    WATCH_ENDED_FIELD_NUMBER: _ClassVar[int]
    SESSION_EXPORTED_FIELD_NUMBER: _ClassVar[int]
    VECTORS_POOLED_FIELD_NUMBER: _ClassVar[int]
    event_seq: int
    request_seq: int
    opened: SessionOpened
    chunk_appended: ChunkAppended
    answer_delta: AnswerDelta
    answer_done: AnswerDone
    choice_done: ChoiceDone
    snapshot_taken: SnapshotTaken
    snapshot_restored: SnapshotRestored
    context_evicted: ContextEvicted
    recalled: Recalled
    failed: RequestFailed
    frames_dropped: FramesDropped
    watch_changed: WatchChanged
    watch_ended: WatchEnded
    session_exported: SessionExported
    vectors_pooled: VectorsPooled
    def __init__(self, event_seq: _Optional[int] = ..., request_seq: _Optional[int] = ..., opened: _Optional[_Union[SessionOpened, _Mapping]] = ..., chunk_appended: _Optional[_Union[ChunkAppended, _Mapping]] = ..., answer_delta: _Optional[_Union[AnswerDelta, _Mapping]] = ..., answer_done: _Optional[_Union[AnswerDone, _Mapping]] = ..., choice_done: _Optional[_Union[ChoiceDone, _Mapping]] = ..., snapshot_taken: _Optional[_Union[SnapshotTaken, _Mapping]] = ..., snapshot_restored: _Optional[_Union[SnapshotRestored, _Mapping]] = ..., context_evicted: _Optional[_Union[ContextEvicted, _Mapping]] = ..., recalled: _Optional[_Union[Recalled, _Mapping]] = ..., failed: _Optional[_Union[RequestFailed, _Mapping]] = ..., frames_dropped: _Optional[_Union[FramesDropped, _Mapping]] = ..., watch_changed: _Optional[_Union[WatchChanged, _Mapping]] = ..., watch_ended: _Optional[_Union[WatchEnded, _Mapping]] = ..., session_exported: _Optional[_Union[SessionExported, _Mapping]] = ..., vectors_pooled: _Optional[_Union[VectorsPooled, _Mapping]] = ...) -> None: ...

class SessionOpened(_message.Message):
    __slots__ = ("session_id", "frame_credits", "max_context_tokens", "restored_frame_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    FRAME_CREDITS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    frame_credits: int
    max_context_tokens: int
    restored_frame_id: str
    def __init__(self, session_id: _Optional[str] = ..., frame_credits: _Optional[int] = ..., max_context_tokens: _Optional[int] = ..., restored_frame_id: _Optional[str] = ...) -> None: ...

class SessionExported(_message.Message):
    __slots__ = ("name", "size_bytes", "last_frame_id", "save_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    SAVE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    last_frame_id: str
    save_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., last_frame_id: _Optional[str] = ..., save_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ChunkAppended(_message.Message):
    __slots__ = ("frame_ids", "credits", "context_tokens", "chunk_tokens", "elapsed", "saving", "shown_width_px", "shown_height_px")
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CHUNK_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    SAVING_FIELD_NUMBER: _ClassVar[int]
    SHOWN_WIDTH_PX_FIELD_NUMBER: _ClassVar[int]
    SHOWN_HEIGHT_PX_FIELD_NUMBER: _ClassVar[int]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    credits: int
    context_tokens: int
    chunk_tokens: int
    elapsed: _duration_pb2.Duration
    saving: TokenSaving
    shown_width_px: int
    shown_height_px: int
    def __init__(self, frame_ids: _Optional[_Iterable[str]] = ..., credits: _Optional[int] = ..., context_tokens: _Optional[int] = ..., chunk_tokens: _Optional[int] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., saving: _Optional[_Union[TokenSaving, _Mapping]] = ..., shown_width_px: _Optional[int] = ..., shown_height_px: _Optional[int] = ...) -> None: ...

class TokenSaving(_message.Message):
    __slots__ = ("dropped_tokens", "dropped_share", "changed_share")
    DROPPED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_SHARE_FIELD_NUMBER: _ClassVar[int]
    CHANGED_SHARE_FIELD_NUMBER: _ClassVar[int]
    dropped_tokens: int
    dropped_share: float
    changed_share: float
    def __init__(self, dropped_tokens: _Optional[int] = ..., dropped_share: _Optional[float] = ..., changed_share: _Optional[float] = ...) -> None: ...

class FramesDropped(_message.Message):
    __slots__ = ("frame_ids", "credits")
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    credits: int
    def __init__(self, frame_ids: _Optional[_Iterable[str]] = ..., credits: _Optional[int] = ...) -> None: ...

class WatchChanged(_message.Message):
    __slots__ = ("is_true", "probability", "frame_id", "provenance")
    IS_TRUE_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    is_true: bool
    probability: float
    frame_id: str
    provenance: Provenance
    def __init__(self, is_true: bool = ..., probability: _Optional[float] = ..., frame_id: _Optional[str] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ...) -> None: ...

class WatchEnded(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Provenance(_message.Message):
    __slots__ = ("last_frame_id", "oldest_frame_id", "context_tokens", "evicted_frames", "recalled_frame_ids")
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    RECALLED_FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    last_frame_id: str
    oldest_frame_id: str
    context_tokens: int
    evicted_frames: int
    recalled_frame_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, last_frame_id: _Optional[str] = ..., oldest_frame_id: _Optional[str] = ..., context_tokens: _Optional[int] = ..., evicted_frames: _Optional[int] = ..., recalled_frame_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class AnswerDelta(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class AnswerDone(_message.Message):
    __slots__ = ("reason", "text", "provenance", "time_to_first_token", "elapsed", "answer_tokens", "thought", "json", "tool_call", "question_tokens")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[AnswerDone.Reason]
        REASON_STOP: _ClassVar[AnswerDone.Reason]
        REASON_LENGTH: _ClassVar[AnswerDone.Reason]
        REASON_CANCELLED: _ClassVar[AnswerDone.Reason]
        REASON_DEADLINE: _ClassVar[AnswerDone.Reason]
    REASON_UNSPECIFIED: AnswerDone.Reason
    REASON_STOP: AnswerDone.Reason
    REASON_LENGTH: AnswerDone.Reason
    REASON_CANCELLED: AnswerDone.Reason
    REASON_DEADLINE: AnswerDone.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    TIME_TO_FIRST_TOKEN_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ANSWER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    THOUGHT_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    TOOL_CALL_FIELD_NUMBER: _ClassVar[int]
    QUESTION_TOKENS_FIELD_NUMBER: _ClassVar[int]
    reason: AnswerDone.Reason
    text: str
    provenance: Provenance
    time_to_first_token: _duration_pb2.Duration
    elapsed: _duration_pb2.Duration
    answer_tokens: int
    thought: str
    json: str
    tool_call: _conversation_pb2.ToolCall
    question_tokens: int
    def __init__(self, reason: _Optional[_Union[AnswerDone.Reason, str]] = ..., text: _Optional[str] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., time_to_first_token: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., answer_tokens: _Optional[int] = ..., thought: _Optional[str] = ..., json: _Optional[str] = ..., tool_call: _Optional[_Union[_conversation_pb2.ToolCall, _Mapping]] = ..., question_tokens: _Optional[int] = ...) -> None: ...

class ChoiceDone(_message.Message):
    __slots__ = ("probabilities", "best_index", "provenance", "elapsed")
    PROBABILITIES_FIELD_NUMBER: _ClassVar[int]
    BEST_INDEX_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    probabilities: _containers.RepeatedScalarFieldContainer[float]
    best_index: int
    provenance: Provenance
    elapsed: _duration_pb2.Duration
    def __init__(self, probabilities: _Optional[_Iterable[float]] = ..., best_index: _Optional[int] = ..., provenance: _Optional[_Union[Provenance, _Mapping]] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class SnapshotTaken(_message.Message):
    __slots__ = ("snapshot_id", "size_bytes", "name", "last_frame_id")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    size_bytes: int
    name: str
    last_frame_id: str
    def __init__(self, snapshot_id: _Optional[str] = ..., size_bytes: _Optional[int] = ..., name: _Optional[str] = ..., last_frame_id: _Optional[str] = ...) -> None: ...

class SnapshotInfo(_message.Message):
    __slots__ = ("snapshot_id", "name", "last_frame_id", "is_restorable", "size_bytes")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    IS_RESTORABLE_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    name: str
    last_frame_id: str
    is_restorable: bool
    size_bytes: int
    def __init__(self, snapshot_id: _Optional[str] = ..., name: _Optional[str] = ..., last_frame_id: _Optional[str] = ..., is_restorable: bool = ..., size_bytes: _Optional[int] = ...) -> None: ...

class SnapshotRestored(_message.Message):
    __slots__ = ("snapshot_id", "last_frame_id")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    last_frame_id: str
    def __init__(self, snapshot_id: _Optional[str] = ..., last_frame_id: _Optional[str] = ...) -> None: ...

class ContextEvicted(_message.Message):
    __slots__ = ("evicted_frame_ids", "oldest_frame_id", "context_tokens", "frame_keys")
    EVICTED_FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    FRAME_KEYS_FIELD_NUMBER: _ClassVar[int]
    evicted_frame_ids: _containers.RepeatedScalarFieldContainer[str]
    oldest_frame_id: str
    context_tokens: int
    frame_keys: _containers.RepeatedCompositeFieldContainer[FrameKeys]
    def __init__(self, evicted_frame_ids: _Optional[_Iterable[str]] = ..., oldest_frame_id: _Optional[str] = ..., context_tokens: _Optional[int] = ..., frame_keys: _Optional[_Iterable[_Union[FrameKeys, _Mapping]]] = ...) -> None: ...

class VectorsPooled(_message.Message):
    __slots__ = ("texts", "frames")
    TEXTS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    texts: _containers.RepeatedCompositeFieldContainer[TextQuery]
    frames: _containers.RepeatedCompositeFieldContainer[FrameKeys]
    def __init__(self, texts: _Optional[_Iterable[_Union[TextQuery, _Mapping]]] = ..., frames: _Optional[_Iterable[_Union[FrameKeys, _Mapping]]] = ...) -> None: ...

class Recalled(_message.Message):
    __slots__ = ("frame_ids", "context_tokens")
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    context_tokens: int
    def __init__(self, frame_ids: _Optional[_Iterable[str]] = ..., context_tokens: _Optional[int] = ...) -> None: ...

class RequestFailed(_message.Message):
    __slots__ = ("status", "credits")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    CREDITS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    credits: int
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., credits: _Optional[int] = ...) -> None: ...

class SessionInfo(_message.Message):
    __slots__ = ("session_id", "label", "peer", "create_time", "context_tokens", "max_context_tokens", "sink_tokens", "appended_frames", "evicted_frames", "live_asks", "answered_asks", "last_frame_id", "oldest_frame_id", "eviction", "recallable_frames", "snapshots", "dropped_frames", "watches", "gate_levels", "dropped_tokens", "layout")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    PEER_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    MAX_CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    SINK_TOKENS_FIELD_NUMBER: _ClassVar[int]
    APPENDED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    EVICTED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    LIVE_ASKS_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_ASKS_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    EVICTION_FIELD_NUMBER: _ClassVar[int]
    RECALLABLE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FRAMES_FIELD_NUMBER: _ClassVar[int]
    WATCHES_FIELD_NUMBER: _ClassVar[int]
    GATE_LEVELS_FIELD_NUMBER: _ClassVar[int]
    DROPPED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    label: str
    peer: str
    create_time: _timestamp_pb2.Timestamp
    context_tokens: int
    max_context_tokens: int
    sink_tokens: int
    appended_frames: int
    evicted_frames: int
    live_asks: int
    answered_asks: int
    last_frame_id: str
    oldest_frame_id: str
    eviction: Eviction
    recallable_frames: int
    snapshots: _containers.RepeatedCompositeFieldContainer[SnapshotInfo]
    dropped_frames: int
    watches: int
    gate_levels: float
    dropped_tokens: int
    layout: FrameLayout
    def __init__(self, session_id: _Optional[str] = ..., label: _Optional[str] = ..., peer: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., context_tokens: _Optional[int] = ..., max_context_tokens: _Optional[int] = ..., sink_tokens: _Optional[int] = ..., appended_frames: _Optional[int] = ..., evicted_frames: _Optional[int] = ..., live_asks: _Optional[int] = ..., answered_asks: _Optional[int] = ..., last_frame_id: _Optional[str] = ..., oldest_frame_id: _Optional[str] = ..., eviction: _Optional[_Union[Eviction, _Mapping]] = ..., recallable_frames: _Optional[int] = ..., snapshots: _Optional[_Iterable[_Union[SnapshotInfo, _Mapping]]] = ..., dropped_frames: _Optional[int] = ..., watches: _Optional[int] = ..., gate_levels: _Optional[float] = ..., dropped_tokens: _Optional[int] = ..., layout: _Optional[_Union[FrameLayout, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSessionsResponse(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[SessionInfo]
    def __init__(self, sessions: _Optional[_Iterable[_Union[SessionInfo, _Mapping]]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: SessionInfo
    def __init__(self, session: _Optional[_Union[SessionInfo, _Mapping]] = ...) -> None: ...

class DeleteSnapshotRequest(_message.Message):
    __slots__ = ("snapshot_id", "session_id")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    session_id: str
    def __init__(self, snapshot_id: _Optional[str] = ..., session_id: _Optional[str] = ...) -> None: ...

class DeleteSnapshotResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListExportsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListExportsResponse(_message.Message):
    __slots__ = ("exports",)
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    exports: _containers.RepeatedCompositeFieldContainer[ExportInfo]
    def __init__(self, exports: _Optional[_Iterable[_Union[ExportInfo, _Mapping]]] = ...) -> None: ...

class ExportInfo(_message.Message):
    __slots__ = ("name", "size_bytes", "save_time")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SAVE_TIME_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    save_time: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., save_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DeleteExportRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteExportResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
