"""The agent of this process: takes missions, flies each in a task of its own, keeps their records.

It knows nothing of gRPC or of how a policy decides. All methods run on one event loop.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stillwing_agent.core.events import MissionEvent
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.mission.loop import MissionLoop
from stillwing_agent.core.mission_record import MissionRecord
from stillwing_agent.core.params import MissionParams
from stillwing_agent.core.policy import Policy, all_properties
from stillwing_agent.core.prompting.taught import Taught
from stillwing_agent.core.protocol import AgentInfo
from stillwing_agent.core.types import (
    InstructionRequest,
    Mission,
    MissionPage,
    MissionRequest,
    MissionState,
    OperatorAnswer,
    OutsideRange,
)
from stillwing_common.clock import Clock, WallClock
from stillwing_common.errors import (
    BadPageToken,
    InternalFault,
    InvalidInput,
    StillwingError,
    TextTooLong,
    UnknownMission,
    UnknownVehicle,
    VehicleBusy,
)
from stillwing_common.ids import new_id

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AgentConfig:
    """Limits of an agent; `log_folder` None keeps events in memory alone."""

    default_time_limit_s: float = 600.0
    max_time_limit_s: float = 24 * 3600.0
    max_goal_chars: int = 500
    max_id_chars: int = 200
    max_events: int = 100_000
    max_kept_missions: int = 200
    max_page_size: int = 100
    log_folder: Path | None = None
    flight: FlightSettings = field(default_factory=FlightSettings)


@dataclass(frozen=True, slots=True)
class _Entry:
    record: MissionRecord
    request_id: str
    task: asyncio.Task[None]


class MissionAgent:
    """An `Agent` that flies with one policy, made anew for each mission."""

    def __init__(
        self,
        crew: Crew,
        implementation: str,
        policy: type[Policy],
        settings: AgentConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._crew = crew
        self._implementation = implementation
        self._policy = policy
        self._params = MissionParams(all_properties(policy))
        self._settings = settings or AgentConfig()
        self._clock = clock or WallClock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._by_request: dict[str, str] = {}
        self._starting = asyncio.Lock()

    async def agent_info(self) -> AgentInfo:
        """Which implementation this is and what it takes."""
        return AgentInfo(self._implementation, self._params.schema_text)

    async def check_mission(self, goal: str, simulator: str = "") -> OutsideRange | None:
        """What of a goal lies outside what the loaded model was taught."""
        self._check_texts("goal", goal)
        return Taught.read((await self._crew.engine.model_info()).chat.training_range).outside(goal, simulator)

    async def start_mission(self, request: MissionRequest) -> Mission:
        """Begin a mission and return at once."""
        self._check(request)
        params = self._params.checked(request.params)
        # One start at a time, so that a repeated request_id cannot slip in while vehicles are being listed.
        async with self._starting:
            first = self._by_request.get(request.request_id)
            if first is not None:
                return self._entries[first].record.mission
            vehicles = await self._crew.bridge.list_vehicles()
            if request.vehicle_id not in {vehicle.vehicle_id for vehicle in vehicles}:
                known = ", ".join(vehicle.vehicle_id for vehicle in vehicles)
                raise UnknownVehicle(f"known: {known}", vehicle_id=request.vehicle_id)
            self._refuse_busy(request.vehicle_id)
            return self._begin(request, params)

    async def get_mission(self, mission_id: str) -> Mission:
        """One mission as it stands."""
        return self._entry(mission_id).record.mission

    async def list_missions(self, page_size: int = 0, page_token: str = "") -> MissionPage:
        """The missions this agent knows, newest first; a token is the id of the last mission of the page before."""
        if page_size < 0:
            raise InvalidInput("page_size is 0 or more", page_size=page_size)
        newest_first = [entry.record.mission for entry in reversed(self._entries.values())]
        start = 0
        if page_token:
            ids = [mission.mission_id for mission in newest_first]
            if page_token not in ids:
                raise BadPageToken(page_token=page_token)
            start = ids.index(page_token) + 1
        size = min(page_size or 20, self._settings.max_page_size)
        page = tuple(newest_first[start : start + size])
        more = start + size < len(newest_first)
        return MissionPage(page, page[-1].mission_id if more else "")

    async def cancel_mission(self, mission_id: str) -> Mission:
        """End a mission and wait until its vehicle has been told to hold."""
        entry = self._entry(mission_id)
        if not entry.record.mission.state.ended:
            entry.task.cancel()
            await entry.record.ended()
        return entry.record.mission

    async def instruct_mission(self, request: InstructionRequest) -> Mission:
        """Give a running mission a further instruction."""
        self._check_texts("instruction", request.text, request_id=request.request_id, mission_id=request.mission_id)
        record = self._entry(request.mission_id).record
        record.instruct(request)
        return record.mission

    async def ask_mission(self, mission_id: str, question: str) -> str:
        """Ask the model at the mission's next pause."""
        self._check_texts("question", question, mission_id=mission_id)
        return await self._entry(mission_id).record.ask_model(question)

    async def answer_mission(self, answer: OperatorAnswer) -> Mission:
        """Answer the question for which a mission waits."""
        self._check_texts("answer", answer.answer, request_id=answer.request_id, mission_id=answer.mission_id)
        record = self._entry(answer.mission_id).record
        record.answer(answer)
        return record.mission

    async def watch_mission(self, mission_id: str, after_event_seq: int = 0) -> AsyncIterator[MissionEvent]:
        """Every event after one already seen, in order; ends with the mission."""
        async for event in self._entry(mission_id).record.watch(after_event_seq):
            yield event

    async def close(self) -> None:
        """Cancel every mission and wait until their vehicles hold."""
        tasks = [entry.task for entry in self._entries.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _check(self, request: MissionRequest) -> None:
        settings = self._settings
        self._check_texts("goal", request.goal, request_id=request.request_id, vehicle_id=request.vehicle_id)
        if not 0.0 <= request.time_limit_s <= settings.max_time_limit_s:
            raise InvalidInput(f"time_limit is from 0 to {settings.max_time_limit_s:g} s", field="time_limit")

    def _check_texts(self, what: str, text: str, **ids: str) -> None:
        settings = self._settings
        if not all(ids.values()):
            raise InvalidInput(f"{' and '.join(ids)} are required")
        for name, value in ids.items():
            if len(value) > settings.max_id_chars:
                raise TextTooLong(f"{name}: at most {settings.max_id_chars} characters", field=name)
        if not text.strip():
            raise InvalidInput(f"the {what} is empty", field=what)
        if len(text) > settings.max_goal_chars:
            raise TextTooLong(f"{what}: at most {settings.max_goal_chars} characters", field=what)

    def _refuse_busy(self, vehicle_id: str) -> None:
        for mission_id, entry in self._entries.items():
            mission = entry.record.mission
            if mission.vehicle_id == vehicle_id and not mission.state.ended:
                raise VehicleBusy(f"mission {mission_id}", mission_id=mission_id, vehicle_id=vehicle_id)

    def _begin(self, request: MissionRequest, params: Mapping[str, Any]) -> Mission:
        mission = Mission(
            mission_id=new_id("mis"),
            goal=request.goal,
            instruction=request.goal,
            vehicle_id=request.vehicle_id,
            state=MissionState.PENDING,
            create_wall_ns=self._clock.wall_ns(),
        )
        settings = self._settings
        record = MissionRecord(mission, self._clock, max_events=settings.max_events, log_folder=settings.log_folder)
        loop = MissionLoop(
            crew=self._crew,
            policy=self._policy(params),
            record=record,
            clock=self._clock,
            settings=settings.flight,
            time_limit_s=request.time_limit_s or settings.default_time_limit_s,
            max_decisions=params["max_decisions"],
        )
        task = asyncio.create_task(_fly(loop, record), name=mission.mission_id)
        task.add_done_callback(lambda _: _end_unbegun(record))
        self._forget_oldest()
        self._entries[mission.mission_id] = _Entry(record, request.request_id, task)
        self._by_request[request.request_id] = mission.mission_id
        return mission

    def _forget_oldest(self) -> None:
        ended = [mission_id for mission_id, entry in self._entries.items() if entry.record.mission.state.ended]
        for mission_id in ended[: max(0, len(self._entries) - self._settings.max_kept_missions + 1)]:
            del self._by_request[self._entries.pop(mission_id).request_id]

    def _entry(self, mission_id: str) -> _Entry:
        entry = self._entries.get(mission_id)
        if entry is None:
            raise UnknownMission(mission_id=mission_id)
        return entry


async def _fly(loop: MissionLoop, record: MissionRecord) -> None:
    """Run one mission to its end, whatever it is, and record that end."""
    try:
        record.change_state(MissionState.RUNNING)
        claim = await loop.run()
    except asyncio.CancelledError:
        record.change_state(MissionState.CANCELLED)
    except StillwingError as error:
        record.change_state(MissionState.FAILED, error=error)
    except Exception:
        _log.exception("mission %s broke", record.mission.mission_id)
        record.change_state(MissionState.FAILED, error=InternalFault(mission_id=record.mission.mission_id))
    else:
        record.change_state(claim.state, answer=claim.answer, verification=claim.verification)


def _end_unbegun(record: MissionRecord) -> None:
    # A task cancelled before its first step never runs its body.
    if not record.mission.state.ended:
        record.change_state(MissionState.CANCELLED)
