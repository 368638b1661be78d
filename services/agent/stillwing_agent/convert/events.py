"""The entries of a mission's log, to and from the wire. Knows nothing of how missions are flown."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from stillwing.agent.v1 import agent_pb2
from stillwing_agent.convert.missions import (
    SERVICE,
    mission_from_wire,
    mission_to_wire,
    outside_from_wire,
    outside_to_wire,
)
from stillwing_agent.convert.structs import struct_of
from stillwing_agent.convert.turns import tool_from_wire, tool_to_wire, turn_from_wire, turn_to_wire
from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Briefed,
    FramesEvicted,
    FramesRecalled,
    Happening,
    Instructed,
    InstructionBegun,
    InstructionLost,
    KeyframeFiled,
    KeyframeLost,
    MissionEvent,
    MotionRefused,
    NoCall,
    Observed,
    OperatorAnswered,
    OperatorAsked,
    PlanMade,
    QuestionAnswered,
    Reported,
    ServiceBack,
    ServiceLost,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
    ToldOutside,
)
from stillwing_common.errors import UnsetOneof
from stillwing_rpc.convert import duration_from_wire, duration_to_wire, timestamp_from_wire, timestamp_to_wire
from stillwing_rpc.errors import from_status, to_status


def event_to_wire(event: MissionEvent) -> agent_pb2.WatchMissionResponse:
    """One entry of a mission's log."""
    message = agent_pb2.WatchMissionResponse(event_seq=event.event_seq, event_time=timestamp_to_wire(event.wall_ns))
    happening = event.happening
    match happening:
        case StateChanged():
            message.state_changed.CopyFrom(mission_to_wire(happening.mission))
        case PlanMade():
            message.plan_made.CopyFrom(agent_pb2.PlanMade(steps=happening.steps, rationale=happening.rationale))
        case Briefed():
            message.briefed.CopyFrom(
                agent_pb2.Briefed(
                    profile=happening.profile,
                    system_text=happening.system_text,
                    tools=map(tool_to_wire, happening.tools),
                )
            )
        case NoCall():
            message.no_call.CopyFrom(agent_pb2.NoCall(answer=happening.answer))
        case Reported():
            message.reported.CopyFrom(agent_pb2.Reported(text=happening.text))
        case ToldOutside():
            message.told_outside.CopyFrom(outside_to_wire(happening.outside))
        case ServiceLost():
            message.service_lost.CopyFrom(
                agent_pb2.ServiceLost(service=happening.service, status=to_status(happening.error, service=SERVICE))
            )
        case ServiceBack():
            message.service_back.CopyFrom(
                agent_pb2.ServiceBack(
                    service=happening.service, away=duration_to_wire(happening.away_s), detail=happening.detail
                )
            )
        case OperatorAsked():
            message.operator_asked.CopyFrom(agent_pb2.OperatorAsked(question=happening.question))
        case OperatorAnswered():
            message.operator_answered.CopyFrom(agent_pb2.OperatorAnswered(answer=happening.answer))
        case QuestionAnswered():
            message.question_answered.CopyFrom(
                agent_pb2.QuestionAnswered(question=happening.question, answer=happening.answer)
            )
        case ActionStarted():
            message.action_started.CopyFrom(
                agent_pb2.ActionStarted(
                    action_id=happening.action_id, tool=happening.tool, arguments=struct_of(happening.arguments)
                )
            )
        case ActionFinished():
            message.action_finished.CopyFrom(_action_finished_to_wire(happening))
        case Observed():
            message.observed.CopyFrom(agent_pb2.Observed(frame_ids=happening.frame_ids, summary=happening.summary))
        case ThinkingStarted():
            message.thinking_started.CopyFrom(
                agent_pb2.ThinkingStarted(
                    thinking_id=happening.thinking_id,
                    prompt=happening.prompt,
                    messages=map(turn_to_wire, happening.messages),
                )
            )
        case ThinkingFinished():
            message.thinking_finished.CopyFrom(
                agent_pb2.ThinkingFinished(
                    thinking_id=happening.thinking_id,
                    answer=happening.answer,
                    elapsed=duration_to_wire(happening.elapsed_s),
                    last_frame_id=happening.last_frame_id,
                    oldest_frame_id=happening.oldest_frame_id,
                    context_tokens=happening.context_tokens,
                    thought=happening.thought,
                )
            )
        case FramesEvicted():
            message.frames_evicted.CopyFrom(agent_pb2.FramesEvicted(frame_ids=happening.frame_ids))
        case KeyframeFiled():
            message.keyframe_filed.CopyFrom(
                agent_pb2.KeyframeFiled(frame_id=happening.frame_id, revision=happening.revision)
            )
        case InstructionBegun():
            message.instruction_begun.CopyFrom(
                agent_pb2.InstructionBegun(
                    number=happening.number,
                    text=happening.text,
                    entity_ids=happening.entity_ids,
                    recalled_by=happening.recalled_by,
                    recalled_frame_ids=happening.recalled_frame_ids,
                )
            )
        case Instructed():
            message.instructed.CopyFrom(agent_pb2.Instructed(number=happening.number, text=happening.text))
        case InstructionLost():
            message.instruction_lost.CopyFrom(
                agent_pb2.InstructionLost(number=happening.number, status=to_status(happening.error, service=SERVICE))
            )
        case FramesRecalled():
            message.frames_recalled.CopyFrom(agent_pb2.FramesRecalled(frame_ids=happening.frame_ids))
        case KeyframeLost():
            message.keyframe_lost.CopyFrom(
                agent_pb2.KeyframeLost(frame_id=happening.frame_id, status=to_status(happening.error, service=SERVICE))
            )
        case MotionRefused():
            message.motion_refused.CopyFrom(
                agent_pb2.MotionRefused(
                    action_id=happening.action_id, status=to_status(happening.error, service=SERVICE)
                )
            )
    return message


def event_from_wire(message: agent_pb2.WatchMissionResponse) -> MissionEvent:
    """One entry of a mission's log. Raises UnsetOneof for an event of a version to come."""
    member = message.WhichOneof("event")
    if member is None:
        raise UnsetOneof("event", field="event")
    return MissionEvent(
        message.event_seq,
        timestamp_from_wire(message.event_time),
        _HAPPENING_FROM_WIRE[member](getattr(message, member)),
    )


def _action_finished_to_wire(happening: ActionFinished) -> agent_pb2.ActionFinished:
    message = agent_pb2.ActionFinished(action_id=happening.action_id)
    if happening.error is None:
        message.result.CopyFrom(struct_of(happening.result))
    else:
        message.error.CopyFrom(to_status(happening.error, service=SERVICE))
    return message


def _action_finished_from_wire(message: agent_pb2.ActionFinished) -> ActionFinished:
    match message.WhichOneof("outcome"):
        case "error":
            return ActionFinished(message.action_id, error=from_status(message.error))
        case "result":
            return ActionFinished(message.action_id, MessageToDict(message.result))
    raise UnsetOneof("outcome", field="outcome")


_HAPPENING_FROM_WIRE: Mapping[str, Callable[[Any], Happening]] = {
    "state_changed": lambda message: StateChanged(mission_from_wire(message)),
    "plan_made": lambda message: PlanMade(tuple(message.steps), message.rationale),
    "action_started": lambda message: ActionStarted(message.action_id, message.tool, MessageToDict(message.arguments)),
    "action_finished": _action_finished_from_wire,
    "observed": lambda message: Observed(tuple(message.frame_ids), message.summary),
    "thinking_started": lambda message: ThinkingStarted(
        message.thinking_id, message.prompt, tuple(map(turn_from_wire, message.messages))
    ),
    "thinking_finished": lambda message: ThinkingFinished(
        message.thinking_id,
        message.answer,
        duration_from_wire(message.elapsed),
        message.last_frame_id,
        message.oldest_frame_id,
        message.context_tokens,
        message.thought,
    ),
    "frames_evicted": lambda message: FramesEvicted(tuple(message.frame_ids)),
    "keyframe_filed": lambda message: KeyframeFiled(message.frame_id, message.revision),
    "instruction_begun": lambda message: InstructionBegun(
        message.number,
        message.text,
        tuple(message.entity_ids),
        message.recalled_by,
        tuple(message.recalled_frame_ids),
    ),
    "instructed": lambda message: Instructed(message.number, message.text),
    "instruction_lost": lambda message: InstructionLost(message.number, from_status(message.status)),
    "frames_recalled": lambda message: FramesRecalled(tuple(message.frame_ids)),
    "keyframe_lost": lambda message: KeyframeLost(message.frame_id, from_status(message.status)),
    "motion_refused": lambda message: MotionRefused(message.action_id, from_status(message.status)),
    "briefed": lambda message: Briefed(message.profile, message.system_text, tuple(map(tool_from_wire, message.tools))),
    "no_call": lambda message: NoCall(message.answer),
    "reported": lambda message: Reported(message.text),
    "operator_asked": lambda message: OperatorAsked(message.question),
    "operator_answered": lambda message: OperatorAnswered(message.answer),
    "told_outside": lambda message: ToldOutside(outside_from_wire(message)),
    "service_lost": lambda message: ServiceLost(message.service, from_status(message.status)),
    "service_back": lambda message: ServiceBack(message.service, duration_from_wire(message.away), message.detail),
    "question_answered": lambda message: QuestionAnswered(message.question, message.answer),
}
