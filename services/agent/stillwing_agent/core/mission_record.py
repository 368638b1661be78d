"""One mission's record: a state machine, its figures, and the append-only log of all that happened.

The log is kept in memory up to a bound and, where a folder is given, written to `<mission_id>.jsonl` line by line. It
knows nothing of how a mission is flown. All methods run on one event loop.
"""

import asyncio
import dataclasses
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from stillwing_agent.core.events import (
    FramesEvicted,
    Happening,
    Instructed,
    KeyframeFiled,
    MissionEvent,
    MotionRefused,
    NoCall,
    OperatorAnswered,
    OperatorAsked,
    StateChanged,
    ThinkingFinished,
)
from stillwing_agent.core.types import InstructionRequest, Mission, MissionState, OperatorAnswer, Verification, When
from stillwing_common.clock import Clock
from stillwing_common.errors import EventLogFull, MissionEnded, NoQuestionOpen, QueueFull, StillwingError, WrongState

_NEXT: dict[MissionState, frozenset[MissionState]] = {
    MissionState.PENDING: frozenset({MissionState.RUNNING, MissionState.FAILED, MissionState.CANCELLED}),
    MissionState.RUNNING: frozenset(state for state in MissionState if state.ended),
    MissionState.ACHIEVED: frozenset(),
    MissionState.NOT_ACHIEVED: frozenset(),
    MissionState.FAILED: frozenset(),
    MissionState.CANCELLED: frozenset(),
}


MAX_WAITING = 16
"""Instructions that may wait to be followed."""

MAX_QUESTIONS = 4
"""Questions of the operator's that may wait to be answered."""


class MissionRecord:
    """State, figures and events of one mission. `max_events` bounds the log; the final state always fits."""

    def __init__(self, mission: Mission, clock: Clock, *, max_events: int, log_folder: Path | None = None) -> None:
        self._mission = mission
        self._clock = clock
        self._max_events = max_events
        self._events: list[MissionEvent] = []
        self._grown = asyncio.Event()
        self._instructed: set[str] = set()
        self._breaks_off = False
        self._takes_instructions = True
        self._answer: str | None = None
        self._answered: set[str] = set()
        self._questions: deque[tuple[str, asyncio.Future[str]]] = deque()
        self._file = None
        if log_folder is not None:
            log_folder.mkdir(parents=True, exist_ok=True)
            self._file = (log_folder / f"{mission.mission_id}.jsonl").open("w", encoding="utf-8")
        self._append(StateChanged(mission))

    @property
    def mission(self) -> Mission:
        """The mission as it stands."""
        return self._mission

    def add(self, happening: Happening) -> MissionEvent:
        """Append one event and count it in the figures. Raises EventLogFull, and WrongState after the end."""
        if self._mission.state.ended:
            raise WrongState("the mission has ended", mission_id=self._mission.mission_id)
        if len(self._events) >= self._max_events:
            raise EventLogFull(f"{self._max_events} events", max_events=self._max_events)
        self._count(happening)
        return self._append(happening)

    def count_decision(self) -> None:
        """One tool call was decided by the model."""
        self._raise_figures(decisions=1)

    def count_frames_seen(self, frames: int) -> None:
        """Frames were added to the engine's context."""
        self._raise_figures(frames_seen=frames)

    # Instructions

    @property
    def breaks_off(self) -> bool:
        """An instruction wants to be followed now, in place of the one that is."""
        return self._breaks_off

    def instruct(self, request: InstructionRequest) -> None:
        """Let a further instruction wait. Raises MissionEnded, QueueFull."""
        if request.request_id in self._instructed:
            return
        if not self._takes_instructions or self._mission.state.ended:
            raise MissionEnded(mission_id=self._mission.mission_id)
        waiting = () if request.when is When.NOW else self._mission.waiting_instructions
        if len(waiting) >= MAX_WAITING:
            raise QueueFull(f"{MAX_WAITING} instructions wait to be followed", limit=MAX_WAITING)
        self._instructed.add(request.request_id)
        self._breaks_off = self._breaks_off or request.when is When.NOW
        self._mission = dataclasses.replace(self._mission, waiting_instructions=(*waiting, request.text))

    def turn(self) -> Instructed | None:
        """Follow the next instruction that waits, from now on; without one none is taken any more."""
        waiting = self._mission.waiting_instructions
        if not waiting:
            self._takes_instructions = False
            return None
        self._breaks_off = False
        turned = Instructed(self._mission.instruction_number + 1, waiting[0])
        self._mission = dataclasses.replace(
            self._mission,
            instruction=turned.text,
            instruction_number=turned.number,
            waiting_instructions=waiting[1:],
        )
        self.add(turned)
        return turned

    # The operator

    @property
    def happenings(self) -> Sequence[MissionEvent]:
        """All that is in the log, in order."""
        return self._events

    def ask_operator(self, question: str) -> None:
        """Wait for the operator's answer from now on."""
        self._answer = None
        self._mission = dataclasses.replace(self._mission, operator_question=question)
        self.add(OperatorAsked(question))

    def answer(self, answer: OperatorAnswer) -> None:
        """Take the operator's answer. Raises NoQuestionOpen."""
        if answer.request_id in self._answered:
            return
        if not self._mission.operator_question or self._mission.state.ended:
            raise NoQuestionOpen(mission_id=self._mission.mission_id)
        self._answered.add(answer.request_id)
        self._answer = answer.answer
        self._mission = dataclasses.replace(self._mission, operator_question="")
        self.add(OperatorAnswered(answer.answer))

    def operators_answer(self) -> str | None:
        """What the operator answered to the last question; None as long as there is no answer."""
        return self._answer

    def close_question(self) -> None:
        """No answer is waited for any more."""
        self._mission = dataclasses.replace(self._mission, operator_question="")

    def ask_model(self, question: str) -> "asyncio.Future[str]":
        """Let a question of the operator's wait for the next pause. Raises MissionEnded, QueueFull."""
        if self._mission.state.ended:
            raise MissionEnded(mission_id=self._mission.mission_id)
        if len(self._questions) >= MAX_QUESTIONS:
            raise QueueFull(f"{MAX_QUESTIONS} questions wait to be answered", limit=MAX_QUESTIONS)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._questions.append((question, answer))
        return answer

    def next_question(self) -> "tuple[str, asyncio.Future[str]] | None":
        """The oldest question that waits and whose asker still does."""
        while self._questions:
            question, answer = self._questions.popleft()
            if not answer.done():
                return question, answer
        return None

    def change_state(
        self,
        state: MissionState,
        *,
        answer: str = "",
        error: StillwingError | None = None,
        verification: Verification | None = None,
    ) -> None:
        """Move to `state` and log it. Raises WrongState for a move the state machine does not have."""
        if state not in _NEXT[self._mission.state]:
            raise WrongState(f"a {self._mission.state.value} mission cannot become {state.value}")
        self._mission = dataclasses.replace(
            self._mission,
            state=state,
            answer=answer,
            operator_question="",
            verification=verification,
            error=error,
            end_wall_ns=self._clock.wall_ns() if state.ended else None,
        )
        self._append(StateChanged(self._mission))
        if not state.ended:
            return
        while (waiting := self.next_question()) is not None:
            waiting[1].set_exception(MissionEnded(mission_id=self._mission.mission_id))
        if self._file is not None:
            self._file.close()
            self._file = None

    async def watch(self, after_event_seq: int = 0) -> AsyncIterator[MissionEvent]:
        """Every event after `after_event_seq`, waiting for more until the mission has ended."""
        seen = after_event_seq
        while True:
            while seen < len(self._events):
                event = self._events[seen]
                seen += 1
                yield event
            if self._mission.state.ended:
                return
            await self._grown.wait()

    async def ended(self) -> Mission:
        """Wait for the end."""
        while not self._mission.state.ended:
            await self._grown.wait()
        return self._mission

    def _count(self, happening: Happening) -> None:
        match happening:
            case MotionRefused():
                self._raise_figures(refusals=1)
            case ThinkingFinished(elapsed_s=elapsed_s):
                self._raise_figures(thinking_s=elapsed_s)
            case FramesEvicted(frame_ids=frame_ids):
                self._raise_figures(frames_evicted=len(frame_ids))
            case KeyframeFiled():
                self._raise_figures(keyframes_filed=1)
            case NoCall():
                self._raise_figures(no_calls=1)

    def _raise_figures(self, **more: float) -> None:
        figures = self._mission.figures
        raised = {name: getattr(figures, name) + value for name, value in more.items()}
        self._mission = dataclasses.replace(self._mission, figures=dataclasses.replace(figures, **raised))

    def _append(self, happening: Happening) -> MissionEvent:
        event = MissionEvent(len(self._events) + 1, self._clock.wall_ns(), happening)
        self._events.append(event)
        if self._file is not None:
            self._file.write(json.dumps(event_to_json(event), ensure_ascii=False) + "\n")
            self._file.flush()
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()
        return event


def event_to_json(event: MissionEvent) -> dict[str, Any]:
    """An event as plain JSON values: `event_seq`, `wall_ns`, `event` (class name) and the event's own fields."""
    fields: dict[str, Any] = _plain(event.happening)
    return {"event_seq": event.event_seq, "wall_ns": event.wall_ns, "event": type(event.happening).__name__} | fields


def _plain(value: Any) -> Any:
    if isinstance(value, StillwingError):
        return {"reason": value.reason, "message": str(value), "metadata": value.metadata}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
