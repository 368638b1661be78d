"""What one mission did, gathered while it flies, and the verdict on it. It knows nothing of screens and files."""

import math
import statistics
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Instructed,
    MissionEvent,
    MotionRefused,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.prompting.prompts import call_text
from stillwing_agent.core.types import Mission, MissionState
from stillwing_airfield.scenes import SceneObject, SceneSpec
from stillwing_bridge.core import events
from stillwing_bridge.core.types import Telemetry
from stillwing_common.errors import NotFound
from stillwing_common.types import PositionNed

REACHED_M = 3.2
"""A mission that ended by itself within this distance of its beacon, over ground, has reached it."""


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """Where the vehicle was; `elapsed_s` since the mission was started."""

    elapsed_s: float
    position: PositionNed
    thinking: bool


@dataclass(slots=True)
class Decision:
    """One question, its answer and what came of it; `jpeg` is the newest frame the answer could see."""

    number: int
    prompt: str
    answer: str = ""
    action: str = ""
    outcome: str = ""
    think_s: float = 0.0
    frame_id: str = ""
    context_tokens: int = 0
    position: PositionNed | None = None
    jpeg: bytes = b""


@dataclass(slots=True)
class FlightRecord:
    """Everything a report needs. `goal` None where no ground truth of the goal is known."""

    scene: SceneSpec | None
    goal: SceneObject | None
    mission: Mission
    goal_thing: str = ""
    """Name of the thing at which the user says that the mission is to end, whatever its instructions."""
    track: list[TrackPoint] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    events: list[MissionEvent] = field(default_factory=list)
    collisions: int = 0
    hit: str = ""
    motions_while_thinking: int | None = None
    end_position: PositionNed | None = None

    def add_event(self, event: MissionEvent) -> None:
        """Take one event of the mission's log."""
        self.events.append(event)
        match event.happening:
            case StateChanged(mission):
                self.mission = mission
            case Instructed(_, text):
                self.goal = goal_in(self.scene, text, self.goal_thing)
            case ThinkingStarted(_, prompt):
                here = self.track[-1].position if self.track else None
                self.decisions.append(Decision(len(self.decisions) + 1, prompt, position=here))
            case ThinkingFinished(_, answer, elapsed_s, last_frame_id, _, tokens) if self.decisions:
                last = self.decisions[-1]
                last.answer, last.think_s, last.frame_id, last.context_tokens = answer, elapsed_s, last_frame_id, tokens
            case ActionStarted(_, tool, arguments) if self.decisions:
                self.decisions[-1].action = call_text(tool, arguments)
            case ActionFinished(_, _, error) if self.decisions:
                self.decisions[-1].outcome = "done" if error is None else str(error)
            case MotionRefused(_, error) if self.decisions:
                self.decisions[-1].outcome = f"refused: {error}"
            case _:
                pass

    def add_telemetry(self, telemetry: Telemetry, elapsed_s: float, collisions_before: int) -> None:
        """Take one state of the vehicle; collisions are counted from `collisions_before`."""
        self.track.append(TrackPoint(elapsed_s, telemetry.pose.position, telemetry.thinking))
        self.collisions = max(self.collisions, telemetry.collisions - collisions_before)
        if self.collisions:
            self.hit = telemetry.last_collision_object

    @property
    def distance_m(self) -> float | None:
        """Over ground from where the vehicle is, or ended, to the goal."""
        here = self.end_position or (self.track[-1].position if self.track else None)
        if self.goal is None or here is None:
            return None
        return math.dist((here.north_m, here.east_m), self.goal.position_ned_m[:2])

    @property
    def claimed(self) -> bool | None:
        """What the agent said at the end: achieved or not; None where it came to no end of its own."""
        match self.mission.state:
            case MissionState.ACHIEVED:
                return True
            case MissionState.NOT_ACHIEVED:
                return False
        return None

    @property
    def verified_by(self) -> str:
        """What `verified` rests on: "ground truth", "a question" to the model on fresh frames, or "" for nothing."""
        if self.goal is not None and self.distance_m is not None:
            return "ground truth"
        return "a question" if self.mission.verification is not None else ""

    @property
    def verified(self) -> bool | None:
        """Whether the vehicle is within reach of its goal, or, where no truth is known, what an independent question to
        the model says; None where neither is there.
        """
        if self.goal is not None and self.distance_m is not None:
            return self.distance_m <= REACHED_M
        return None if self.mission.verification is None else self.mission.verification.holds

    @property
    def achieved(self) -> bool:
        """Whether the agent says so, and its verification does not say otherwise."""
        return self.claimed is True and self.verified is not False

    @property
    def verdict(self) -> str:
        """In words, what the agent claims and what ground truth says."""
        claim = {True: "achieved", False: "not achieved", None: self.mission.state.value}[self.claimed]
        if self.verified is None:
            return f"{claim}; not verified"
        asked = self.mission.verification
        sure = f", yes {asked.probability:.0%}" if self.verified_by == "a question" and asked is not None else ""
        return f"{claim}; {'verified' if self.verified else 'contradicted'} by {self.verified_by}{sure}"

    @property
    def exit_code(self) -> int:
        """0 achieved; 1 came to no end of its own; 3 not achieved, says the agent; 4 what it claims is wrong."""
        if self.achieved:
            return 0
        return {None: 1, False: 3, True: 4}[self.claimed]

    def summary(self) -> dict[str, Any]:
        """Figures by name, as JSON values."""
        mission, figures = self.mission, self.mission.figures
        points = [point.position for point in self.track]
        think_s = [decision.think_s for decision in self.decisions if decision.think_s > 0]
        ended_ns = mission.end_wall_ns or mission.create_wall_ns
        return {
            "claimed": self.claimed,
            "verified": self.verified,
            "verified_by": self.verified_by,
            "verified_probability": None if (asked := mission.verification) is None else round(asked.probability, 4),
            "mission_id": mission.mission_id,
            "goal": mission.goal,
            "state": mission.state.value,
            "answer": mission.answer,
            "error": str(mission.error) if mission.error else None,
            "scene": self.scene.name if self.scene else None,
            "seed": self.scene.seed if self.scene else None,
            "distance_m": None if self.distance_m is None else round(self.distance_m, 2),
            "collisions": self.collisions,
            "hit": self.hit,
            "decisions": figures.decisions,
            "refusals": figures.refusals,
            "thinking_s": round(figures.thinking_s, 3),
            "think_median_s": round(statistics.median(think_s), 4) if think_s else None,
            "frames_seen": figures.frames_seen,
            "frames_evicted": figures.frames_evicted,
            "keyframes_filed": figures.keyframes_filed,
            "flight_s": round((ended_ns - mission.create_wall_ns) / 1e9, 2),
            "path_m": round(sum(a.distance_m(b) for a, b in pairwise(points)), 2),
            "motions_while_thinking": self.motions_while_thinking,
        }


def goal_in(scene: SceneSpec | None, instruction: str, thing: str) -> SceneObject | None:
    """Where ground truth has the mission end: at the `thing` of this name, else, where the instruction is the scene's
    own mission, at that one's goal. None where no truth is known; the words of an instruction are never read for it.

    Raises NotFound for a thing that the scene does not have.
    """
    if thing:
        things = scene.objects if scene is not None else ()
        found = next((one for one in things if one.name == thing), None)
        if found is None:
            known = ", ".join(one.name for one in things) or "none, because its ground truth is not known"
            raise NotFound(f"the scene has no thing called {thing}; it has {known}", thing=thing)
        return found
    return scene.goal() if scene is not None and instruction == scene.mission else None


class ThinkingAudit:
    """Counts motions that were in force at some instant of a thinking interval, from the bridge's own record."""

    def __init__(self) -> None:
        self._moving: set[str] = set()
        self._thinking = False
        self._guilty: set[str] = set()

    def add(self, entry: events.FlightLogEntry) -> None:
        """Take one entry, in order."""
        match entry.event:
            case events.CommandStarted(command_id, _, motion, _) if motion:
                self._moving.add(command_id)
            case events.CommandEnded(status):
                self._moving.discard(status.command_id)
            case events.ThinkingBegan(_):
                self._thinking = True
            case events.ThinkingEnded(_):
                self._thinking = False
            case _:
                pass
        if self._thinking:
            self._guilty |= self._moving

    @property
    def violations(self) -> int:
        """How many so far; the product's promise is none."""
        return len(self._guilty)
