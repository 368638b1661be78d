"""What an agent is to its callers: missions, each with an append-only log of typed events.

Two implementations share the `Agent` protocol: the one of this process (`core.agent.MissionAgent`) and the one behind
the wire (`client.RemoteAgent`). This module knows nothing of models, vehicles, policies or transports.

Order: events of one mission carry `event_seq` 1, 2, 3, … without gaps. Threads: every method is called on the event
loop on which the agent was made.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from stillwing_common.errors import StillwingError


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """Which implementation flies, and the JSON Schema (text) of what `MissionRequest.params` may hold."""

    implementation: str
    params_schema: str


class MissionState(Enum):
    """Where a mission stands. The last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing will change any more."""
        return self in (MissionState.SUCCEEDED, MissionState.FAILED, MissionState.CANCELLED)


@dataclass(frozen=True, slots=True)
class MissionFigures:
    """Counts of what a mission did so far; all of them only rise."""

    decisions: int = 0
    refusals: int = 0
    thinking_s: float = 0.0
    frames_seen: int = 0
    frames_evicted: int = 0
    keyframes_filed: int = 0


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


# Events


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The mission moved to another state."""

    mission: Mission


@dataclass(frozen=True, slots=True)
class PlanMade:
    """A new plan replaced the old one: steps in words, first first."""

    steps: tuple[str, ...]
    rationale: str = ""


@dataclass(frozen=True, slots=True)
class ActionStarted:
    """A tool call began."""

    action_id: str
    tool: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ActionFinished:
    """A tool call ended: `error` says why it failed, `result` what it returned otherwise."""

    action_id: str
    result: Mapping[str, Any] = field(default_factory=dict)
    error: StillwingError | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The world was looked at: frames by id, and what was made of them."""

    frame_ids: tuple[str, ...]
    summary: str


@dataclass(frozen=True, slots=True)
class ThinkingStarted:
    """The model is about to be asked; the hold named by `thinking_id` was acknowledged before."""

    thinking_id: str
    prompt: str


@dataclass(frozen=True, slots=True)
class ThinkingFinished:
    """The model answered. Frame ids name the newest and the oldest (sink left out) frame the answer could see."""

    thinking_id: str
    answer: str
    elapsed_s: float
    last_frame_id: str
    oldest_frame_id: str
    context_tokens: int


@dataclass(frozen=True, slots=True)
class FramesEvicted:
    """Frames left the model's sight, oldest first."""

    frame_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KeyframeFiled:
    """A keyframe is in the memory bank, whose revision it made."""

    frame_id: str
    revision: int


@dataclass(frozen=True, slots=True)
class KeyframeLost:
    """A keyframe could not be filed; the mission goes on without it."""

    frame_id: str
    error: StillwingError


@dataclass(frozen=True, slots=True)
class InstructionBegun:
    """An instruction was taken in: the memory bank's ids of its things, and the keyframes put before the model again.

    `recalled_by` says why these: "things", "similarity" or "nothing".
    """

    number: int
    text: str
    entity_ids: tuple[str, ...]
    recalled_by: str
    recalled_frame_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Instructed:
    """The mission turned to a further instruction, number 2 and on; the vehicle holds while it is taken in."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class InstructionLost:
    """An instruction could not be remembered; the mission flies it without."""

    number: int
    error: StillwingError


@dataclass(frozen=True, slots=True)
class FramesRecalled:
    """Keyframes that the instruction has in sight were put before the model again, in place of those before them."""

    frame_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MotionRefused:
    """The bridge would not fly an action, or broke it off."""

    action_id: str
    error: StillwingError


Happening = (
    StateChanged
    | PlanMade
    | ActionStarted
    | ActionFinished
    | Observed
    | ThinkingStarted
    | ThinkingFinished
    | FramesEvicted
    | KeyframeFiled
    | KeyframeLost
    | MotionRefused
    | Instructed
    | InstructionBegun
    | InstructionLost
    | FramesRecalled
)


@dataclass(frozen=True, slots=True)
class MissionEvent:
    """One entry of a mission's log."""

    event_seq: int
    wall_ns: int
    happening: Happening


@dataclass(frozen=True, slots=True)
class MissionPage:
    """Missions, newest first; `next_page_token` is empty on the last page."""

    missions: tuple[Mission, ...]
    next_page_token: str = ""


class Agent(Protocol):
    """Flies missions, one for each vehicle at a time."""

    async def agent_info(self) -> AgentInfo:
        """Which implementation this is and what it takes."""

    async def start_mission(self, request: MissionRequest) -> Mission:
        """Begin a mission and return at once.

        Raises InvalidInput, TextTooLong, BadParams, UnknownVehicle, VehicleBusy, Unavailable.
        """

    async def get_mission(self, mission_id: str) -> Mission:
        """One mission as it stands. Raises UnknownMission."""

    async def list_missions(self, page_size: int = 0, page_token: str = "") -> MissionPage:
        """The missions this agent knows; `page_size` 0 means 20. Raises BadPageToken."""

    async def cancel_mission(self, mission_id: str) -> Mission:
        """End a mission; the vehicle is left holding and its lease returned. Cancelling what has ended changes nothing.

        Raises UnknownMission.
        """

    async def instruct_mission(self, request: InstructionRequest) -> Mission:
        """Give a running mission a further instruction.

        Under NOW motion is broken off; the vehicle holds while the instruction is read. Things keep their ids.
        Raises InvalidInput, TextTooLong, UnknownMission, MissionEnded, QueueFull.
        """

    def watch_mission(self, mission_id: str, after_event_seq: int = 0) -> AsyncIterator[MissionEvent]:
        """A log stream: every event after one already seen, in order; ends with the mission.

        A slow reader loses nothing. Raises UnknownMission at the first step.
        """

    async def close(self) -> None:
        """Cancel every mission and wait until their vehicles hold."""
