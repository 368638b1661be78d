"""Missions faster than real time, with an operator beside them: simulator, bridge and agent on simulated time.

It knows no missions and no minds.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass, field

from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.events import ActionFinished, ActionStarted, Happening
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.lasting_session import MissionSession
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.types import Mission, MissionRequest
from stillwing_airfield.scenes.base import SceneSpec
from stillwing_airfield.sim import Airfield
from stillwing_bridge.core.bridge import BridgeSettings, LocalBridge
from stillwing_bridge.core.types import Limits
from stillwing_common.types import Frame
from stillwing_lab.evaluate.bank import episode_bank
from stillwing_lab.evaluate.policies import SimulatedToolCalling
from stillwing_lab.evaluate.simulated_loop import SimulatedClock, SimulatedLoop
from stillwing_lab.evaluate.stepped_vehicle import VEHICLE_ID, SteppedVehicle
from stillwing_lab.stand_in.sight import Picture, Sight
from stillwing_lab.stand_in.timed_engine import TimedEngine
from stillwing_vlm.core.protocol import SessionSource
from stillwing_vlm.core.requests import AskRequest
from stillwing_vlm.core.results import AnswerDone

_STEP_S = 0.005
_TRACK_S = 0.25
_THOUGHT_TOKENS = 160
"""A tokenizer that knows few words takes a token for nearly every letter."""

Operator = Callable[[MissionAgent, str], Awaitable[None]]
"""Watches a mission by its id and answers, instructs, asks."""

Connect = Callable[[SimulatedLoop], AbstractAsyncContextManager[SessionSource[MissionSession]]]
"""Reaches an engine on the loop of a mission, for as long as that lasts."""


async def nobody(agent: MissionAgent, mission_id: str) -> None:
    """An operator who says nothing."""


class ChangingSight:
    """Looks by the scene that is flown in now, so that one engine serves missions in many."""

    def __init__(self) -> None:
        self._sights: dict[tuple[str, int], Sight] = {}
        self._sight: Sight | None = None

    def turn_to(self, scene: SceneSpec) -> None:
        """From now on pictures are of this scene."""
        key = (scene.name, scene.seed)
        if key not in self._sights:
            self._sights[key] = Sight(scene)
        self._sight = self._sights[key]

    def look(self, frame: Frame) -> Picture:
        """What a frame shows."""
        assert self._sight is not None
        return self._sight.look(frame)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a mission is flown under. `heard`: what becomes of each question before it is asked."""

    limits: Limits = field(default_factory=Limits)
    max_decisions: int = 80
    time_limit_s: float = 1800.0
    has_memory: bool = False
    conversation_tokens: int = 2000
    operator_wait_s: float = 20.0
    heard: Callable[[AskRequest], AskRequest] = lambda request: request


@dataclass(frozen=True, slots=True)
class Flown:
    """What came of a mission: its record, its answers, and where the vehicle truly was, north, east, down in metres."""

    mission: Mission
    happenings: tuple[Happening, ...]
    answers: tuple[AnswerDone, ...]
    track_m: tuple[tuple[float, float, float], ...]
    collisions: int
    simulated_s: float

    def calls(self, tool: str) -> list[ActionStarted]:
        """Calls of one tool, in order."""
        return [one for one in self.happenings if isinstance(one, ActionStarted) and one.tool == tool]

    @property
    def refusals(self) -> list[str]:
        """Why calls were not carried out."""
        return [
            one.error.reason for one in self.happenings if isinstance(one, ActionFinished) and one.error is not None
        ]

    def nearest_m(self, foot_m: tuple[float, float, float]) -> float:
        """How near over ground it ever came."""
        return min(math.dist(place[:2], foot_m[:2]) for place in self.track_m)


def fly(
    scene: SceneSpec, goal: str, connect: Connect, conditions: Conditions | None = None, operator: Operator = nobody
) -> Flown:
    """Fly one mission with the engine that `connect` reaches."""
    with Airfield(scene) as airfield, asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimulatedLoop)
        return runner.run(_fly(loop, airfield, goal, connect, conditions or Conditions(), operator))


async def _fly(
    loop: SimulatedLoop, airfield: Airfield, goal: str, connect: Connect, conditions: Conditions, operator: Operator
) -> Flown:
    truth = _Truth(airfield)
    loop.advance = truth.advance
    clock, answers = SimulatedClock(loop), list[AnswerDone]()
    async with AsyncExitStack() as stack:
        vehicle = SteppedVehicle(airfield)
        stack.callback(vehicle.end)
        await vehicle.connect()
        bridge = LocalBridge([vehicle], BridgeSettings(limits=conditions.limits), clock)
        await bridge.start()
        stack.push_async_callback(bridge.close)
        engine = await stack.enter_async_context(connect(loop))
        bank = await stack.enter_async_context(episode_bank(loop)) if conditions.has_memory else None
        timed = TimedEngine(engine, loop, heard=conditions.heard, answered=answers.append)
        flight = FlightSettings(
            conversation_tokens=conditions.conversation_tokens,
            max_thought_tokens=_THOUGHT_TOKENS,
            operator_wait_s=conditions.operator_wait_s,
        )
        agent = MissionAgent(
            Crew(bridge, timed, bank), "tool_calling", SimulatedToolCalling, AgentConfig(flight=flight), clock
        )
        stack.push_async_callback(agent.close)
        params = {"max_decisions": conditions.max_decisions}
        request = MissionRequest("stand-in", goal, VEHICLE_ID, conditions.time_limit_s, params)
        mission = await agent.start_mission(request)
        beside = asyncio.create_task(_operate(operator, agent, mission.mission_id))
        happenings = tuple([event.happening async for event in agent.watch_mission(mission.mission_id)])
        beside.cancel()
        with suppress(asyncio.CancelledError):
            await beside
        return Flown(
            await agent.get_mission(mission.mission_id),
            happenings,
            tuple(answers),
            tuple(truth.track_m),
            bridge.driver(VEHICLE_ID).commander.collisions,
            truth.simulated_s,
        )


async def _operate(operator: Operator, agent: MissionAgent, mission_id: str) -> None:
    await operator(agent, mission_id)


class _Truth:
    """Lets the airfield run with the loop's time, and keeps where the vehicle was."""

    def __init__(self, airfield: Airfield) -> None:
        self._airfield = airfield
        self._owed_s = 0.0
        self._next_s = 0.0
        self.simulated_s = 0.0
        self.track_m: list[tuple[float, float, float]] = []

    def advance(self, seconds: float) -> None:
        """In whole steps of physics; what is left over is owed to the next call."""
        self._owed_s += seconds
        steps_s = math.floor(self._owed_s / _STEP_S + 1e-9) * _STEP_S
        if steps_s <= 0:
            return
        self._owed_s -= steps_s
        self._airfield.advance(steps_s)
        self.simulated_s += steps_s
        if self.simulated_s >= self._next_s:
            self._next_s = self.simulated_s + _TRACK_S
            self.track_m.append(self._airfield.do(lambda vehicle: vehicle.state()).position_ned_m)
