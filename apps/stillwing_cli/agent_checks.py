"""The contract of `stillwing.agent.v1`, tried on any implementation: a few short missions, watched from all sides.

What the agent says is read from its own wire; what it did, from the bridge's flight log and from a witness before the
engine. It knows nothing of how those are started.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration

from stillwing.agent.v1 import agent_pb2 as pb
from stillwing.agent.v1 import agent_pb2_grpc
from stillwing_cli.agent_log_checks import ENDED, faults
from stillwing_cli.asks_seen import AsksSeen, FlightSeen
from stillwing_cli.check_page import Check, Level

_NOT_FOUND, _BAD, _STATE, _LACKS = (
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
)
_GOAL = "Fly to the red beacon."
_POLL_S = 0.05
_MAX_SEEN_CHARS = 400

Problems = list[str]


class _NoFlight(Exception):
    """There is no mission to try anything on."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for an answer to a call, for what takes a decision or two, and the time limit that is tried."""

    call_s: float = 5.0
    flight_s: float = 60.0
    limit_s: float = 3.0
    stop_s: float = 10.0


@dataclass
class AgentChecks:
    """Tries one agent. `flight` follows the vehicle it flies, `asks` what it asks the engine."""

    stub: "agent_pb2_grpc.AgentServiceAsyncStub"
    flight: FlightSeen
    asks: AsksSeen
    patience: Patience = field(default_factory=Patience)
    _missions: list[str] = field(default_factory=list)
    _ends: Problems = field(default_factory=list)
    _flies: bool = False

    async def run(self) -> AsyncGenerator[Check, None]:
        """Every check, in order; one that cannot be made is a failed one."""
        for what, check, fix in (
            ("says what it is", self._says_what_it_is, "answer GetAgent with a name and a JSON Schema of params"),
            ("refuses bad requests", self._refuses, "answer INVALID_ARGUMENT or NOT_FOUND, and start nothing"),
            ("starts at once, once", self._starts, "return from StartMission before flying; remember request_ids"),
            ("one mission a vehicle", self._one_a_vehicle, "refuse a second one with FAILED_PRECONDITION, or queue it"),
            ("answers questions", self._answers, "answer AskMission at a pause and go on, or leave it UNIMPLEMENTED"),
            ("no question, no answer", self._no_question, "refuse AnswerMission with FAILED_PRECONDITION"),
            ("takes instructions", self._instructed, "turn to it and log `instructed`; a request_id counts once"),
            ("cancels", self._cancels, "end as CANCELLED within seconds; cancelling again changes nothing"),
            ("keeps its time limit", self._limited, "end as FAILED with an error when time_limit is over"),
            ("holds before it asks", self._held, "await BeginThinking before every question to the engine"),
            ("still until the answer", self._still, "give no motion between BeginThinking and the answer"),
            ("returns the lease", self._returned, "call ReturnLease at every end, in a finally"),
            ("logs whole, in order", self._logs, "append each event once, number it, and end with the state"),
            ("lists its missions", self._lists, "answer ListMissions newest first, page_size at most"),
        ):  # fmt: skip
            yield await self._tried(what, check, fix)

    async def _tried(self, what: str, check: Callable[[], Awaitable[Problems | str]], fix: str) -> Check:
        try:
            said = await check()
        except grpc.aio.AioRpcError as error:
            said = [f"{error.code().name}: {error.details()}"]
        except _NoFlight:
            said = "not tried: no mission flew"
        if isinstance(said, str):
            return Check(what, Level.SKIPPED, said)
        seen = " ".join("; ".join(said[:4]).split())[:_MAX_SEEN_CHARS]
        return Check(what, Level.FAILED, seen, fix) if said else Check(what, Level.OK, "yes")

    # What it says of itself, and what it will not do

    async def _says_what_it_is(self) -> Problems:
        info = await self.stub.GetAgent(pb.GetAgentRequest(), timeout=self.patience.call_s)
        problems = [] if info.implementation else ["implementation is empty"]
        try:
            if not isinstance(json.loads(info.params_schema), dict):
                problems.append("params_schema is no JSON object")
        except ValueError:
            problems.append("params_schema is not JSON")
        return problems

    async def _refuses(self) -> Problems:
        before = self.flight.motions
        strange = pb.StartMissionRequest(request_id=_id(), goal=_GOAL, vehicle_id=self.flight.vehicle_id)
        strange.params["no_such_param_"] = 1
        problems = []
        for what, call, request, codes in (
            ("a mission without a goal", self.stub.StartMission, self._start(goal=" "), (_BAD,)),
            ("a mission without a request_id", self.stub.StartMission, self._start(request_id=""), (_BAD,)),
            ("a mission without a vehicle", self.stub.StartMission, self._start(vehicle_id=""), (_BAD, _NOT_FOUND)),
            ("an unknown vehicle", self.stub.StartMission, self._start(vehicle_id="no-such"), (_NOT_FOUND,)),
            ("an unknown param", self.stub.StartMission, strange, (_BAD,)),
            ("an unknown mission", self.stub.GetMission, pb.GetMissionRequest(mission_id="no-such"), (_NOT_FOUND,)),
            ("cancelling that", self.stub.CancelMission, pb.CancelMissionRequest(mission_id="no-such"), (_NOT_FOUND,)),
        ):
            problems += await self._refused(what, call, request, codes)
        watch = self.stub.WatchMission(pb.WatchMissionRequest(mission_id="no-such"), timeout=self.patience.call_s)
        problems += await self._refused("watching that", lambda *_, **__: watch.read(), None, (_NOT_FOUND,))
        await self.flight.read()
        if self.flight.motions != before:
            problems.append("the vehicle moved for a request that was refused")
        return problems

    async def _refused(self, what: str, call: Any, request: Any, codes: tuple[grpc.StatusCode, ...]) -> Problems:
        try:
            await call(request, timeout=self.patience.call_s)
        except grpc.aio.AioRpcError as error:
            wanted = " or ".join(code.name for code in codes)
            return [] if error.code() in codes else [f"{what}: {error.code().name} instead of {wanted}"]
        return [f"{what} was taken"]

    # Missions

    async def _starts(self) -> Problems:
        request = self._start(time_limit_s=self.patience.flight_s * 5)
        began_s = time.monotonic()
        first = (await self.stub.StartMission(request, timeout=self.patience.flight_s)).mission
        took_s = time.monotonic() - began_s
        self._missions.append(first.mission_id)
        again = (await self.stub.StartMission(request, timeout=self.patience.flight_s)).mission
        problems = [] if again.mission_id == first.mission_id else ["the same request_id started another mission"]
        if took_s > self.patience.call_s:
            problems.append(f"StartMission took {took_s:.1f} s")
        if first.state not in (pb.Mission.STATE_PENDING, pb.Mission.STATE_RUNNING) or not first.mission_id:
            problems.append(f"it was answered as {_name(first)} {first.mission_id!r}")
        if first.goal != _GOAL or not first.HasField("create_time"):
            problems.append("the mission has not its goal, or no create_time")
        asked = self.asks.asks
        for _ in range(round(self.patience.flight_s / _POLL_S)):
            if self.asks.asks > asked:
                self._flies = True
                return problems
            now = await self._get(first.mission_id)
            if now.state in ENDED:
                return [*problems, f"it ended as {_name(now)} and asked nothing: {now.error.message}"]
            await asyncio.sleep(_POLL_S)
        return [*problems, f"no question reached the engine within {self.patience.flight_s:g} s"]

    async def _one_a_vehicle(self) -> Problems:
        first = await self._flying()
        try:
            second = (await self.stub.StartMission(self._start(), timeout=self.patience.call_s)).mission
        except grpc.aio.AioRpcError as error:
            return [] if error.code() is _STATE else [f"{error.code().name} instead of FAILED_PRECONDITION"]
        await asyncio.sleep(1.0)
        both = [await self._get(mission_id) for mission_id in (first, second.mission_id)]
        await self._cancel(second.mission_id)
        running = [one for one in both if one.state == pb.Mission.STATE_RUNNING]
        return ["two missions run on one vehicle"] if len(running) > 1 else []

    async def _answers(self) -> Problems | str:
        mission_id = await self._flying()
        request = pb.AskMissionRequest(mission_id=mission_id, question="What do you see?")
        answer = await self._optional(self.stub.AskMission(request, timeout=self.patience.flight_s))
        if answer is None:
            return "not offered (UNIMPLEMENTED)"
        after = await self._get(mission_id)
        problems = [] if answer.answer else ["the answer is empty"]
        if after.instruction != _GOAL or after.instruction_number != 1:
            problems.append("the question took the instruction's place")
        return problems

    async def _no_question(self) -> Problems | str:
        mission_id = await self._flying()
        request = pb.AnswerMissionRequest(request_id=_id(), mission_id=mission_id, answer="The left one.")
        try:
            await self.stub.AnswerMission(request, timeout=self.patience.call_s)
        except grpc.aio.AioRpcError as error:
            if error.code() is _LACKS:
                return "not offered (UNIMPLEMENTED)"
            return [] if error.code() is _STATE else [f"{error.code().name} instead of FAILED_PRECONDITION"]
        asked = (await self._get(mission_id)).operator_question
        return [] if asked else ["an answer was taken that nothing had asked for"]

    async def _instructed(self) -> Problems | str:
        mission_id = await self._flying()
        text = "Turn to the left."
        request = pb.InstructMissionRequest(
            request_id=_id(), mission_id=mission_id, text=text, when=pb.InstructMissionRequest.WHEN_NOW
        )
        if await self._optional(self.stub.InstructMission(request, timeout=self.patience.call_s)) is None:
            return "not offered (UNIMPLEMENTED)"
        await self.stub.InstructMission(request, timeout=self.patience.call_s)
        events = self.stub.WatchMission(pb.WatchMissionRequest(mission_id=mission_id), timeout=self.patience.flight_s)
        async for event in events:
            if event.HasField("instructed"):
                said = event.instructed
                return [] if (said.number, said.text) == (2, text) else [f"instructed: {said.number}, {said.text!r}"]
        return ["the mission ended and never turned to the instruction"]

    async def _cancels(self) -> Problems:
        mission_id = await self._flying()
        problems = []
        for _ in range(2):
            mission = await self._cancel(mission_id)
            if mission.state != pb.Mission.STATE_CANCELLED:
                problems.append(f"it is {_name(mission)} after CancelMission")
        await self._note_end("a cancelled mission")
        return problems

    async def _limited(self) -> Problems:
        limit_s = self.patience.limit_s
        request = self._start(time_limit_s=limit_s)
        mission_id = (await self.stub.StartMission(request, timeout=self.patience.call_s)).mission.mission_id
        self._missions.append(mission_id)
        began_s = time.monotonic()
        mission = await self._get(mission_id)
        while mission.state not in ENDED and time.monotonic() - began_s < limit_s + self.patience.stop_s:
            await asyncio.sleep(_POLL_S)
            mission = await self._get(mission_id)
        await self._note_end("a mission whose time was over")
        if mission.state in (pb.Mission.STATE_ACHIEVED, pb.Mission.STATE_NOT_ACHIEVED):
            return []  # it was faster
        if mission.state != pb.Mission.STATE_FAILED:
            return [f"it is {_name(mission)} {self.patience.stop_s:g} s after its time limit"]
        return [] if mission.HasField("error") else ["it failed, and no error says why"]

    # What was seen of all of them

    async def _held(self) -> Problems:
        if not self.asks.asks:
            return ["it asked nothing"]
        return self._some(self.asks.unheld, "came while no hold was acknowledged")

    async def _still(self) -> Problems:
        return self._some(self.asks.moved, "came while a motion was in force")

    async def _returned(self) -> Problems:
        return self._ends

    async def _logs(self) -> Problems:
        await self.flight.read()
        problems = []
        for mission_id in self._missions:
            events = await self._log(mission_id)
            problems += faults(events, self.flight.thinking_ids)
            half = len(events) // 2
            if await self._log(mission_id, half) != events[half:]:
                problems.append("watched again from its middle the log is another")
        return problems

    async def _lists(self) -> Problems:
        request = pb.ListMissionsRequest(page_size=len(self._missions))
        listed = await self.stub.ListMissions(request, timeout=self.patience.call_s)
        ids = [mission.mission_id for mission in listed.missions]
        known = [mission_id for mission_id in ids if mission_id in self._missions]
        problems = [] if known == self._missions[::-1] else [f"listed {ids}, flown {self._missions}"]
        one = await self.stub.ListMissions(pb.ListMissionsRequest(page_size=1), timeout=self.patience.call_s)
        return problems if len(one.missions) == 1 else [*problems, f"a page of 1 has {len(one.missions)}"]

    # Parts of them

    def _start(self, *, time_limit_s: float = 0.0, **given: str) -> pb.StartMissionRequest:
        limit = Duration()
        limit.FromNanoseconds(round((time_limit_s or self.patience.flight_s) * 1e9))
        fields: Mapping[str, Any] = {
            "request_id": _id(), "goal": _GOAL, "vehicle_id": self.flight.vehicle_id, **given,
        }  # fmt: skip
        return pb.StartMissionRequest(time_limit=limit, **fields)

    async def _flying(self) -> str:
        """A mission that is under way, which is started where the last one has ended."""
        if self._missions and (await self._get(self._missions[-1])).state not in ENDED:
            return self._missions[-1]
        if not self._flies or await self._starts():
            raise _NoFlight
        return self._missions[-1]

    async def _note_end(self, what: str) -> None:
        for _ in range(round(self.patience.call_s / _POLL_S)):
            if await self.flight.bridge.get_lease(self.flight.vehicle_id) is None:
                break
            await asyncio.sleep(_POLL_S)
        await self.flight.read()
        if not self.flight.leases or self.flight.leases[-1] != "returned":
            last = self.flight.leases[-1] if self.flight.leases else "never acquired"
            self._ends.append(f"{what}: its lease is {last}")
        if self.flight.moving:
            self._ends.append(f"{what}: a motion is still in force")

    async def _cancel(self, mission_id: str) -> pb.Mission:
        request = pb.CancelMissionRequest(mission_id=mission_id)
        await self.stub.CancelMission(request, timeout=self.patience.stop_s)
        until_s = time.monotonic() + self.patience.stop_s
        mission = await self._get(mission_id)
        while mission.state not in ENDED and time.monotonic() < until_s:
            await asyncio.sleep(_POLL_S)
            mission = await self._get(mission_id)
        return mission

    async def _get(self, mission_id: str) -> pb.Mission:
        request = pb.GetMissionRequest(mission_id=mission_id)
        return (await self.stub.GetMission(request, timeout=self.patience.call_s)).mission

    async def _log(self, mission_id: str, after: int = 0) -> list[pb.WatchMissionResponse]:
        request = pb.WatchMissionRequest(mission_id=mission_id, after_event_seq=after)
        return [event async for event in self.stub.WatchMission(request, timeout=self.patience.call_s)]

    async def _optional(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            if error.code() is _LACKS:
                return None
            raise

    def _some(self, cases: list[str], what: str) -> Problems:
        return [f"{len(cases)} of {self.asks.asks} questions {what}, first {cases[0]}"] if cases else []


def _name(mission: pb.Mission) -> str:
    return pb.Mission.State.Name(mission.state)


def _id() -> str:
    return str(uuid.uuid4())
