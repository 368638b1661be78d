"""What an agent is to its callers: missions, each with an append-only log of typed events.

Two implementations share the `Agent` protocol: the one of this process (`core.agent.MissionAgent`) and the one behind
the wire (`client.RemoteAgent`). This module knows nothing of models, vehicles, policies or transports.

Order: events of one mission carry `event_seq` 1, 2, 3, … without gaps. Threads: every method is called on the event
loop on which the agent was made.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from stillwing_agent.core.events import MissionEvent
from stillwing_agent.core.types import (
    InstructionRequest,
    Mission,
    MissionPage,
    MissionRequest,
    OperatorAnswer,
    OutsideRange,
)


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """Which implementation flies, and the JSON Schema (text) of what `MissionRequest.params` may hold."""

    implementation: str
    params_schema: str


class Agent(Protocol):
    """Flies missions, one for each vehicle at a time."""

    async def agent_info(self) -> AgentInfo:
        """Which implementation this is and what it takes."""

    async def check_mission(self, goal: str, simulator: str = "") -> OutsideRange | None:
        """What of a goal lies outside what the loaded model was taught; None where nothing does, or nothing is known.

        `simulator`: whose pictures it would fly by, "" where that is not known.
        Raises InvalidInput, TextTooLong, Unavailable.
        """

    async def start_mission(self, request: MissionRequest) -> Mission:
        """Begin a mission and return at once.

        Raises InvalidInput, TextTooLong, BadParams, UnknownVehicle, VehicleBusy, Unavailable.
        """

    async def get_mission(self, mission_id: str) -> Mission:
        """One mission as it stands. Raises UnknownMission."""

    async def list_missions(self, page_size: int = 0, page_token: str = "") -> MissionPage:
        """The missions this agent knows; `page_size` 0 means 20. Raises BadPageToken."""

    async def cancel_mission(self, mission_id: str) -> Mission:
        """End a mission; the vehicle is left holding and its lease returned. Cancelling what has ended changes nothing.

        Raises UnknownMission.
        """

    async def instruct_mission(self, request: InstructionRequest) -> Mission:
        """Give a running mission a further instruction.

        Under NOW motion is broken off; the vehicle holds while the instruction is read. Things keep their ids.
        Raises InvalidInput, TextTooLong, UnknownMission, MissionEnded, QueueFull.
        """

    async def ask_mission(self, mission_id: str, question: str) -> str:
        """Ask the model at the mission's next pause, the vehicle held; nothing of what is to be done changes by it.

        Raises InvalidInput, TextTooLong, UnknownMission, MissionEnded, QueueFull, and what the question failed with.
        """

    async def answer_mission(self, answer: OperatorAnswer) -> Mission:
        """Answer the question for which a mission waits.

        Raises InvalidInput, TextTooLong, UnknownMission, NoQuestionOpen.
        """

    def watch_mission(self, mission_id: str, after_event_seq: int = 0) -> AsyncIterator[MissionEvent]:
        """A log stream: every event after one already seen, in order; ends with the mission.

        A slow reader loses nothing. Raises UnknownMission at the first step.
        """

    async def close(self) -> None:
        """Cancel every mission and wait until their vehicles hold."""
