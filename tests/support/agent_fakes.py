"""A bridge and a memory bank that write down what was in force when, and an agent with fakes around it.

With `fake_engine` they stand in for the other three services in the agent's tests, and know nothing of wire formats.
`World.violations` holds every instant at which the model was asked, or was answering, while a motion was in force.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Any

from fake_engine import FakeEngine
from fake_world import PICTURE, VEHICLE, World

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
    STILL_WITHIN_S,
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
from stillwing_common.errors import LeaseHeld, LeaseSuperseded, StillwingError, Thinking
from stillwing_common.types import (
    Frame,
    ImageEncoding,
    Pose,
    PositionNed,
    Quaternion,
    Stamp,
    VelocityNed,
)
from stillwing_memory.core.keyframes import Keyframe, Match, PutResult
from stillwing_vlm.core.chat_format import ChatFormat

FAST = FlightSettings(
    frame_rate_hz=0.0,
    settle_s=0.0,
    frame_timeout_s=1.0,
    wait_step_s=0.02,
    retain_interval_s=0.02,
    answer_timeout_s=1.0,
    put_timeout_s=0.5,
    engine_wait_s=0.3,
    engine_retry_s=0.01,
)


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

    async def begin_thinking(
        self, lease: Lease, expected_s: float, *, within_s: float = STILL_WITHIN_S
    ) -> ThinkingInterval:
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
    crew = Crew(bridge, engine, memory, exports=engine)  # type: ignore[arg-type]
    agent = MissionAgent(crew, implementation, POLICIES.load(implementation), AgentConfig(flight=flight, **settings))
    return Rig(world, bridge, engine, memory, agent)
