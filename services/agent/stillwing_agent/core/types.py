"""A mission as it stands, and what it can be asked for. It knows nothing of models, vehicles or transports."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from stillwing_common.errors import StillwingError


class MissionState(Enum):
    """Where a mission stands; all but the first two are final. What the agent says of its goal is a claim."""

    PENDING = "pending"
    RUNNING = "running"
    ACHIEVED = "achieved"
    """The agent says that the goal is met."""
    NOT_ACHIEVED = "not_achieved"
    """The agent says that it cannot be met, and why."""
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self not in (MissionState.PENDING, MissionState.RUNNING)


@dataclass(frozen=True, slots=True)
class Verification:
    """An independent question whether an instruction is carried out, asked of the model on its newest frames alone.

    `probability`: of yes against no. It is the model's own sight, and no ground truth.
    """

    question: str
    probability: float

    @property
    def holds(self) -> bool:
        """Whether yes is the more probable answer."""
        return self.probability >= 0.5


@dataclass(frozen=True, slots=True)
class Claim:
    """A policy's last word on an instruction: whether it was carried out, and the answer."""

    answer: str
    achieved: bool = True
    verification: Verification | None = None

    @property
    def state(self) -> MissionState:
        """The end of a mission that claims this."""
        return MissionState.ACHIEVED if self.achieved else MissionState.NOT_ACHIEVED


@dataclass(frozen=True, slots=True)
class MissionFigures:
    """Counts of what a mission did so far; all of them only rise."""

    decisions: int = 0
    refusals: int = 0
    thinking_s: float = 0.0
    frames_seen: int = 0
    frames_evicted: int = 0
    keyframes_filed: int = 0
    no_calls: int = 0


@dataclass(frozen=True, slots=True)
class OutsideRange:
    """An instruction that the model was not taught: why not, and what it was taught instead, a line each."""

    instruction: str
    reasons: tuple[str, ...]
    taught: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MissionRequest:
    """What is asked for. The same `request_id` again returns the first mission; `time_limit_s` 0: the default."""

    request_id: str
    goal: str
    vehicle_id: str
    time_limit_s: float = 0.0
    params: Mapping[str, Any] = field(default_factory=dict)


class When(Enum):
    """When a mission turns to a further instruction."""

    NOW = "now"
    """At once, in place of the one being followed and of those that wait; motion is broken off."""
    THEN = "then"
    """Once the instructions before it are answered."""


@dataclass(frozen=True, slots=True)
class InstructionRequest:
    """A further instruction for a running mission. The same `request_id` again changes nothing."""

    request_id: str
    mission_id: str
    text: str
    when: When = When.NOW


@dataclass(frozen=True, slots=True)
class OperatorAnswer:
    """The operator's answer to the question for which a mission waits. The same `request_id` again changes nothing."""

    request_id: str
    mission_id: str
    answer: str


@dataclass(frozen=True, slots=True)
class Mission:
    """A goal being pursued, as it stands at one moment. Times are nanoseconds since 1970 UTC.

    `instruction` is the one being followed: the goal, number 1, or a further one. `waiting_instructions` come after it.
    """

    mission_id: str
    goal: str
    vehicle_id: str
    state: MissionState
    create_wall_ns: int
    end_wall_ns: int | None = None
    answer: str = ""
    error: StillwingError | None = None
    figures: MissionFigures = MissionFigures()
    instruction: str = ""
    instruction_number: int = 1
    waiting_instructions: tuple[str, ...] = ()
    operator_question: str = ""
    """For whose answer it waits, holding; "": for none."""
    verification: Verification | None = None
    """Of what it claims at its end; None where nobody was asked."""


@dataclass(frozen=True, slots=True)
class MissionPage:
    """Missions, newest first; `next_page_token` is empty on the last page."""

    missions: tuple[Mission, ...]
    next_page_token: str = ""
