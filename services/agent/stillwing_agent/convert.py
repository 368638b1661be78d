"""`stillwing.agent.v1` messages to the values of the core and back. Knows nothing of how missions are flown."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct

from stillwing.agent.v1 import agent_pb2
from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
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
    Observed,
    PlanMade,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.protocol import AgentInfo
from stillwing_agent.core.types import (
    InstructionRequest,
    Mission,
    MissionFigures,
    MissionPage,
    MissionRequest,
    MissionState,
    When,
)
from stillwing_common.errors import InvalidInput, UnsetOneof
from stillwing_rpc.convert import duration_from_wire, duration_to_wire, timestamp_from_wire, timestamp_to_wire
from stillwing_rpc.errors import from_status, to_status

SERVICE = "stillwing.agent.v1.AgentService"

_STATE_TO_WIRE: dict[MissionState, agent_pb2.Mission.State] = {
    MissionState.PENDING: agent_pb2.Mission.STATE_PENDING,
    MissionState.RUNNING: agent_pb2.Mission.STATE_RUNNING,
    MissionState.ACHIEVED: agent_pb2.Mission.STATE_ACHIEVED,
    MissionState.NOT_ACHIEVED: agent_pb2.Mission.STATE_NOT_ACHIEVED,
    MissionState.FAILED: agent_pb2.Mission.STATE_FAILED,
    MissionState.CANCELLED: agent_pb2.Mission.STATE_CANCELLED,
}
_STATE_FROM_WIRE: dict[int, MissionState] = {int(wire): state for state, wire in _STATE_TO_WIRE.items()}


def info_to_wire(info: AgentInfo) -> agent_pb2.GetAgentResponse:
    """Which implementation this is."""
    return agent_pb2.GetAgentResponse(implementation=info.implementation, params_schema=info.params_schema)


def info_from_wire(message: agent_pb2.GetAgentResponse) -> AgentInfo:
    """Which implementation that is."""
    return AgentInfo(message.implementation, message.params_schema)


def request_to_wire(request: MissionRequest) -> agent_pb2.StartMissionRequest:
    """What is asked for."""
    return agent_pb2.StartMissionRequest(
        request_id=request.request_id,
        goal=request.goal,
        vehicle_id=request.vehicle_id,
        time_limit=duration_to_wire(request.time_limit_s) if request.time_limit_s else None,
        params=_struct(request.params),
    )


def request_from_wire(message: agent_pb2.StartMissionRequest) -> MissionRequest:
    """What is asked for; an absent time limit means the agent's default, one of zero or less is refused."""
    time_limit_s = 0.0
    if message.HasField("time_limit"):
        time_limit_s = duration_from_wire(message.time_limit)
        if time_limit_s <= 0:
            raise InvalidInput("time_limit is above 0, or absent", field="time_limit")
    return MissionRequest(
        request_id=message.request_id,
        goal=message.goal,
        vehicle_id=message.vehicle_id,
        time_limit_s=time_limit_s,
        params=MessageToDict(message.params),
    )


_WHEN_TO_WIRE: dict[When, agent_pb2.InstructMissionRequest.When] = {
    When.NOW: agent_pb2.InstructMissionRequest.WHEN_NOW,
    When.THEN: agent_pb2.InstructMissionRequest.WHEN_THEN,
}
_WHEN_FROM_WIRE: dict[int, When] = {int(wire): when for when, wire in _WHEN_TO_WIRE.items()} | {
    int(agent_pb2.InstructMissionRequest.WHEN_UNSPECIFIED): When.NOW
}


def instruction_to_wire(request: InstructionRequest) -> agent_pb2.InstructMissionRequest:
    """A further instruction."""
    return agent_pb2.InstructMissionRequest(
        request_id=request.request_id,
        mission_id=request.mission_id,
        text=request.text,
        when=_WHEN_TO_WIRE[request.when],
    )


def instruction_from_wire(message: agent_pb2.InstructMissionRequest) -> InstructionRequest:
    """A further instruction; a time of turning to it that this version does not know is refused."""
    when = _WHEN_FROM_WIRE.get(message.when)
    if when is None:
        raise InvalidInput(f"when {message.when} is unknown", field="when")
    return InstructionRequest(message.request_id, message.mission_id, message.text, when)


def mission_to_wire(mission: Mission) -> agent_pb2.Mission:
    """A mission as it stands."""
    figures = mission.figures
    return agent_pb2.Mission(
        mission_id=mission.mission_id,
        goal=mission.goal,
        vehicle_id=mission.vehicle_id,
        state=_STATE_TO_WIRE[mission.state],
        create_time=timestamp_to_wire(mission.create_wall_ns),
        error=None if mission.error is None else to_status(mission.error, service=SERVICE),
        end_time=None if mission.end_wall_ns is None else timestamp_to_wire(mission.end_wall_ns),
        answer=mission.answer,
        figures=agent_pb2.MissionFigures(
            decisions=figures.decisions,
            refusals=figures.refusals,
            thinking=duration_to_wire(figures.thinking_s),
            frames_seen=figures.frames_seen,
            frames_evicted=figures.frames_evicted,
            keyframes_filed=figures.keyframes_filed,
        ),
        instruction=mission.instruction,
        instruction_number=mission.instruction_number,
        waiting_instructions=mission.waiting_instructions,
    )


def mission_from_wire(message: agent_pb2.Mission) -> Mission:
    """A mission as it stands; a state that is unset or unknown is refused."""
    state = _STATE_FROM_WIRE.get(message.state)
    if state is None:
        raise InvalidInput(f"mission state {message.state} is unset or unknown", field="state")
    figures = message.figures
    return Mission(
        mission_id=message.mission_id,
        goal=message.goal,
        vehicle_id=message.vehicle_id,
        state=state,
        create_wall_ns=timestamp_from_wire(message.create_time),
        end_wall_ns=timestamp_from_wire(message.end_time) if message.HasField("end_time") else None,
        answer=message.answer,
        error=from_status(message.error) if message.HasField("error") else None,
        figures=MissionFigures(
            decisions=figures.decisions,
            refusals=figures.refusals,
            thinking_s=duration_from_wire(figures.thinking),
            frames_seen=figures.frames_seen,
            frames_evicted=figures.frames_evicted,
            keyframes_filed=figures.keyframes_filed,
        ),
        instruction=message.instruction,
        instruction_number=message.instruction_number or 1,
        waiting_instructions=tuple(message.waiting_instructions),
    )


def page_to_wire(page: MissionPage) -> agent_pb2.ListMissionsResponse:
    """One page of missions."""
    return agent_pb2.ListMissionsResponse(
        missions=[mission_to_wire(mission) for mission in page.missions], next_page_token=page.next_page_token
    )


def page_from_wire(message: agent_pb2.ListMissionsResponse) -> MissionPage:
    """One page of missions."""
    return MissionPage(tuple(mission_from_wire(mission) for mission in message.missions), message.next_page_token)


def event_to_wire(event: MissionEvent) -> agent_pb2.WatchMissionResponse:
    """One entry of a mission's log."""
    message = agent_pb2.WatchMissionResponse(event_seq=event.event_seq, event_time=timestamp_to_wire(event.wall_ns))
    happening = event.happening
    match happening:
        case StateChanged():
            message.state_changed.CopyFrom(mission_to_wire(happening.mission))
        case PlanMade():
            message.plan_made.CopyFrom(agent_pb2.PlanMade(steps=happening.steps, rationale=happening.rationale))
        case ActionStarted():
            message.action_started.CopyFrom(
                agent_pb2.ActionStarted(
                    action_id=happening.action_id, tool=happening.tool, arguments=_struct(happening.arguments)
                )
            )
        case ActionFinished():
            message.action_finished.CopyFrom(_action_finished_to_wire(happening))
        case Observed():
            message.observed.CopyFrom(agent_pb2.Observed(frame_ids=happening.frame_ids, summary=happening.summary))
        case ThinkingStarted():
            message.thinking_started.CopyFrom(
                agent_pb2.ThinkingStarted(thinking_id=happening.thinking_id, prompt=happening.prompt)
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
        message.result.CopyFrom(_struct(happening.result))
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
    "thinking_started": lambda message: ThinkingStarted(message.thinking_id, message.prompt),
    "thinking_finished": lambda message: ThinkingFinished(
        message.thinking_id,
        message.answer,
        duration_from_wire(message.elapsed),
        message.last_frame_id,
        message.oldest_frame_id,
        message.context_tokens,
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
}


def _struct(values: Mapping[str, Any]) -> Struct:
    struct = Struct()
    struct.update(dict(values))
    return struct
