"""An `Agent` behind the wire. Its caller cannot tell it from the one of this process, but for the time it takes."""

import asyncio
import time
from collections.abc import AsyncIterator

import grpc

from stillwing.agent.v1 import agent_pb2, agent_pb2_grpc
from stillwing_agent.convert import events, missions
from stillwing_agent.core.events import MissionEvent
from stillwing_agent.core.protocol import AgentInfo
from stillwing_agent.core.types import (
    InstructionRequest,
    Mission,
    MissionPage,
    MissionRequest,
    OperatorAnswer,
    OutsideRange,
)
from stillwing_common.errors import MissionEnded, Unavailable, UnknownMission
from stillwing_rpc.channel import connect
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.errors import domain_errors, sendable_values
from stillwing_rpc.sendable import check_wait, checked

_RESUME_AFTER_S = 0.2


class RemoteAgent:
    """Calls one AgentService. `resume_s` is how long a broken watch is taken up again before it gives up."""

    def __init__(self, channel: grpc.aio.Channel, *, resume_s: float = 10.0) -> None:
        self._channel = channel
        self._stub: agent_pb2_grpc.AgentServiceAsyncStub = checked(agent_pb2_grpc.AgentServiceStub(channel))
        self._resume_s = check_wait("resume_s", resume_s)

    @classmethod
    async def connect(
        cls, target: str, settings: ChannelSettings | None = None, *, wait_s: float = 10.0
    ) -> "RemoteAgent":
        """Reach the agent at `target` ("host:port"). Raises Unavailable, WrongService."""
        return cls(await connect(target, missions.SERVICE, settings, wait_s=wait_s))

    async def agent_info(self) -> AgentInfo:
        """Which implementation this is and what it takes."""
        with domain_errors():
            return missions.info_from_wire(await self._stub.GetAgent(agent_pb2.GetAgentRequest()))

    async def check_mission(self, goal: str, simulator: str = "") -> OutsideRange | None:
        """What of a goal lies outside what the loaded model was taught. Raises Unsupported for agents of before."""
        with sendable_values():
            request = agent_pb2.CheckMissionRequest(goal=goal, simulator=simulator)
        with domain_errors():
            return missions.check_from_wire(await self._stub.CheckMission(request))

    async def start_mission(self, request: MissionRequest) -> Mission:
        """Begin a mission and return at once."""
        with sendable_values():
            message = missions.request_to_wire(request)
        with domain_errors():
            response = await self._stub.StartMission(message)
        return missions.mission_from_wire(response.mission)

    async def get_mission(self, mission_id: str) -> Mission:
        """One mission as it stands."""
        with sendable_values():
            request = agent_pb2.GetMissionRequest(mission_id=mission_id)
        with domain_errors():
            response = await self._stub.GetMission(request)
        return missions.mission_from_wire(response.mission)

    async def list_missions(self, page_size: int = 0, page_token: str = "") -> MissionPage:
        """The missions this agent knows, newest first."""
        with sendable_values():
            request = agent_pb2.ListMissionsRequest(page_size=page_size, page_token=page_token)
        with domain_errors():
            return missions.page_from_wire(await self._stub.ListMissions(request))

    async def cancel_mission(self, mission_id: str) -> Mission:
        """End a mission and wait until its vehicle has been told to hold."""
        with sendable_values():
            request = agent_pb2.CancelMissionRequest(mission_id=mission_id)
        with domain_errors():
            response = await self._stub.CancelMission(request)
        return missions.mission_from_wire(response.mission)

    async def instruct_mission(self, request: InstructionRequest) -> Mission:
        """Give a running mission a further instruction."""
        with sendable_values():
            message = missions.instruction_to_wire(request)
        with domain_errors():
            response = await self._stub.InstructMission(message)
        return missions.mission_from_wire(response.mission)

    async def ask_mission(self, mission_id: str, question: str) -> str:
        """Ask the model of a mission under way."""
        with sendable_values():
            request = agent_pb2.AskMissionRequest(mission_id=mission_id, question=question)
        with domain_errors():
            return (await self._stub.AskMission(request)).answer

    async def answer_mission(self, answer: OperatorAnswer) -> Mission:
        """Answer the question for which a mission waits."""
        with sendable_values():
            message = missions.operator_answer_to_wire(answer)
        with domain_errors():
            response = await self._stub.AnswerMission(message)
        return missions.mission_from_wire(response.mission)

    async def watch_mission(self, mission_id: str, after_event_seq: int = 0) -> AsyncIterator[MissionEvent]:
        """Every event after one already seen, in order; a broken stream is taken up where it broke."""
        seen = after_event_seq
        give_up_s = time.monotonic() + self._resume_s
        while True:
            with sendable_values():
                request = agent_pb2.WatchMissionRequest(mission_id=mission_id, after_event_seq=seen)
            call = self._stub.WatchMission(request)
            try:
                with domain_errors():
                    async for message in call:
                        event = events.event_from_wire(message)
                        seen = event.event_seq
                        give_up_s = time.monotonic() + self._resume_s
                        yield event
                return
            except Unavailable:
                if time.monotonic() > give_up_s:
                    raise
            except UnknownMission as error:
                if not seen:
                    raise
                words = "its agent was started anew, which ends its missions; the bridge holds the vehicle"
                raise MissionEnded(words, mission_id=mission_id) from error
            finally:
                call.cancel()
            await asyncio.sleep(_RESUME_AFTER_S)

    async def close(self) -> None:
        """Let the connection go; missions fly on."""
        await self._channel.close()
