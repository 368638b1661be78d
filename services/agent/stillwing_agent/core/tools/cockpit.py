"""What a policy holds while it flies: ask the model, give the vehicle a motion, wait until the picture is fresh.

It knows nothing of tools, prompts or frameworks. All methods run on one event loop, one at a time.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from stillwing_agent.core.events import QuestionAnswered
from stillwing_agent.core.flight import Flight
from stillwing_agent.core.frame_pump import FramePump
from stillwing_agent.core.held_asking import HeldAsking
from stillwing_agent.core.memory.keyframe_filer import KeyframeFiler
from stillwing_agent.core.memory.mission_memory import MissionMemory
from stillwing_agent.core.prompting.base import Profile, Question
from stillwing_agent.core.tools.instruments import Instruments
from stillwing_agent.core.types import Verification
from stillwing_bridge.core.commands import Command, CommandState, CommandStatus, Land, Takeoff
from stillwing_common.errors import (
    CommandSuperseded,
    DecisionsUsedUp,
    EmergencyStopped,
    LinkLost,
    MissionEnded,
    MotionFailed,
    Obstructed,
    OutsideFence,
    StillwingError,
)
from stillwing_common.types import Stamp
from stillwing_memory.core.keyframes import Keyframe, Sighting
from stillwing_vlm.core.conversation import ToolCall
from stillwing_vlm.core.requests import Sampling, View
from stillwing_vlm.core.results import AnswerDone, ChoiceResult, DoneReason, Provenance

_JUDGED_CHUNKS = 2
"""Newest chunks on which a claim is judged."""


@dataclass(frozen=True, slots=True)
class Thought:
    """An answer and the newest frame it could see; `whole` is False if it was cut at the token limit."""

    text: str
    last_frame_id: str
    whole: bool
    call: ToolCall | None = None
    """The call of an answer in a model's own form of calls, where it is whole."""


@dataclass(slots=True)
class Cockpit:
    """One mission's vehicle and model in one place.

    `decisions_left` falls with each decision. `seen_frame_id` is the newest frame that the last answer could see; a
    motion names it.
    """

    flight: Flight
    asking: HeldAsking
    pump: FramePump
    filer: KeyframeFiler | None
    memory: MissionMemory | None
    profile: Profile
    instruments: Instruments
    decisions_left: int
    seen_frame_id: str = ""

    async def ask(self, question: str) -> Thought:
        """Ask in free words, the vehicle held all the while. Raises AnswerTimeout, and what bridge and engine raise."""
        thought = self._thought(await self.asking.ask(self.profile.in_words(question)))
        await self.asking.go_on()
        return thought

    async def answer_questions(self) -> None:
        """Have the model answer what the operator asked meanwhile. Raises as `ask` does."""
        record = self.flight.record
        while True:
            await self.asking.go_on()
            waiting = record.next_question()
            if waiting is None:
                return
            question, answer = waiting
            try:
                done = await self.asking.ask(self.profile.in_words(question))
                record.add(QuestionAnswered(question, done.text))
                if not answer.done():
                    answer.set_result(done.text)
            except StillwingError as error:
                if not answer.done():
                    answer.set_exception(error)
                raise
            finally:
                if not answer.done():
                    answer.set_exception(MissionEnded(mission_id=record.mission.mission_id))

    async def decide(self, question: Question, sampling: Sampling | None = None) -> Thought:
        """Ask for a decision, the vehicle held all the while. It is counted, and its frame filed as a keyframe.

        Raises DecisionsUsedUp before asking, and what `ask` raises.
        """
        await self._check_decisions_left()
        sightings: list[Sighting] = []
        done = await self.asking.ask(question, sampling, while_held=lambda seen: self._look(seen, sightings))
        thought = self._thought(done)
        await self._decided(self._caption(done), sightings)
        return thought

    async def decide_choice(self, prompt: str, options: Sequence[str]) -> ChoiceResult:
        """Score the options of a decision. Raises as `decide` does."""
        await self._check_decisions_left()
        sightings: list[Sighting] = []
        result = await self.asking.ask_choice(prompt, options, while_held=lambda seen: self._look(seen, sightings))
        self.seen_frame_id = result.provenance.last_frame_id
        await self._decided(f"{self.flight.record.mission.goal} {options[result.best_index]}", sightings)
        return result

    async def verify(self, instruction: str) -> Verification | None:
        """Ask the model on fresh frames alone whether an instruction is carried out; None for one that cannot judge.

        Raises as `ask` does.
        """
        question = self.profile.verification(instruction)
        if not question:
            return None
        await self.wait_fresh_frame()
        result = await self.asking.ask_choice(question, ("yes", "no"), view=View(recent_chunks=_JUDGED_CHUNKS))
        return Verification(question, result.probabilities[0])

    def decide_unasked(self) -> None:
        """Count a decision that no model was asked for, on the newest frame. Raises DecisionsUsedUp."""
        if self.decisions_left <= 0:
            raise DecisionsUsedUp
        self.seen_frame_id = self.pump.newest_frame_id
        self._count_decision()

    async def fly(self, command: Command) -> CommandStatus:
        """Give one command, wait for its end and for a frame captured after it; returns how it ended.

        Raises what the bridge refuses with, Obstructed, OutsideFence or MotionFailed if it was broken off, and
        EmergencyStopped or LinkLost, after which no mission goes on; EngineAway, and InstructionChanged where another
        one is to be followed now.
        """
        flight, settings = self.flight, self.flight.settings
        ttl_s = {Takeoff: settings.takeoff_ttl_s, Land: settings.land_ttl_s}.get(type(command), settings.motion_ttl_s)
        flight.life.beat()
        await self.asking.go_on()
        try:
            command_id = await flight.bridge.command(
                flight.lease,
                command,
                ttl_s=ttl_s,
                based_on_frame_id="" if isinstance(command, Takeoff | Land) else self.seen_frame_id,
                request_id=str(uuid.uuid4()),
            )
        except CommandSuperseded:
            flight.session.check()  # the hold at the engine's death overtook it
            raise
        status = await self._wait_end(command_id, ttl_s)
        await self.wait_fresh_frame()
        raise_unless_succeeded(status)
        return status

    async def fly_on(self, command: Command) -> CommandStatus:
        """Give a command that no model was asked for, based on the newest frame. Raises as `fly` does."""
        self.seen_frame_id = self.pump.newest_frame_id
        return await self.fly(command)

    async def wait(self, duration_s: float) -> None:
        """Hold for `duration_s` and wait for a frame captured after it."""
        flight = self.flight
        await self.asking.hold()
        left_s = duration_s
        while left_s > 0:
            await flight.pause(min(left_s, flight.settings.wait_step_s))
            left_s -= flight.settings.wait_step_s
            flight.life.beat()
            await self.asking.go_on()
        await self.wait_fresh_frame()

    async def wait_fresh_frame(self) -> None:
        """Wait until the engine has a frame captured after now. Raises FramesStopped, LinkLost, EngineAway."""
        flight = self.flight
        with flight.life.waiting():
            sync = await flight.bridge.time_sync(flight.lease.vehicle_id)
            if sync.vehicle is None:
                raise LinkLost("the bridge does not know the vehicle's time")
            since = Stamp(sync.vehicle.time_ns + round(flight.settings.settle_s * 1e9), sync.vehicle.clock_id)
            arrival = self.pump.wait_captured_since(since, flight.settings.frame_timeout_s)
            await flight.session.while_there(arrival)

    def _thought(self, done: AnswerDone) -> Thought:
        self.seen_frame_id = done.provenance.last_frame_id
        return Thought(done.text, self.seen_frame_id, done.reason is DoneReason.STOP, done.tool_call)

    async def _check_decisions_left(self) -> None:
        await self.answer_questions()
        if self.decisions_left <= 0:
            raise DecisionsUsedUp

    def _caption(self, done: AnswerDone) -> str:
        """What a search by words should find. A model that converses says what it sees, and that alone: with the goal's
        words on every keyframe a search for any of them would find the newest. The pilot says nothing but its call.
        """
        return done.thought if self.profile.converses else f"{self.flight.record.mission.goal} {done.text}"

    async def _decided(self, caption: str, sightings: Sequence[Sighting]) -> None:
        self._count_decision()
        self._file_keyframe(caption, tuple(sightings))
        await self.asking.go_on()

    def _count_decision(self) -> None:
        self.decisions_left -= 1
        self.flight.record.count_decision()

    async def _wait_end(self, command_id: str, ttl_s: float) -> CommandStatus:
        flight = self.flight
        # The bridge ends every motion at its ttl; waiting longer only guards against losing its word.
        deadline_s = flight.clock.monotonic_s() + ttl_s + flight.settings.frame_timeout_s
        while True:
            status = await flight.bridge.wait_command(command_id, flight.settings.wait_step_s)
            flight.life.beat()
            await self.asking.go_on()
            if status.ended:
                return status
            if flight.clock.monotonic_s() > deadline_s:
                await self.asking.hold()
                raise MotionFailed("the bridge did not say how it ended", command_id=command_id)

    async def _look(self, seen: Provenance, sightings: list[Sighting]) -> None:
        """Which things of the instruction the frame of a decision shows."""
        if self.memory is not None:
            sightings.extend(await self.memory.look(seen.last_frame_id))

    def _file_keyframe(self, caption: str, sightings: tuple[Sighting, ...]) -> None:
        frame = self.pump.frame(self.seen_frame_id)
        if self.filer is None or frame is None:
            return
        mission = self.flight.record.mission
        self.filer.offer(
            Keyframe(
                frame=frame,
                sightings=sightings,
                caption=caption[:2000],
                mission_id=mission.mission_id,
                score=1.0,
                vehicle_id=mission.vehicle_id,
            )
        )


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
