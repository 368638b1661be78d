"""What a policy holds while it flies: ask the model, give the vehicle a motion, wait until the picture is fresh.

The order that keeps the vehicle still while its author thinks is here and nowhere else: `ask` and `ask_choice` first
have the bridge acknowledge a hold, only then place the question, and allow motion again only after the answer. It knows
nothing of tools, prompts or frameworks. All methods run on one event loop, one at a time.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from stillwing_agent.core.base import ThinkingFinished, ThinkingStarted
from stillwing_agent.core.frame_pump import FramePump
from stillwing_agent.core.life import Life
from stillwing_agent.core.memory.filer import KeyframeFiler
from stillwing_agent.core.memory.mission_memory import MemorySettings, MissionMemory
from stillwing_agent.core.prompting.prompts import ToolStyle
from stillwing_agent.core.record import MissionRecord
from stillwing_bridge.core.commands import Command, CommandState, CommandStatus, Hold, Land, Takeoff
from stillwing_bridge.core.protocol import Bridge
from stillwing_bridge.core.types import Lease
from stillwing_common.clock import Clock
from stillwing_common.errors import (
    AnswerTimeout,
    DecisionsUsedUp,
    EmergencyStopped,
    LinkLost,
    MotionFailed,
    Obstructed,
    OutsideFence,
    StillwingError,
)
from stillwing_common.types import Stamp
from stillwing_memory.core.base import Keyframe, Sighting
from stillwing_vlm.core.base import (
    AnswerDone,
    AskRequest,
    ChoiceRequest,
    ChoiceResult,
    DoneReason,
    FrameLayout,
    Provenance,
    Sampling,
    Session,
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class FlightSettings:
    """How a mission is flown; seconds, metres and degrees as the names say.

    `frame_rate_hz` 0 takes every frame the bridge has. Two a second put two to four between decisions: with more, the
    video memory reaches back fewer decisions. `lease_wait_s` is longer than a lease takes to go stale, so that a
    mission can follow one whose agent died. `memory_reader` says who reads what an instruction is about:
    "noun_phrases", "model", or "" for nobody: then decisions are filed, and nothing is recalled unless the model asks.
    `layout` divides the video memory; None is as the engine does.
    `tool_style` says how the tool-calling policy tells a step.
    """

    takeoff_altitude_m: float = 2.0
    camera_id: str = ""
    frame_rate_hz: float = 2.0
    motion_ttl_s: float = 15.0
    takeoff_ttl_s: float = 30.0
    land_ttl_s: float = 60.0
    settle_s: float = 0.1
    frame_timeout_s: float = 10.0
    answer_timeout_s: float = 120.0
    expected_thinking_s: float = 1.0
    wait_step_s: float = 0.5
    retain_interval_s: float = 1.0
    max_answer_tokens: int = 256
    max_context_tokens: int = 0
    layout: FrameLayout | None = None
    kept_frames: int = 256
    keyframe_queue: int = 16
    put_timeout_s: float = 5.0
    leave_timeout_s: float = 3.0
    lease_wait_s: float = 4.0
    memory_reader: str = ""
    tool_style: ToolStyle = ToolStyle.MOVES
    memory: MemorySettings = field(default_factory=MemorySettings)

    def __post_init__(self) -> None:
        for name in ("motion_ttl_s", "takeoff_ttl_s", "land_ttl_s", "answer_timeout_s", "wait_step_s", "kept_frames"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is above 0")
        if self.retain_interval_s > 1.0:
            raise ValueError("a lease is retained at least once a second")


@dataclass(frozen=True, slots=True)
class Thought:
    """An answer and the newest frame it could see; `whole` is False if it was cut at the token limit."""

    text: str
    last_frame_id: str
    whole: bool


@dataclass(frozen=True, slots=True)
class _Told(Generic[_T]):
    result: _T
    text: str
    provenance: Provenance


class InstructionChanged(Exception):
    """The mission has another instruction to follow now; the vehicle holds, and nothing of the old one is flown."""


@dataclass(slots=True)
class Cockpit:
    """One mission's session, lease and record in one place; `decisions_left` falls with each decision."""

    bridge: Bridge
    lease: Lease
    session: Session
    pump: FramePump
    record: MissionRecord
    life: Life
    filer: KeyframeFiler | None
    clock: Clock
    settings: FlightSettings
    decisions_left: int
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    seen_frame_id: str = ""
    memory: MissionMemory | None = None

    async def ask(
        self, prompt: str, *, json_schema: str = "", sampling: Sampling | None = None, decision: bool = False
    ) -> Thought:
        """Hold, ask, allow motion again. A decision is counted, and its frame filed as a keyframe.

        Raises DecisionsUsedUp before asking, AnswerTimeout, and what bridge and engine raise.
        """

        async def answered() -> _Told[AnswerDone]:
            done = await self._read_answer(AskRequest(prompt, self.settings.max_answer_tokens, json_schema, sampling))
            return _Told(done, done.text, done.provenance)

        done = await self._think(prompt, answered, decision)
        return Thought(done.text, done.provenance.last_frame_id, done.reason is DoneReason.STOP)

    async def ask_choice(self, prompt: str, options: Sequence[str], *, decision: bool = False) -> ChoiceResult:
        """Hold, score the options, allow motion again. Raises as `ask` does."""

        async def answered() -> _Told[ChoiceResult]:
            request = ChoiceRequest(prompt, tuple(options))
            try:
                async with asyncio.timeout(self.settings.answer_timeout_s):
                    result = await self.session.ask_choice(request)
            except TimeoutError as error:
                raise AnswerTimeout(f"within {self.settings.answer_timeout_s:g} s") from error
            return _Told(result, options[result.best_index], result.provenance)

        return await self._think(prompt, answered, decision)

    async def fly(self, command: Command) -> CommandStatus:
        """Give one command, wait for its end and for a frame captured after it; returns how it ended.

        Raises what the bridge refuses with, Obstructed, OutsideFence or MotionFailed if it was broken off, and
        EmergencyStopped or LinkLost, after which no mission goes on; InstructionChanged where another one is to be
        followed now.
        """
        ttl_s = {Takeoff: self.settings.takeoff_ttl_s, Land: self.settings.land_ttl_s}.get(
            type(command), self.settings.motion_ttl_s
        )
        self.life.beat()
        await self._go_on()
        command_id = await self.bridge.command(
            self.lease,
            command,
            ttl_s=ttl_s,
            based_on_frame_id="" if isinstance(command, Takeoff | Land) else self.seen_frame_id,
            request_id=str(uuid.uuid4()),
        )
        status = await self._wait_end(command_id, ttl_s)
        await self.wait_fresh_frame()
        raise_unless_succeeded(status)
        return status

    async def hold(self) -> None:
        """Stay; in force when this returns."""
        await self.bridge.command(self.lease, Hold(), request_id=str(uuid.uuid4()))
        self.life.beat()

    async def wait(self, duration_s: float) -> None:
        """Hold for `duration_s` and wait for a frame captured after it."""
        await self.hold()
        left_s = duration_s
        while left_s > 0:
            await self.pause(min(left_s, self.settings.wait_step_s))
            left_s -= self.settings.wait_step_s
            self.life.beat()
            await self._go_on()
        await self.wait_fresh_frame()

    async def wait_fresh_frame(self) -> None:
        """Wait until the engine has a frame captured after now. Raises FramesStopped, LinkLost."""
        with self.life.waiting():
            sync = await self.bridge.time_sync(self.lease.vehicle_id)
            if sync.vehicle is None:
                raise LinkLost("the bridge does not know the vehicle's time")
            since = Stamp(sync.vehicle.time_ns + round(self.settings.settle_s * 1e9), sync.vehicle.clock_id)
            await self.pump.wait_captured_since(since, self.settings.frame_timeout_s)

    async def _think(self, prompt: str, answered: Callable[[], Awaitable[_Told[_T]]], decision: bool) -> _T:
        await self._go_on()
        if decision and self.decisions_left <= 0:
            raise DecisionsUsedUp
        self.life.beat()
        interval = await self.bridge.begin_thinking(self.lease, self.settings.expected_thinking_s)
        began_s = self.clock.monotonic_s()
        self.record.add(ThinkingStarted(interval.thinking_id, prompt))
        try:
            with self.life.waiting():
                told = await answered()
                sightings = await self._look(told.provenance.last_frame_id) if decision else ()
        except StillwingError:
            # A cancelled mission skips this: motion stays refused until the lease is returned.
            await self.bridge.end_thinking(self.lease)
            raise
        await self.bridge.end_thinking(self.lease)
        seen = told.provenance
        self.record.add(
            ThinkingFinished(
                interval.thinking_id,
                told.text,
                self.clock.monotonic_s() - began_s,
                seen.last_frame_id,
                seen.oldest_frame_id,
                seen.context_tokens,
            )
        )
        self.seen_frame_id = seen.last_frame_id
        if decision:
            self.decisions_left -= 1
            self.record.count_decision()
            self._file_keyframe(told.text, sightings)
        await self._go_on()
        return told.result

    async def _go_on(self) -> None:
        """Hold and raise InstructionChanged where another instruction is to be followed now."""
        if self.record.breaks_off:
            await self.hold()
            raise InstructionChanged

    async def _read_answer(self, request: AskRequest) -> AnswerDone:
        answer = self.session.ask(request)
        try:
            async with asyncio.timeout(self.settings.answer_timeout_s):
                async for _ in answer:
                    self.life.beat()
                    if self.record.breaks_off:
                        answer.cancel()
                return await answer.done()
        except TimeoutError as error:
            raise AnswerTimeout(f"within {self.settings.answer_timeout_s:g} s") from error
        finally:
            answer.cancel()

    async def _wait_end(self, command_id: str, ttl_s: float) -> CommandStatus:
        # The bridge ends every motion at its ttl; waiting longer only guards against losing its word.
        deadline_s = self.clock.monotonic_s() + ttl_s + self.settings.frame_timeout_s
        while True:
            status = await self.bridge.wait_command(command_id, self.settings.wait_step_s)
            self.life.beat()
            await self._go_on()
            if status.ended:
                return status
            if self.clock.monotonic_s() > deadline_s:
                await self.hold()
                raise MotionFailed("the bridge did not say how it ended", command_id=command_id)

    async def _look(self, frame_id: str) -> tuple[Sighting, ...]:
        """Which things of the instruction the frame of a decision shows; the vehicle is held all the while."""
        return () if self.memory is None else await self.memory.look(frame_id)

    def _file_keyframe(self, answer: str, sightings: tuple[Sighting, ...]) -> None:
        frame = self.pump.frame(self.seen_frame_id)
        if self.filer is None or frame is None:
            return
        mission = self.record.mission
        self.filer.offer(
            Keyframe(
                frame=frame,
                sightings=sightings,
                caption=f"{mission.goal} {answer}"[:2000],
                mission_id=mission.mission_id,
                score=1.0,
                vehicle_id=mission.vehicle_id,
            )
        )


def parse_layout(text: str) -> FrameLayout | None:
    """Sink, memory and window in frames from "3+3+6"; None for "". Raises InvalidInput."""
    return FrameLayout.parse(text)


def raise_unless_succeeded(status: CommandStatus) -> None:
    """Turn the end of a command into an error, unless it succeeded or, over a recording, was noted."""
    match status.state:
        case CommandState.SUCCEEDED | CommandState.NOTED:
            return
        case CommandState.OBSTRUCTED:
            raise Obstructed("on the way", command_id=status.command_id)
        case CommandState.FENCE:
            raise OutsideFence("on the way", command_id=status.command_id)
        case CommandState.ESTOP:
            raise EmergencyStopped(command_id=status.command_id)
        case CommandState.LINK_LOST:
            raise status.error or LinkLost(command_id=status.command_id)
    raise status.error or MotionFailed(
        f"the {status.kind} ended as {status.state.value}", command_id=status.command_id, state=status.state.value
    )
