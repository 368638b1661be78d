"""Carries out tool calls: checks them, flies, looks and recalls through the cockpit, and logs each as an action.

For a model that is not told what happened it remembers what was refused, so that the next question says so and the same
call is not among the answers; a motion that succeeds opens everything again. A model that is told keeps every tool. It
knows nothing of how a question is worded, or of agent frameworks.
"""

import asyncio
import dataclasses
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from stillwing_agent.core.events import ActionFinished, ActionStarted, MotionRefused, NoCall, Observed, Reported
from stillwing_agent.core.held_asking import InstructionChanged
from stillwing_agent.core.prompting.base import Moment
from stillwing_agent.core.prompting.history import history
from stillwing_agent.core.prompting.prompts import MOVE, TOOLS, ToolSpec
from stillwing_agent.core.tools.calls import CallCheck, point_command, to_command
from stillwing_agent.core.tools.circling import Circling, Key
from stillwing_agent.core.tools.cockpit import Cockpit, Thought
from stillwing_agent.core.tools.dialogue import ask_operator, look_around
from stillwing_agent.core.tools.homing import fly_home
from stillwing_agent.core.tools.own_tools import OwnTool, run_own_tool
from stillwing_agent.core.types import Claim
from stillwing_bridge.core.commands import Command
from stillwing_bridge.core.types import VehicleInfo
from stillwing_common.errors import (
    CommandExpired,
    InvalidInput,
    LimitExceeded,
    MotionFailed,
    NotFlying,
    ObservationStale,
    Obstructed,
    OperatorRefused,
    OperatorSilent,
    OutsideFence,
    SimulatorError,
    StillwingError,
    ToolFailed,
    Unavailable,
    UnknownFrame,
    Unsupported,
)
from stillwing_common.ids import new_id
from stillwing_memory.core.keyframes import ByText
from stillwing_memory.core.protocol import MemoryBank
from stillwing_vlm.core.chat_format import Pointing
from stillwing_vlm.core.requests import Sampling

_REFUSALS = (
    Obstructed,
    OutsideFence,
    LimitExceeded,
    NotFlying,
    ObservationStale,
    UnknownFrame,
    CommandExpired,
    MotionFailed,
    SimulatorError,
)
"""What the bridge may turn a motion down with and the mission still goes on; all else ends it."""

_STALE = (ObservationStale, UnknownFrame, CommandExpired)
"""Refusals that say nothing against the motion itself: ask again on a fresh picture."""


_CAPTIONS = 3
"""Captions that a recall answers with where no frames go along."""


class _MemorySilent(Exception):
    """A recall failed because of the memory bank, without which a mission goes on."""

    def __init__(self, error: StillwingError) -> None:
        super().__init__(str(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a call came to: `text` for the model's side, `data` for the event log, `error` if it was not carried out."""

    text: str
    data: Mapping[str, Any] = field(default_factory=dict)
    error: StillwingError | None = None


@dataclass(slots=True)
class Toolbox:
    """The tools of one mission.

    `most_recalled` frames go before the model again; 0 where the engine recalls none, and captions alone are answered.
    `pointing`: in which figures the model names a place in a picture. `own_tools`: of the user's own.
    `refusal_reason` is for the next prompt; None after a motion that succeeded.
    """

    cockpit: Cockpit
    memory: MemoryBank | None
    most_recalled: int
    vehicle: VehicleInfo
    pointing: Pointing | None = None
    own_tools: tuple[OwnTool, ...] = ()
    refusal_reason: str | None = None
    claim: Claim | None = None
    """The final answer to the instruction that is followed; None as long as there is none."""
    _closed: set[Key] = field(default_factory=set)
    _circling: Circling = field(default_factory=Circling)
    _silences: int = 0
    _calls: CallCheck = field(init=False)

    def __post_init__(self) -> None:
        profile = self.cockpit.profile
        self._calls = CallCheck(profile.tools if profile.converses else TOOLS)

    @property
    def goal(self) -> str:
        """The instruction being followed, in the words it was given: at first the mission's goal."""
        mission = self.cockpit.flight.record.mission
        return mission.instruction or mission.goal

    def turned(self) -> None:
        """Another instruction is followed from now on: what was refused under the last one is open again."""
        self.refusal_reason = self.claim = None
        self._closed.clear()
        self._circling = Circling()

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """All that the mission's profile tells of."""
        return self.cockpit.profile.tools

    def open_tools(self) -> tuple[ToolSpec, ...]:
        """`tools` without what was refused since the last motion that succeeded, and without circling on the spot."""
        return without_closed(self.tools, self._not_offered())

    def is_open(self, call: Mapping[str, Any]) -> bool:
        """Whether this call (name, arguments) is among what `open_tools` leaves."""
        return _key(call["name"], call["arguments"]) not in self._not_offered()

    async def decide(self, sampling: Sampling | None = None) -> Thought:
        """Ask for the next tool call. A model that converses and answers with none is told so, once, and asked again.

        Raises what `Cockpit.decide` does.
        """
        thought = await self._decide_once(sampling)
        if not self.cockpit.profile.converses or thought.call is not None:
            return thought
        self.cockpit.flight.record.add(NoCall(thought.text))
        thought = await self._decide_once(sampling)
        if thought.call is None:
            self.cockpit.flight.record.add(NoCall(thought.text))
        return thought

    async def _decide_once(self, sampling: Sampling | None) -> Thought:
        cockpit = self.cockpit
        # Before the history is read, which then holds the answers.
        await cockpit.answer_questions()
        moment = Moment(self.goal, self.open_tools(), self.refusal_reason)
        if cockpit.profile.converses:
            told = history(event.happening for event in cockpit.flight.record.happenings)
            moment = dataclasses.replace(
                moment,
                entries=told.entries,
                notes=told.notes,
                vehicle=await cockpit.instruments.vehicle(),
                sight_s=cockpit.pump.sight_s,
                picture_px=cockpit.pump.picture_px,
                decisions_left=cockpit.decisions_left,
                time_left_s=cockpit.instruments.time_left_s,
            )
        return await cockpit.decide(cockpit.profile.decision(moment), sampling)

    async def run(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Carry out one call. A refusal or a wrong call is a result with an error; what ends the mission is raised, and
        InstructionChanged where it is broken off for another instruction.
        """
        record = self.cockpit.flight.record
        action_id = new_id("act")
        record.add(ActionStarted(action_id, name, dict(arguments)))
        try:
            self._calls.check(name, arguments)
            data = await self._carry_out(name, arguments)
        except (*_REFUSALS, InvalidInput, Unsupported, OperatorSilent, OperatorRefused, ToolFailed) as error:
            if isinstance(error, _REFUSALS):
                record.add(MotionRefused(action_id, error))
                self._close(name, arguments, error)
            record.add(ActionFinished(action_id, error=error))
            if isinstance(error, OperatorSilent) and self._silences > 1:
                raise
            if isinstance(error, _STALE):
                await self.cockpit.wait_fresh_frame()
            return ToolResult(f"{error.reason}: {error}", error=error)
        except _MemorySilent as silent:
            record.add(ActionFinished(action_id, error=silent.error))
            return ToolResult(f"{silent.error.reason}: {silent.error}", error=silent.error)
        except InstructionChanged:
            record.add(ActionFinished(action_id, {"state": "broken off"}))
            raise
        except StillwingError as error:
            record.add(ActionFinished(action_id, error=error))
            raise
        record.add(ActionFinished(action_id, data))
        return ToolResult(json.dumps(data, ensure_ascii=False), data)

    async def _carry_out(self, name: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        record = self.cockpit.flight.record
        match name:
            case "look":
                thought = await self.cockpit.ask(arguments["question"])
                record.add(Observed((thought.last_frame_id,), thought.text))
                return {"answer": thought.text, "frame_id": thought.last_frame_id}
            case "look_around":
                hfov_deg = self.vehicle.cameras[0].hfov_deg if self.vehicle.cameras else None
                seen = await look_around(self.cockpit, arguments["question"], hfov_deg)
                return {"seen": seen}
            case "note":
                return {"state": "noted down"}
            case "report":
                record.add(Reported(arguments["text"]))
                return {"state": "told the operator"}
            case "ask_operator":
                return {"answer": await self._ask_operator(arguments["question"])}
            case "return_home":
                return {"home_m": round(await fly_home(self.cockpit, self._max_step_m), 1)}
            case "recall":
                return await self._recall(arguments["query"])
            case "hover":
                await self.cockpit.wait(arguments["duration_s"])
                return {"state": "holding"}
            case "final_answer":
                self.claim = Claim(str(arguments["answer"]), bool(arguments.get("achieved", True)))
                return dict(arguments)
        own = next((tool for tool in self.own_tools if tool.spec.name == name), None)
        if own is not None:
            return await run_own_tool(own, arguments, self.cockpit, self._ask_operator, self._fly_for_tool)
        status = await self.cockpit.fly(self._command(name, arguments))
        self._moved(name, arguments)
        return {"state": status.state.value}

    def _command(self, name: str, arguments: Mapping[str, Any]) -> Command:
        if name == "point_and_fly":
            return point_command(arguments, self.pointing, self.cockpit.pump.picture_px)
        return to_command(name, arguments)

    async def _fly_for_tool(self, name: str, arguments: Mapping[str, Any]) -> None:
        self._calls.check(name, arguments)
        await self.cockpit.fly_on(self._command(name, arguments))
        self._moved(name, arguments)

    def _moved(self, name: str, arguments: Mapping[str, Any]) -> None:
        self._closed.clear()
        self._circling.moved(name, arguments)
        self.refusal_reason = None

    @property
    def _max_step_m(self) -> float:
        return self.vehicle.limits.max_step_m

    async def _ask_operator(self, question: str) -> str:
        try:
            answer = await ask_operator(self.cockpit, question)
        except OperatorSilent:
            self._silences += 1
            raise
        self._silences = 0
        return answer

    async def _recall(self, query: str) -> dict[str, Any]:
        if self.memory is None:
            raise Unsupported("this agent was started without a memory bank")
        try:
            async with asyncio.timeout(self.cockpit.flight.settings.put_timeout_s):
                matches = await self.memory.search_keyframes(
                    ByText(query), limit=self.most_recalled or _CAPTIONS, include_image=self.most_recalled > 0
                )
        except TimeoutError as error:
            raise _MemorySilent(Unavailable("the memory bank took too long")) from error
        except Unavailable as error:
            raise _MemorySilent(error) from error
        found = [match.keyframe for match in matches]
        recalled: tuple[str, ...] = ()
        if found and self.most_recalled:
            oldest_first = sorted(found, key=lambda keyframe: keyframe.put_wall_ns)
            with self.cockpit.flight.life.waiting():
                recalled = (
                    await self.cockpit.flight.session.recall([keyframe.frame for keyframe in oldest_first])
                ).frame_ids
        captions = [keyframe.caption for keyframe in found]
        self.cockpit.flight.record.add(Observed(tuple(k.frame.frame_id for k in found), "; ".join(captions)))
        return {"found": captions, "recalled_frame_ids": list(recalled)}

    def _not_offered(self) -> set[Key]:
        if self.cockpit.profile.converses:
            return set()
        way_on_refused = bool({("move", "forward"), ("fly_towards", None)} & self._closed)
        return self._closed | self._circling.closed(way_on_refused=way_on_refused)

    def _close(self, name: str, arguments: Mapping[str, Any], error: StillwingError) -> None:
        if isinstance(error, _STALE):
            return
        self.refusal_reason = error.metadata.get("state", error.reason).upper()
        self._closed.add(_key(name, arguments))
        if name == "move":
            # Beside something that is in the way, the sides no camera looks at are not flown to either.
            self._closed |= {(name, direction) for direction in MOVE.arguments["direction"]["enum"]}


def without_closed(tools: Collection[ToolSpec], closed: Collection[Key]) -> tuple[ToolSpec, ...]:
    """`tools` without the (name, direction) pairs of `closed`; a tool with no direction left is left out."""
    left = []
    for tool in tools:
        if (tool.name, None) in closed:
            continue
        direction = tool.arguments.get("direction")
        if direction is not None:
            open_directions = [word for word in direction["enum"] if (tool.name, word) not in closed]
            if not open_directions:
                continue
            arguments = {**tool.arguments, "direction": {**direction, "enum": open_directions}}
            tool = dataclasses.replace(tool, arguments=arguments)
        left.append(tool)
    return tuple(left)


def _key(name: str, arguments: Mapping[str, Any]) -> Key:
    return name, arguments.get("direction")
