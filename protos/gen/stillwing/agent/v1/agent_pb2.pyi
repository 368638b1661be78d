import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.rpc import status_pb2 as _status_pb2
from stillwing.vlm.v1 import conversation_pb2 as _conversation_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetAgentRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetAgentResponse(_message.Message):
    __slots__ = ("implementation", "params_schema")
    IMPLEMENTATION_FIELD_NUMBER: _ClassVar[int]
    PARAMS_SCHEMA_FIELD_NUMBER: _ClassVar[int]
    implementation: str
    params_schema: str
    def __init__(self, implementation: _Optional[str] = ..., params_schema: _Optional[str] = ...) -> None: ...

class Mission(_message.Message):
    __slots__ = ("mission_id", "goal", "vehicle_id", "state", "create_time", "error", "end_time", "answer", "figures", "instruction", "instruction_number", "waiting_instructions", "operator_question", "verification")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Mission.State]
        STATE_PENDING: _ClassVar[Mission.State]
        STATE_RUNNING: _ClassVar[Mission.State]
        STATE_ACHIEVED: _ClassVar[Mission.State]
        STATE_FAILED: _ClassVar[Mission.State]
        STATE_CANCELLED: _ClassVar[Mission.State]
        STATE_NOT_ACHIEVED: _ClassVar[Mission.State]
    STATE_UNSPECIFIED: Mission.State
    STATE_PENDING: Mission.State
    STATE_RUNNING: Mission.State
    STATE_ACHIEVED: Mission.State
    STATE_FAILED: Mission.State
    STATE_CANCELLED: Mission.State
    STATE_NOT_ACHIEVED: Mission.State
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    FIGURES_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    WAITING_INSTRUCTIONS_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_QUESTION_FIELD_NUMBER: _ClassVar[int]
    VERIFICATION_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    goal: str
    vehicle_id: str
    state: Mission.State
    create_time: _timestamp_pb2.Timestamp
    error: _status_pb2.Status
    end_time: _timestamp_pb2.Timestamp
    answer: str
    figures: MissionFigures
    instruction: str
    instruction_number: int
    waiting_instructions: _containers.RepeatedScalarFieldContainer[str]
    operator_question: str
    verification: Verification
    def __init__(self, mission_id: _Optional[str] = ..., goal: _Optional[str] = ..., vehicle_id: _Optional[str] = ..., state: _Optional[_Union[Mission.State, str]] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., answer: _Optional[str] = ..., figures: _Optional[_Union[MissionFigures, _Mapping]] = ..., instruction: _Optional[str] = ..., instruction_number: _Optional[int] = ..., waiting_instructions: _Optional[_Iterable[str]] = ..., operator_question: _Optional[str] = ..., verification: _Optional[_Union[Verification, _Mapping]] = ...) -> None: ...

class Verification(_message.Message):
    __slots__ = ("question", "probability")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    PROBABILITY_FIELD_NUMBER: _ClassVar[int]
    question: str
    probability: float
    def __init__(self, question: _Optional[str] = ..., probability: _Optional[float] = ...) -> None: ...

class MissionFigures(_message.Message):
    __slots__ = ("decisions", "refusals", "thinking", "frames_seen", "frames_evicted", "keyframes_filed", "no_calls")
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    THINKING_FIELD_NUMBER: _ClassVar[int]
    FRAMES_SEEN_FIELD_NUMBER: _ClassVar[int]
    FRAMES_EVICTED_FIELD_NUMBER: _ClassVar[int]
    KEYFRAMES_FILED_FIELD_NUMBER: _ClassVar[int]
    NO_CALLS_FIELD_NUMBER: _ClassVar[int]
    decisions: int
    refusals: int
    thinking: _duration_pb2.Duration
    frames_seen: int
    frames_evicted: int
    keyframes_filed: int
    no_calls: int
    def __init__(self, decisions: _Optional[int] = ..., refusals: _Optional[int] = ..., thinking: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., frames_seen: _Optional[int] = ..., frames_evicted: _Optional[int] = ..., keyframes_filed: _Optional[int] = ..., no_calls: _Optional[int] = ...) -> None: ...

class StartMissionRequest(_message.Message):
    __slots__ = ("request_id", "goal", "vehicle_id", "time_limit", "params")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    GOAL_FIELD_NUMBER: _ClassVar[int]
    VEHICLE_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    goal: str
    vehicle_id: str
    time_limit: _duration_pb2.Duration
    params: _struct_pb2.Struct
    def __init__(self, request_id: _Optional[str] = ..., goal: _Optional[str] = ..., vehicle_id: _Optional[str] = ..., time_limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., params: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class StartMissionResponse(_message.Message):
    __slots__ = ("mission",)
    MISSION_FIELD_NUMBER: _ClassVar[int]
    mission: Mission
    def __init__(self, mission: _Optional[_Union[Mission, _Mapping]] = ...) -> None: ...

class CheckMissionRequest(_message.Message):
    __slots__ = ("goal", "simulator")
    GOAL_FIELD_NUMBER: _ClassVar[int]
    SIMULATOR_FIELD_NUMBER: _ClassVar[int]
    goal: str
    simulator: str
    def __init__(self, goal: _Optional[str] = ..., simulator: _Optional[str] = ...) -> None: ...

class CheckMissionResponse(_message.Message):
    __slots__ = ("outside_range",)
    OUTSIDE_RANGE_FIELD_NUMBER: _ClassVar[int]
    outside_range: OutsideRange
    def __init__(self, outside_range: _Optional[_Union[OutsideRange, _Mapping]] = ...) -> None: ...

class OutsideRange(_message.Message):
    __slots__ = ("instruction", "reasons", "taught")
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    TAUGHT_FIELD_NUMBER: _ClassVar[int]
    instruction: str
    reasons: _containers.RepeatedScalarFieldContainer[str]
    taught: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instruction: _Optional[str] = ..., reasons: _Optional[_Iterable[str]] = ..., taught: _Optional[_Iterable[str]] = ...) -> None: ...

class GetMissionRequest(_message.Message):
    __slots__ = ("mission_id",)
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    def __init__(self, mission_id: _Optional[str] = ...) -> None: ...

class GetMissionResponse(_message.Message):
    __slots__ = ("mission",)
    MISSION_FIELD_NUMBER: _ClassVar[int]
    mission: Mission
    def __init__(self, mission: _Optional[_Union[Mission, _Mapping]] = ...) -> None: ...

class ListMissionsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListMissionsResponse(_message.Message):
    __slots__ = ("missions", "next_page_token")
    MISSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    missions: _containers.RepeatedCompositeFieldContainer[Mission]
    next_page_token: str
    def __init__(self, missions: _Optional[_Iterable[_Union[Mission, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelMissionRequest(_message.Message):
    __slots__ = ("mission_id",)
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    def __init__(self, mission_id: _Optional[str] = ...) -> None: ...

class CancelMissionResponse(_message.Message):
    __slots__ = ("mission",)
    MISSION_FIELD_NUMBER: _ClassVar[int]
    mission: Mission
    def __init__(self, mission: _Optional[_Union[Mission, _Mapping]] = ...) -> None: ...

class InstructMissionRequest(_message.Message):
    __slots__ = ("request_id", "mission_id", "text", "when")
    class When(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        WHEN_UNSPECIFIED: _ClassVar[InstructMissionRequest.When]
        WHEN_NOW: _ClassVar[InstructMissionRequest.When]
        WHEN_THEN: _ClassVar[InstructMissionRequest.When]
    WHEN_UNSPECIFIED: InstructMissionRequest.When
    WHEN_NOW: InstructMissionRequest.When
    WHEN_THEN: InstructMissionRequest.When
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    mission_id: str
    text: str
    when: InstructMissionRequest.When
    def __init__(self, request_id: _Optional[str] = ..., mission_id: _Optional[str] = ..., text: _Optional[str] = ..., when: _Optional[_Union[InstructMissionRequest.When, str]] = ...) -> None: ...

class InstructMissionResponse(_message.Message):
    __slots__ = ("mission",)
    MISSION_FIELD_NUMBER: _ClassVar[int]
    mission: Mission
    def __init__(self, mission: _Optional[_Union[Mission, _Mapping]] = ...) -> None: ...

class AskMissionRequest(_message.Message):
    __slots__ = ("mission_id", "question")
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    question: str
    def __init__(self, mission_id: _Optional[str] = ..., question: _Optional[str] = ...) -> None: ...

class AskMissionResponse(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: str
    def __init__(self, answer: _Optional[str] = ...) -> None: ...

class AnswerMissionRequest(_message.Message):
    __slots__ = ("request_id", "mission_id", "answer")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    mission_id: str
    answer: str
    def __init__(self, request_id: _Optional[str] = ..., mission_id: _Optional[str] = ..., answer: _Optional[str] = ...) -> None: ...

class AnswerMissionResponse(_message.Message):
    __slots__ = ("mission",)
    MISSION_FIELD_NUMBER: _ClassVar[int]
    mission: Mission
    def __init__(self, mission: _Optional[_Union[Mission, _Mapping]] = ...) -> None: ...

class WatchMissionRequest(_message.Message):
    __slots__ = ("mission_id", "after_event_seq")
    MISSION_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_EVENT_SEQ_FIELD_NUMBER: _ClassVar[int]
    mission_id: str
    after_event_seq: int
    def __init__(self, mission_id: _Optional[str] = ..., after_event_seq: _Optional[int] = ...) -> None: ...

class WatchMissionResponse(_message.Message):
    __slots__ = ("event_seq", "event_time", "state_changed", "plan_made", "action_started", "action_finished", "observed", "thinking_started", "thinking_finished", "frames_evicted", "keyframe_filed", "motion_refused", "keyframe_lost", "instruction_begun", "instruction_lost", "instructed", "frames_recalled", "briefed", "no_call", "reported", "operator_asked", "operator_answered", "question_answered", "service_lost", "service_back", "told_outside")
    EVENT_SEQ_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_CHANGED_FIELD_NUMBER: _ClassVar[int]
    PLAN_MADE_FIELD_NUMBER: _ClassVar[int]
    ACTION_STARTED_FIELD_NUMBER: _ClassVar[int]
    ACTION_FINISHED_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    THINKING_STARTED_FIELD_NUMBER: _ClassVar[int]
    THINKING_FINISHED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_EVICTED_FIELD_NUMBER: _ClassVar[int]
    KEYFRAME_FILED_FIELD_NUMBER: _ClassVar[int]
    MOTION_REFUSED_FIELD_NUMBER: _ClassVar[int]
    KEYFRAME_LOST_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_BEGUN_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_LOST_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_RECALLED_FIELD_NUMBER: _ClassVar[int]
    BRIEFED_FIELD_NUMBER: _ClassVar[int]
    NO_CALL_FIELD_NUMBER: _ClassVar[int]
    REPORTED_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ASKED_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_ANSWERED_FIELD_NUMBER: _ClassVar[int]
    QUESTION_ANSWERED_FIELD_NUMBER: _ClassVar[int]
    SERVICE_LOST_FIELD_NUMBER: _ClassVar[int]
    SERVICE_BACK_FIELD_NUMBER: _ClassVar[int]
    TOLD_OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    event_seq: int
    event_time: _timestamp_pb2.Timestamp
    state_changed: Mission
    plan_made: PlanMade
    action_started: ActionStarted
    action_finished: ActionFinished
    observed: Observed
    thinking_started: ThinkingStarted
    thinking_finished: ThinkingFinished
    frames_evicted: FramesEvicted
    keyframe_filed: KeyframeFiled
    motion_refused: MotionRefused
    keyframe_lost: KeyframeLost
    instruction_begun: InstructionBegun
    instruction_lost: InstructionLost
    instructed: Instructed
    frames_recalled: FramesRecalled
    briefed: Briefed
    no_call: NoCall
    reported: Reported
    operator_asked: OperatorAsked
    operator_answered: OperatorAnswered
    question_answered: QuestionAnswered
    service_lost: ServiceLost
    service_back: ServiceBack
    told_outside: OutsideRange
    def __init__(self, event_seq: _Optional[int] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state_changed: _Optional[_Union[Mission, _Mapping]] = ..., plan_made: _Optional[_Union[PlanMade, _Mapping]] = ..., action_started: _Optional[_Union[ActionStarted, _Mapping]] = ..., action_finished: _Optional[_Union[ActionFinished, _Mapping]] = ..., observed: _Optional[_Union[Observed, _Mapping]] = ..., thinking_started: _Optional[_Union[ThinkingStarted, _Mapping]] = ..., thinking_finished: _Optional[_Union[ThinkingFinished, _Mapping]] = ..., frames_evicted: _Optional[_Union[FramesEvicted, _Mapping]] = ..., keyframe_filed: _Optional[_Union[KeyframeFiled, _Mapping]] = ..., motion_refused: _Optional[_Union[MotionRefused, _Mapping]] = ..., keyframe_lost: _Optional[_Union[KeyframeLost, _Mapping]] = ..., instruction_begun: _Optional[_Union[InstructionBegun, _Mapping]] = ..., instruction_lost: _Optional[_Union[InstructionLost, _Mapping]] = ..., instructed: _Optional[_Union[Instructed, _Mapping]] = ..., frames_recalled: _Optional[_Union[FramesRecalled, _Mapping]] = ..., briefed: _Optional[_Union[Briefed, _Mapping]] = ..., no_call: _Optional[_Union[NoCall, _Mapping]] = ..., reported: _Optional[_Union[Reported, _Mapping]] = ..., operator_asked: _Optional[_Union[OperatorAsked, _Mapping]] = ..., operator_answered: _Optional[_Union[OperatorAnswered, _Mapping]] = ..., question_answered: _Optional[_Union[QuestionAnswered, _Mapping]] = ..., service_lost: _Optional[_Union[ServiceLost, _Mapping]] = ..., service_back: _Optional[_Union[ServiceBack, _Mapping]] = ..., told_outside: _Optional[_Union[OutsideRange, _Mapping]] = ...) -> None: ...

class PlanMade(_message.Message):
    __slots__ = ("steps", "rationale")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RATIONALE_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.RepeatedScalarFieldContainer[str]
    rationale: str
    def __init__(self, steps: _Optional[_Iterable[str]] = ..., rationale: _Optional[str] = ...) -> None: ...

class ActionStarted(_message.Message):
    __slots__ = ("action_id", "tool", "arguments")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    action_id: str
    tool: str
    arguments: _struct_pb2.Struct
    def __init__(self, action_id: _Optional[str] = ..., tool: _Optional[str] = ..., arguments: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ActionFinished(_message.Message):
    __slots__ = ("action_id", "result", "error")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    action_id: str
    result: _struct_pb2.Struct
    error: _status_pb2.Status
    def __init__(self, action_id: _Optional[str] = ..., result: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., error: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Observed(_message.Message):
    __slots__ = ("frame_ids", "summary")
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    summary: str
    def __init__(self, frame_ids: _Optional[_Iterable[str]] = ..., summary: _Optional[str] = ...) -> None: ...

class ThinkingStarted(_message.Message):
    __slots__ = ("thinking_id", "prompt", "messages")
    THINKING_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_FIELD_NUMBER: _ClassVar[int]
    thinking_id: str
    prompt: str
    messages: _containers.RepeatedCompositeFieldContainer[_conversation_pb2.Message]
    def __init__(self, thinking_id: _Optional[str] = ..., prompt: _Optional[str] = ..., messages: _Optional[_Iterable[_Union[_conversation_pb2.Message, _Mapping]]] = ...) -> None: ...

class ThinkingFinished(_message.Message):
    __slots__ = ("thinking_id", "answer", "elapsed", "last_frame_id", "oldest_frame_id", "context_tokens", "thought")
    THINKING_ID_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    LAST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    THOUGHT_FIELD_NUMBER: _ClassVar[int]
    thinking_id: str
    answer: str
    elapsed: _duration_pb2.Duration
    last_frame_id: str
    oldest_frame_id: str
    context_tokens: int
    thought: str
    def __init__(self, thinking_id: _Optional[str] = ..., answer: _Optional[str] = ..., elapsed: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., last_frame_id: _Optional[str] = ..., oldest_frame_id: _Optional[str] = ..., context_tokens: _Optional[int] = ..., thought: _Optional[str] = ...) -> None: ...

class FramesEvicted(_message.Message):
    __slots__ = ("frame_ids",)
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, frame_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class KeyframeFiled(_message.Message):
    __slots__ = ("frame_id", "revision")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    frame_id: str
    revision: int
    def __init__(self, frame_id: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class KeyframeLost(_message.Message):
    __slots__ = ("frame_id", "status")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    frame_id: str
    status: _status_pb2.Status
    def __init__(self, frame_id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class MotionRefused(_message.Message):
    __slots__ = ("action_id", "status")
    ACTION_ID_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    action_id: str
    status: _status_pb2.Status
    def __init__(self, action_id: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class InstructionBegun(_message.Message):
    __slots__ = ("number", "text", "entity_ids", "recalled_by", "recalled_frame_ids")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ENTITY_IDS_FIELD_NUMBER: _ClassVar[int]
    RECALLED_BY_FIELD_NUMBER: _ClassVar[int]
    RECALLED_FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    entity_ids: _containers.RepeatedScalarFieldContainer[str]
    recalled_by: str
    recalled_frame_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ..., entity_ids: _Optional[_Iterable[str]] = ..., recalled_by: _Optional[str] = ..., recalled_frame_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Instructed(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: int
    text: str
    def __init__(self, number: _Optional[int] = ..., text: _Optional[str] = ...) -> None: ...

class InstructionLost(_message.Message):
    __slots__ = ("number", "status")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    number: int
    status: _status_pb2.Status
    def __init__(self, number: _Optional[int] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class FramesRecalled(_message.Message):
    __slots__ = ("frame_ids",)
    FRAME_IDS_FIELD_NUMBER: _ClassVar[int]
    frame_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, frame_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Briefed(_message.Message):
    __slots__ = ("profile", "system_text", "tools")
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_TEXT_FIELD_NUMBER: _ClassVar[int]
    TOOLS_FIELD_NUMBER: _ClassVar[int]
    profile: str
    system_text: str
    tools: _containers.RepeatedCompositeFieldContainer[_conversation_pb2.Tool]
    def __init__(self, profile: _Optional[str] = ..., system_text: _Optional[str] = ..., tools: _Optional[_Iterable[_Union[_conversation_pb2.Tool, _Mapping]]] = ...) -> None: ...

class NoCall(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: str
    def __init__(self, answer: _Optional[str] = ...) -> None: ...

class Reported(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class OperatorAsked(_message.Message):
    __slots__ = ("question",)
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    question: str
    def __init__(self, question: _Optional[str] = ...) -> None: ...

class OperatorAnswered(_message.Message):
    __slots__ = ("answer",)
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    answer: str
    def __init__(self, answer: _Optional[str] = ...) -> None: ...

class QuestionAnswered(_message.Message):
    __slots__ = ("question", "answer")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    question: str
    answer: str
    def __init__(self, question: _Optional[str] = ..., answer: _Optional[str] = ...) -> None: ...

class ServiceLost(_message.Message):
    __slots__ = ("service", "status")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    service: str
    status: _status_pb2.Status
    def __init__(self, service: _Optional[str] = ..., status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class ServiceBack(_message.Message):
    __slots__ = ("service", "away", "detail")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    service: str
    away: _duration_pb2.Duration
    detail: str
    def __init__(self, service: _Optional[str] = ..., away: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., detail: _Optional[str] = ...) -> None: ...
