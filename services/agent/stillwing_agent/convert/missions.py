"""Missions and what is asked of them, to and from the wire. Knows nothing of how missions are flown."""

from google.protobuf.json_format import MessageToDict

from stillwing.agent.v1 import agent_pb2
from stillwing_agent.convert.structs import struct_of
from stillwing_agent.core.protocol import AgentInfo
from stillwing_agent.core.types import (
    InstructionRequest,
    Mission,
    MissionFigures,
    MissionPage,
    MissionRequest,
    MissionState,
    OperatorAnswer,
    OutsideRange,
    Verification,
    When,
)
from stillwing_common.errors import InvalidInput
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


def outside_to_wire(outside: OutsideRange) -> agent_pb2.OutsideRange:
    """What lies outside a model's range."""
    return agent_pb2.OutsideRange(instruction=outside.instruction, reasons=outside.reasons, taught=outside.taught)


def outside_from_wire(message: agent_pb2.OutsideRange) -> OutsideRange:
    """What lies outside a model's range."""
    return OutsideRange(message.instruction, tuple(message.reasons), tuple(message.taught))


def check_to_wire(outside: OutsideRange | None) -> agent_pb2.CheckMissionResponse:
    """What became of a check."""
    return agent_pb2.CheckMissionResponse(outside_range=None if outside is None else outside_to_wire(outside))


def check_from_wire(message: agent_pb2.CheckMissionResponse) -> OutsideRange | None:
    """What became of a check."""
    return outside_from_wire(message.outside_range) if message.HasField("outside_range") else None


def request_to_wire(request: MissionRequest) -> agent_pb2.StartMissionRequest:
    """What is asked for."""
    return agent_pb2.StartMissionRequest(
        request_id=request.request_id,
        goal=request.goal,
        vehicle_id=request.vehicle_id,
        time_limit=duration_to_wire(request.time_limit_s) if request.time_limit_s else None,
        params=struct_of(request.params),
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


def operator_answer_to_wire(answer: OperatorAnswer) -> agent_pb2.AnswerMissionRequest:
    """The operator's answer to a mission."""
    return agent_pb2.AnswerMissionRequest(
        request_id=answer.request_id, mission_id=answer.mission_id, answer=answer.answer
    )


def operator_answer_from_wire(message: agent_pb2.AnswerMissionRequest) -> OperatorAnswer:
    """The operator's answer to a mission."""
    return OperatorAnswer(message.request_id, message.mission_id, message.answer)


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
            no_calls=figures.no_calls,
        ),
        instruction=mission.instruction,
        instruction_number=mission.instruction_number,
        waiting_instructions=mission.waiting_instructions,
        operator_question=mission.operator_question,
        verification=None if mission.verification is None else _verification_to_wire(mission.verification),
    )


def _verification_to_wire(verification: Verification) -> agent_pb2.Verification:
    return agent_pb2.Verification(question=verification.question, probability=verification.probability)


def _verification_from_wire(message: agent_pb2.Verification) -> Verification:
    if not 0 <= message.probability <= 1:
        raise InvalidInput("a probability is from 0 to 1", field="verification.probability")
    return Verification(message.question, message.probability)


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
            no_calls=figures.no_calls,
        ),
        instruction=message.instruction,
        instruction_number=message.instruction_number or 1,
        waiting_instructions=tuple(message.waiting_instructions),
        operator_question=message.operator_question,
        verification=_verification_from_wire(message.verification) if message.HasField("verification") else None,
    )


def page_to_wire(page: MissionPage) -> agent_pb2.ListMissionsResponse:
    """One page of missions."""
    return agent_pb2.ListMissionsResponse(
        missions=[mission_to_wire(mission) for mission in page.missions], next_page_token=page.next_page_token
    )


def page_from_wire(message: agent_pb2.ListMissionsResponse) -> MissionPage:
    """One page of missions."""
    return MissionPage(tuple(mission_from_wire(mission) for mission in message.missions), message.next_page_token)
