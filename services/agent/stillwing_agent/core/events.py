"""What can happen in a mission, one typed entry of its log each.

It knows nothing of models, vehicles, policies or transports.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from stillwing_agent.core.types import Mission, OutsideRange
from stillwing_common.errors import StillwingError
from stillwing_vlm.core.conversation import Tool, Turn


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
    """Of a conversation its last turn."""
    messages: tuple[Turn, ...] = ()
    """All that is sent, where it is a conversation."""


@dataclass(frozen=True, slots=True)
class ThinkingFinished:
    """The model answered. Frame ids name the newest and the oldest (sink left out) frame the answer could see."""

    thinking_id: str
    answer: str
    elapsed_s: float
    last_frame_id: str
    oldest_frame_id: str
    context_tokens: int
    thought: str = ""
    """What the model said of its own before its call."""


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


@dataclass(frozen=True, slots=True)
class ServiceLost:
    """A service died under the mission: "vlm_engine", without which the vehicle holds, or "memory_bank"."""

    service: str
    error: StillwingError


@dataclass(frozen=True, slots=True)
class ServiceBack:
    """A service is back and the mission goes on; `detail` says with what."""

    service: str
    away_s: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ToldOutside:
    """What is to be followed lies outside what the model was taught; it is flown all the same."""

    outside: OutsideRange


@dataclass(frozen=True, slots=True)
class Briefed:
    """The model's session was opened with this; `profile` says how the model is spoken to."""

    profile: str
    system_text: str
    tools: tuple[Tool, ...] = ()


@dataclass(frozen=True, slots=True)
class NoCall:
    """An answer was no tool call, or none that is whole."""

    answer: str


@dataclass(frozen=True, slots=True)
class Reported:
    """The model told the operator something."""

    text: str


@dataclass(frozen=True, slots=True)
class OperatorAsked:
    """The mission asks the operator and waits, holding."""

    question: str


@dataclass(frozen=True, slots=True)
class OperatorAnswered:
    """The operator's answer."""

    answer: str


@dataclass(frozen=True, slots=True)
class QuestionAnswered:
    """The model answered a question that the operator asked it in flight; what is to be done does not change by it."""

    question: str
    answer: str


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
    | Briefed
    | NoCall
    | Reported
    | OperatorAsked
    | OperatorAnswered
    | QuestionAnswered
    | ServiceLost
    | ServiceBack
    | ToldOutside
)


@dataclass(frozen=True, slots=True)
class MissionEvent:
    """One entry of a mission's log."""

    event_seq: int
    wall_ns: int
    happening: Happening
