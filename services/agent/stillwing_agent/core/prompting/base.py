"""How a mission speaks to its model: what its session is opened with, the question of a decision, the answer's form.

A profile words these for one kind of model. What it words is a `Moment`, plain values of the mission as it stands. This
module knows nothing of engines, vehicles or how a tool is carried out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from stillwing_agent.core.prompting.prompts import ToolSpec
from stillwing_vlm.core.conversation import AnswerFormat, Briefing, Turn


class ProfileName(Enum):
    """Which profile a mission speaks with."""

    AUTO = "auto"
    """By what the engine says of the model."""
    COMPACT = "compact"
    """The short prompts that the pilot was trained on."""
    NATIVE = "native"
    """A conversation in the model's own chat template, for pretrained models."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a model is asked: a prompt under a JSON schema, or a conversation and the format of its answer."""

    prompt: str = ""
    json_schema: str = ""
    messages: tuple[Turn, ...] = ()
    answer_format: AnswerFormat | None = None

    @property
    def words(self) -> str:
        """The prompt, or the last thing that is said."""
        return self.messages[-1].text if self.messages else self.prompt


@dataclass(frozen=True, slots=True)
class Action:
    """A call that was carried out or refused. `seen`: what the model said before it; `outcome`: what it was told."""

    tool: str
    arguments: Mapping[str, Any]
    outcome: str = ""
    seen: str = ""
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Something else that the model was told in between."""

    text: str


Entry = Action | Told


@dataclass(frozen=True, slots=True)
class VehicleState:
    """The vehicle at a pause. Heading and bearing: degrees clockwise from north; `flown_m`: since the mission began."""

    height_m: float
    heading_deg: float
    home_m: float
    home_bearing_deg: float
    flown_m: float
    is_flying: bool
    battery_fraction: float | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A mission at the moment of a decision.

    `open_tools` are those that may be called now. `sight_s`: how far back the frames in sight reach, without the first;
    `picture_px`: width and height of the newest one as the model is shown it. `vehicle` None: it was not asked.
    """

    instruction: str
    open_tools: tuple[ToolSpec, ...]
    refusal_reason: str | None = None
    entries: Sequence[Entry] = ()
    notes: Sequence[str] = ()
    vehicle: VehicleState | None = None
    sight_s: float | None = None
    picture_px: tuple[int, int] | None = None
    decisions_left: int = 0
    time_left_s: float = 0.0


class Profile(Protocol):
    """Words for one kind of model."""

    @property
    def name(self) -> ProfileName:
        """Which one it is."""

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """All tools of the mission."""

    @property
    def converses(self) -> bool:
        """Whether the model is told what happened: then nothing is taken away from it after a refusal."""

    def briefing(self) -> Briefing:
        """What the session is opened with."""

    def decision(self, moment: Moment) -> Question:
        """The question of the next tool call."""

    def in_words(self, question: str) -> Question:
        """A question that is to be answered in words, about what is in sight."""

    def verification(self, instruction: str) -> str:
        """A question to be answered with yes or no: is this carried out? "": the model is not asked."""


@dataclass(frozen=True, slots=True)
class History:
    """What happened, as far as the model is told: entries in order, and its notes."""

    entries: tuple[Entry, ...] = ()
    notes: tuple[str, ...] = ()
