"""A bridge, an engine and a memory bank that answer from a script and write down what was in force when.

They stand in for the other three services in the agent's tests, and know nothing of wire formats. `World.violations`
holds every instant at which the model was asked, or was answering, while a motion was in force.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.mission.assembly import Crew
from stillwing_agent.core.policy import POLICIES
from stillwing_agent.core.protocol import Agent
from stillwing_agent.core.types import MissionRequest
from stillwing_bridge.core.commands import (
    Command,
    CommandState,
    CommandStatus,
    Hold,
    Land,
    Step,
    Takeoff,
    Turn,
    kind_of,
)
from stillwing_bridge.core.types import (
    FrameUpdate,
    Lease,
    LeaseState,
    Limits,
    StopLevel,
    Telemetry,
    ThinkingInterval,
    TimeSync,
    VehicleInfo,
)
from stillwing_common.errors import FrameNotKept, LeaseHeld, LeaseSuperseded, StillwingError, Thinking, Unavailable
from stillwing_common.types import (
    Frame,
    Image,
    ImageEncoding,
    Pose,
    PositionNed,
    Quaternion,
    Stamp,
    VelocityNed,
)
from stillwing_memory.core.keyframes import Keyframe, Match, PutResult
from stillwing_vlm.core.chat_format import ChatFormat, Pointing
from stillwing_vlm.core.conversation import ToolCall, ToolCallFormat
from stillwing_vlm.core.limits import Limits as EngineLimits
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, SessionConfig
from stillwing_vlm.core.results import (
    AnswerDelta,
    AnswerDone,
    AppendResult,
    ChoiceResult,
    DoneReason,
    Evicted,
    ModelInfo,
    Provenance,
    RecallResult,
)

VEHICLE = "drone1"
PICTURE = Image(ImageEncoding.JPEG, 4, 3, b"jpeg")
FAST = FlightSettings(
    frame_rate_hz=0.0,
    settle_s=0.0,
    frame_timeout_s=1.0,
    wait_step_s=0.02,
    retain_interval_s=0.02,
    answer_timeout_s=1.0,
    put_timeout_s=0.5,
)


def call(name: str, **arguments: Any) -> str:
    """The text of a tool call, as the model would write it."""
    return json.dumps({"name": name, "arguments": arguments}, separators=(",", ":"))


FORWARD = call("move", direction="forward", distance_m=1)
LEFT = call("turn", direction="left", angle_deg=15)
DONE = call("final_answer", answer="reached")


@dataclass
class World:
    """What the fakes share: what is in force, what was asked for, what is to go wrong."""

    flying: bool = False
    in_force: str | None = None
    thinking: bool = False
    commands: list[Command] = field(default_factory=list)
    based_on: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    retained: int = 0
    returned: int = 0
    refusals: dict[int, StillwingError] = field(default_factory=dict)
    """By number of the motion (0 is the first after takeoff): what the bridge refuses it with."""
    ends: dict[int, CommandState] = field(default_factory=dict)
    """By number of the motion: how it ends, where it does not succeed."""
    motion_s: float = 0.01
    frame_interval_s: float = 0.003
    superseded: bool = False
    held_for: int = 0
    """How many more times the lease is refused because somebody holds it."""
    here: PositionNed = field(default_factory=lambda: PositionNed(0, 0, 0))
    heading_deg: float = 0.0
    frames_fail: StillwingError | None = None
    engine_dead: bool = False
    no_room: Sequence[StillwingError | None] = ()
    """What the engine lets frames go with, in turn; None takes the frame in."""
    session_closed: bool = False

    @property
    def motions(self) -> list[Command]:
        """Motions accepted or refused, without takeoff and hold."""
        return [command for command in self.commands if not isinstance(command, Takeoff | Hold)]

    def check_still(self, when: str) -> None:
        """Note a violation if anything is in force, or if the bridge was not told of thinking."""
        if self.in_force is not None:
            self.violations.append(f"{when}: {self.in_force} in force")
        if not self.thinking:
            self.violations.append(f"{when}: no hold acknowledged")


class FakeBridge:
    """One vehicle; motions take `World.motion_s` of real time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._ids = itertools.count(1)
        self._lease = Lease(VEHICLE, "epoch", 0)
        self._statuses: dict[str, CommandStatus] = {}
        self._running: asyncio.Task[None] | None = None
        self._motion_numbers = itertools.count(0)
        self.frames_made = 0

    async def list_vehicles(self) -> tuple[VehicleInfo, ...]:
        return (VehicleInfo(VEHICLE, (), Limits(), True),)

    async def acquire_lease(self, vehicle_id: str, holder: str, *, stale_after_s: float | None = None) -> LeaseState:
        if self.world.held_for > 0:
            self.world.held_for -= 1
            raise LeaseHeld(holder="somebody")
        self._lease = Lease(vehicle_id, "epoch", self._lease.sequence + 1)
        return LeaseState(self._lease, holder, 0, False)

    async def retain_lease(self, lease: Lease) -> LeaseState:
        self._check(lease)
        self.world.retained += 1
        return LeaseState(lease, "agent", 0, False)

    async def return_lease(self, lease: Lease) -> None:
        self._check(lease)
        self._stop()
        self.world.thinking = False
        self.world.returned += 1

    async def command(
        self,
        lease: Lease,
        command: Command,
        *,
        ttl_s: float | None = None,
        based_on_frame_id: str = "",
        request_id: str = "",
    ) -> str:
        self._check(lease)
        self.world.commands.append(command)
        command_id = f"cmd_{next(self._ids)}"
        if isinstance(command, Hold):
            self._stop()
            return command_id
        assert ttl_s is not None
        assert ttl_s > 0
        if self.world.thinking:
            raise Thinking
        end = CommandState.SUCCEEDED
        if not isinstance(command, Takeoff):
            number = next(self._motion_numbers)
            if not isinstance(command, Land):
                self.world.based_on.append(based_on_frame_id)
            if number in self.world.refusals:
                raise self.world.refusals[number]
            end = self.world.ends.get(number, end)
        self._stop()
        self.world.in_force = kind_of(command)
        self._statuses[command_id] = CommandStatus(command_id, kind_of(command), CommandState.RUNNING)
        self._running = asyncio.create_task(self._move(command_id, command, end))
        return command_id

    async def _move(self, command_id: str, command: Command, end: CommandState) -> None:
        await asyncio.sleep(self.world.motion_s)
        self.world.flying = not isinstance(command, Land)
        self.world.in_force = None
        if end is CommandState.SUCCEEDED:
            self._arrive(command)
        self._statuses[command_id] = CommandStatus(command_id, kind_of(command), end)

    def _arrive(self, command: Command) -> None:
        world, here = self.world, self.world.here
        match command:
            case Turn(angle_deg):
                world.heading_deg = (world.heading_deg + angle_deg) % 360
            case Step(forward_m, right_m, up_m):
                north_m, east_m, down_m = Quaternion.from_yaw_deg(world.heading_deg).rotate(forward_m, right_m, -up_m)
                world.here = PositionNed(here.north_m + north_m, here.east_m + east_m, here.down_m + down_m)
            case Takeoff(altitude_m):
                world.here = replace(here, down_m=-altitude_m)
            case Land():
                world.here = replace(here, down_m=0.0)

    def _stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
        self.world.in_force = None
        for command_id, status in self._statuses.items():
            if not status.ended:
                self._statuses[command_id] = replace(status, state=CommandState.PREEMPTED)

    def _check(self, lease: Lease) -> None:
        if self.world.superseded:
            raise LeaseSuperseded(holder="somebody")
        assert lease == self._lease

    async def wait_command(self, command_id: str, timeout_s: float) -> CommandStatus:
        if self._running is not None:
            await asyncio.wait({self._running}, timeout=timeout_s)
        return self._statuses[command_id]

    async def begin_thinking(self, lease: Lease, expected_s: float) -> ThinkingInterval:
        self._check(lease)
        await asyncio.sleep(0)
        self._stop()
        self.world.thinking = True
        return ThinkingInterval(f"thk_{next(self._ids)}", self._stamp())

    async def end_thinking(self, lease: Lease) -> None:
        self.world.thinking = False

    async def time_sync(self, vehicle_id: str) -> TimeSync:
        return TimeSync(0, 0, 0, self._stamp())

    def _stamp(self) -> Stamp:
        return Stamp(time.monotonic_ns(), "clock")

    async def watch_telemetry(self, vehicle_id: str, *, max_rate_hz: float = 0.0) -> AsyncIterator[Telemetry]:
        pose = Pose(self.world.here, Quaternion.from_yaw_deg(self.world.heading_deg))
        yield Telemetry(
            1, self._stamp(), pose, VelocityNed(0, 0, 0), None, True, self.world.flying, 0, False, StopLevel.NONE, ""
        )

    async def watch_frames(
        self,
        vehicle_id: str,
        camera_id: str = "",
        *,
        max_rate_hz: float = 0.0,
        encoding: ImageEncoding = ImageEncoding.JPEG,
    ) -> AsyncIterator[FrameUpdate]:
        while True:
            if self.world.frames_fail is not None:
                raise self.world.frames_fail
            self.frames_made += 1
            frame = Frame(f"{VEHICLE}/front/{self.frames_made}", "front", self._stamp(), None, PICTURE)
            yield FrameUpdate(self.frames_made, frame, 0)
            await asyncio.sleep(self.world.frame_interval_s)


class FakeAnswer:
    """An answer of two pieces."""

    def __init__(self, done: Awaitable[AnswerDone]) -> None:
        self._task = asyncio.ensure_future(done)

    async def __aiter__(self) -> AsyncIterator[AnswerDelta]:
        done = await asyncio.shield(self._task)
        half = len(done.text) // 2
        yield AnswerDelta(done.text[:half])
        yield AnswerDelta(done.text[half:])

    async def done(self) -> AnswerDone:
        return await asyncio.shield(self._task)

    def cancel(self) -> None:
        if not self._task.done():
            self._task.cancel()


class FakeSession:
    """Keeps `window` frames and answers from the engine's script."""

    session_id = "ses_fake"
    frame_credits = 2
    max_context_tokens = 1000
    restored_frame_id = ""

    def __init__(self, world: World, engine: "FakeEngine", window: int = 6) -> None:
        self._world = world
        self._engine = engine
        self._window = window
        self._evicted: asyncio.Queue[Evicted] = asyncio.Queue()
        self.frame_ids: list[str] = []
        self._placed = 0
        self.recalled: list[tuple[str, tuple[str, ...]]] = []
        self.kept: set[str] = set()

    def append(
        self, *frames: Frame, deadline_s: float | None = None, skipped_frames: int = 0
    ) -> Awaitable[AppendResult]:
        return asyncio.ensure_future(self._append(*frames))

    async def _append(self, *frames: Frame) -> AppendResult:
        await asyncio.sleep(0.001)
        self._placed += 1
        if refusals := self._world.no_room:
            refusal = refusals[self._placed % len(refusals)]
            if refusal is not None:
                raise refusal
        if self._world.engine_dead:
            raise Unavailable("the engine is gone")
        self.frame_ids += [frame.frame_id for frame in frames]
        if len(self.frame_ids) > self._window:
            oldest = self.frame_ids.pop(0)
            if self._engine.keeps:
                self.kept.add(oldest)
            self._evicted.put_nowait(Evicted((oldest,), self.frame_ids[0], 100))
        return AppendResult(tuple(frame.frame_id for frame in frames), 20, 100, 0.0, shown_px=(364, 644))

    def _provenance(self) -> Provenance:
        return Provenance(self.frame_ids[-1], self.frame_ids[0], 100, 0)

    def ask(self, request: AskRequest) -> FakeAnswer:
        self._world.check_still(f"ask {request.prompt!r}")
        self._engine.asked.append(request)
        return FakeAnswer(self._answer(request))

    async def _answer(self, request: AskRequest) -> AnswerDone:
        provenance = self._provenance()
        await asyncio.sleep(self._engine.think_s)
        if self._world.engine_dead:
            raise Unavailable("the engine is gone")
        self._world.check_still("answer")
        text = self._engine.next_answer(request)
        if request.messages:
            return _conversing(text, request, provenance)
        reason = DoneReason.STOP if text.endswith("}") or self._engine.free_text else DoneReason.LENGTH
        return AnswerDone(text, reason, provenance, 0.0, 0.0, 1)

    def ask_choice(self, request: ChoiceRequest) -> Awaitable[ChoiceResult]:
        self._world.check_still(f"ask {request.prompt!r}")
        self._engine.choices.append(request)
        return asyncio.ensure_future(self._choose(request))

    async def _choose(self, request: ChoiceRequest) -> ChoiceResult:
        provenance = self._provenance()
        await asyncio.sleep(self._engine.think_s)
        self._world.check_still("answer")
        judged = request.options == ("yes", "no")
        wanted = self._engine.judgement if judged else self._engine.next_answer(None)
        best = request.options.index(wanted) if wanted in request.options else 0
        rest = 0.1 / (len(request.options) - 1)
        probabilities = tuple(0.9 if index == best else rest for index in range(len(request.options)))
        return ChoiceResult(probabilities, best, provenance, 0.0)

    async def recall(self, frames: Sequence[Frame]) -> RecallResult:
        assert all(frame.image.data for frame in frames)
        return self._recall("pixels", tuple(frame.frame_id for frame in frames))

    async def recall_kept(self, frame_ids: Sequence[str]) -> RecallResult:
        if not set(frame_ids) <= self.kept:
            raise FrameNotKept
        return self._recall("kept", tuple(frame_ids))

    def _recall(self, how: str, frame_ids: tuple[str, ...]) -> RecallResult:
        self.recalled.append((how, frame_ids))
        return RecallResult(frame_ids, 100)

    async def evictions(self) -> AsyncIterator[Evicted]:
        while True:
            yield await self._evicted.get()

    async def wait_closed(self) -> StillwingError | None:
        await asyncio.get_running_loop().create_future()
        return None

    async def close(self) -> None:
        self._world.session_closed = True


def _conversing(text: str, request: AskRequest, provenance: Provenance) -> AnswerDone:
    """A line of thought and a call in JSON, read as an engine reads them in the model's own form; else free text."""
    done = AnswerDone(text, DoneReason.STOP, provenance, 0.0, 0.0, 1)
    if not isinstance(request.answer_format, ToolCallFormat):
        return done
    thought, _, said = text.rpartition("\n")
    try:
        wanted = json.loads(said)
    except ValueError:
        return replace(done, reason=DoneReason.LENGTH)
    return replace(done, thought=thought, tool_call=ToolCall(wanted["name"], json.dumps(wanted["arguments"])))


class FakeEngine:
    """Answers from `script`; past its end it says DONE."""

    def __init__(self, world: World, script: Sequence[str] = (), think_s: float = 0.005) -> None:
        self.world = world
        self.script = list(script)
        self.think_s = think_s
        self.free_text = False
        self.past_end = DONE
        self.keeps = False
        self.chat = ChatFormat()
        self.mind: Callable[[AskRequest], str] | None = None
        """Answers instead of the script."""
        self.judgement = "yes"
        """What it answers to whether an instruction is carried out."""
        self.asked: list[AskRequest] = []
        self.choices: list[ChoiceRequest] = []
        self.configs: list[SessionConfig] = []
        self.sessions: list[FakeSession] = []

    def next_answer(self, request: AskRequest | None) -> str:
        if self.mind is not None and request is not None:
            return self.mind(request)
        return self.script.pop(0) if self.script else self.past_end

    async def model_info(self) -> ModelInfo:
        return ModelInfo("fake", "fake", "cpu", "float32", 0, 0, 4000, "", limits=EngineLimits(), chat=self.chat)

    async def open_session(self, config: SessionConfig) -> FakeSession:
        self.configs.append(config)
        self.sessions.append(FakeSession(self.world, self))
        return self.sessions[-1]


class FakeMemory:
    """Keeps keyframes in a list; `fail` fails every call."""

    def __init__(self) -> None:
        self.kept: list[Keyframe] = []
        self.fail: StillwingError | None = None
        self.put_s = 0.0

    async def put_keyframe(self, keyframe: Keyframe) -> PutResult:
        await asyncio.sleep(self.put_s)
        if self.fail is not None:
            raise self.fail
        created = keyframe.frame.frame_id not in {kept.frame.frame_id for kept in self.kept}
        if created:
            self.kept.append(keyframe)
        return PutResult(keyframe, len(self.kept), created)

    async def search_keyframes(self, query: Any, **options: Any) -> tuple[Match, ...]:
        if self.fail is not None:
            raise self.fail
        return tuple(Match(keyframe, 1.0) for keyframe in self.kept[:2])


CHATTY = ChatFormat(("chat_template.jinja",), "chat_template.jinja", tools="template", pointing=Pointing.RESIZED_PIXELS)
"""Of a pretrained model, which is spoken to in its own template."""


@dataclass
class Rig:
    """An agent with fakes around it."""

    world: World
    bridge: FakeBridge
    engine: FakeEngine
    memory: FakeMemory
    agent: MissionAgent
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def request(self, **changes: Any) -> MissionRequest:
        """A fresh request."""
        given = {"request_id": f"req-{next(self.numbers)}", "goal": "Fly to the red beacon.", "vehicle_id": VEHICLE}
        return MissionRequest(**(given | changes))


Reach = Callable[[Rig], AbstractAsyncContextManager[Agent]]
"""How a test gets at a rig's agent: itself, or the same behind the wire."""


def make_rig(
    script: Sequence[str] = (),
    *,
    implementation: str = "tool_calling",
    flight: FlightSettings = FAST,
    chat: ChatFormat | None = None,
    **settings: Any,
) -> Rig:
    """A world, its fakes and an agent that flies with `implementation`."""
    world = World()
    bridge, engine, memory = FakeBridge(world), FakeEngine(world, script), FakeMemory()
    engine.chat = chat or engine.chat
    crew = Crew(bridge, engine, memory)  # type: ignore[arg-type]
    agent = MissionAgent(crew, implementation, POLICIES.load(implementation), AgentConfig(flight=flight, **settings))
    return Rig(world, bridge, engine, memory, agent)
