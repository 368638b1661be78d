"""AgentService over any `Agent`: convert in, call, convert out. Errors are mapped by stillwing_rpc's interceptor."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from stillwing.agent.v1 import agent_pb2, agent_pb2_grpc
from stillwing_agent.convert import events, missions
from stillwing_agent.core.protocol import Agent
from stillwing_rpc.server import Registration


class AgentServicer(agent_pb2_grpc.AgentServiceServicer):
    """Serves one agent."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    async def GetAgent(self, request: agent_pb2.GetAgentRequest, context: Any) -> agent_pb2.GetAgentResponse:
        return missions.info_to_wire(await self._agent.agent_info())

    async def CheckMission(
        self, request: agent_pb2.CheckMissionRequest, context: Any
    ) -> agent_pb2.CheckMissionResponse:
        return missions.check_to_wire(await self._agent.check_mission(request.goal, request.simulator))

    async def StartMission(
        self, request: agent_pb2.StartMissionRequest, context: Any
    ) -> agent_pb2.StartMissionResponse:
        mission = await self._agent.start_mission(missions.request_from_wire(request))
        return agent_pb2.StartMissionResponse(mission=missions.mission_to_wire(mission))

    async def GetMission(self, request: agent_pb2.GetMissionRequest, context: Any) -> agent_pb2.GetMissionResponse:
        mission = await self._agent.get_mission(request.mission_id)
        return agent_pb2.GetMissionResponse(mission=missions.mission_to_wire(mission))

    async def ListMissions(
        self, request: agent_pb2.ListMissionsRequest, context: Any
    ) -> agent_pb2.ListMissionsResponse:
        return missions.page_to_wire(await self._agent.list_missions(request.page_size, request.page_token))

    async def CancelMission(
        self, request: agent_pb2.CancelMissionRequest, context: Any
    ) -> agent_pb2.CancelMissionResponse:
        mission = await self._agent.cancel_mission(request.mission_id)
        return agent_pb2.CancelMissionResponse(mission=missions.mission_to_wire(mission))

    async def InstructMission(
        self, request: agent_pb2.InstructMissionRequest, context: Any
    ) -> agent_pb2.InstructMissionResponse:
        mission = await self._agent.instruct_mission(missions.instruction_from_wire(request))
        return agent_pb2.InstructMissionResponse(mission=missions.mission_to_wire(mission))

    async def AskMission(self, request: agent_pb2.AskMissionRequest, context: Any) -> agent_pb2.AskMissionResponse:
        return agent_pb2.AskMissionResponse(answer=await self._agent.ask_mission(request.mission_id, request.question))

    async def AnswerMission(
        self, request: agent_pb2.AnswerMissionRequest, context: Any
    ) -> agent_pb2.AnswerMissionResponse:
        mission = await self._agent.answer_mission(missions.operator_answer_from_wire(request))
        return agent_pb2.AnswerMissionResponse(mission=missions.mission_to_wire(mission))

    async def WatchMission(
        self, request: agent_pb2.WatchMissionRequest, context: Any
    ) -> AsyncIterator[agent_pb2.WatchMissionResponse]:
        async for event in self._agent.watch_mission(request.mission_id, request.after_event_seq):
            yield events.event_to_wire(event)


def registration(agent: Agent) -> Registration:
    """What `RpcServer` needs to serve this agent."""
    servicer = AgentServicer(agent)

    def add(server: grpc.aio.Server) -> None:
        agent_pb2_grpc.add_AgentServiceServicer_to_server(servicer, server)

    return Registration(missions.SERVICE, add)
