"""Twelve missions that a mind must be able to fly through the agent, each judged by the simulator's truth.

A mission says what the operator says and when. What is wrong with a flight is told in words; none where it is as it
should be. It knows nothing of minds.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from stillwing_agent.core.agent import MissionAgent
from stillwing_agent.core.events import ActionStarted, OperatorAsked, Reported
from stillwing_agent.core.types import InstructionRequest, MissionState, OperatorAnswer
from stillwing_airfield.scenes.base import SceneObject, SceneSpec, build_scene
from stillwing_bridge.core.types import Limits
from stillwing_lab.stand_in.flying import Conditions, Flown, Operator, nobody
from stillwing_lab.stand_in.goals import COLOURS

REACHED_M = 3.6
_HIGHEST_M = 7.3

Faults = Iterator[str]
Judge = Callable[[Flown, SceneSpec], Faults]
"""What is wrong with a flight, by what truly happened."""


@dataclass(frozen=True, slots=True)
class StandInMission:
    """A goal in a scene, what the operator does, and how it is judged."""

    name: str
    goal: str
    judge: Judge
    scene: str = "meadow"
    seed: int = 3
    conditions: Conditions = field(default_factory=Conditions)
    operator: Operator = nobody

    def build(self) -> SceneSpec:
        """Its scene."""
        return build_scene(self.scene, self.seed)


def faults(mission: StandInMission, flown: Flown) -> list[str]:
    """What is wrong with a flight, what must never be included."""
    scene = mission.build()
    found = list(mission.judge(flown, scene))
    if flown.collisions:
        found.append(f"it touched something {flown.collisions} times")
    return found


# Judges


def reaches(*colours: str) -> Judge:
    """It was at these beacons one after another, says so, and stays at the last."""

    def judge(flown: Flown, scene: SceneSpec) -> Faults:
        yield from _ends(flown, MissionState.ACHIEVED)
        before = -1
        for colour in colours:
            foot_m = _beacon(scene, colour).position_ned_m
            at = _near_after(flown, foot_m, before)
            if at is None:
                yield f"it was not at the {colour} beacon in its turn, nearest {flown.nearest_m(foot_m):.1f} m"
                return
            before = at
        if _level_m(flown.track_m[-1], _beacon(scene, colours[-1]).position_ned_m) > REACHED_M:
            yield f"it did not end at the {colours[-1]} beacon"

    return judge


def reports_beacons(flown: Flown, scene: SceneSpec) -> Faults:
    """It reports the beacons of the scene by their colours, in the language of its instruction, and no other."""
    yield from _ends(flown, MissionState.ACHIEVED)
    text = " ".join(_reports(flown))
    for english, chinese in COLOURS.items():
        there = any(beacon.colour == english for beacon in scene.of_kind("beacon"))
        if there != (english in text or chinese in text):
            yield f"of the {english} beacon it reports {text!r}"


def says_it_is_not_there(flown: Flown, scene: SceneSpec) -> Faults:
    """It says so after one look all round, and has not flown about."""
    yield from _ends(flown, MissionState.NOT_ACHIEVED)
    if len(flown.calls("look_around")) != 1:
        yield f"it looked round {len(flown.calls('look_around'))} times"
    if flown.calls("move_forward"):
        yield "it flew about"


def reports(wanted: str) -> Judge:
    """What it reports matches a pattern."""

    def judge(flown: Flown, scene: SceneSpec) -> Faults:
        yield from _ends(flown, MissionState.ACHIEVED)
        if not re.search(wanted, " ".join(_reports(flown))):
            yield f"it reports {_reports(flown)}"

    return judge


def recalls_the_sign(flown: Flown, scene: SceneSpec) -> Faults:
    """It reports the sign's colour from memory: by then it is neither in sight nor in the conversation."""
    (sign,) = scene.of_kind("sign")
    yield from reports(f"{sign.colour}|{COLOURS[str(sign.colour)]}")(flown, scene)
    if not flown.calls("recall"):
        yield "it did not recall anything"


def is_highest(flown: Flown, scene: SceneSpec) -> Faults:
    """It was refused, then went up to just below the limit, and reports how high that is."""
    yield from _ends(flown, MissionState.ACHIEVED)
    if "FENCE" not in flown.refusals:
        yield f"it was refused with {flown.refusals}"
    height_m = -flown.track_m[-1][2]
    if not _HIGHEST_M - 0.5 <= height_m <= _HIGHEST_M:
        yield f"it ended at {height_m:.1f} m"
    told = re.search(r"\d+\.\d", " ".join(_reports(flown)))
    if told is None or abs(float(told[0]) - height_m) > 0.2:
        yield f"it reports {_reports(flown)} at {height_m:.1f} m"


def lands_between(colour: str) -> Judge:
    """It stood on the ground, flew again, and then was at the beacon."""

    def judge(flown: Flown, scene: SceneSpec) -> Faults:
        yield from reaches(colour)(flown, scene)
        tools = [one.tool for one in flown.happenings if isinstance(one, ActionStarted)]
        if "land" not in tools or "takeoff" not in tools[tools.index("land") :]:
            yield f"it called {tools}"

    return judge


def patrols(flown: Flown, scene: SceneSpec) -> Faults:
    """It made three hundred decisions, in prompts that do not grow, and counted right how often it was there."""
    yield from _ends(flown, MissionState.ACHIEVED)
    if flown.mission.figures.decisions < 300:
        yield f"it made {flown.mission.figures.decisions} decisions"
    visits = sum("visit" in str(note.arguments["text"]) for note in flown.calls("note"))
    if not re.search(rf"\b{visits}\b", " ".join(_reports(flown))) or visits < 10:
        yield f"it reports {_reports(flown)} of {visits} visits"
    tokens = [answer.question_tokens for answer in flown.answers]
    early, late = max(tokens[: len(tokens) // 2]), max(tokens[len(tokens) // 2 :])
    if late > 1.1 * early:
        yield f"prompts grew from {early} to {late} tokens"


def asks_and_reaches(colour: str) -> Judge:
    """It asks the operator which, and flies to the one that is named."""

    def judge(flown: Flown, scene: SceneSpec) -> Faults:
        yield from reaches(colour)(flown, scene)
        asked = [one.question for one in flown.happenings if isinstance(one, OperatorAsked)]
        if len(asked) != 1:
            yield f"it asked {asked}"

    return judge


def _ends(flown: Flown, state: MissionState) -> Faults:
    mission = flown.mission
    if mission.state is not state:
        yield f"it ended {mission.state.value}: {mission.answer or mission.error}"


def _reports(flown: Flown) -> list[str]:
    return [one.text for one in flown.happenings if isinstance(one, Reported)]


def _beacon(scene: SceneSpec, colour: str) -> SceneObject:
    return next(one for one in scene.of_kind("beacon") if one.colour == colour)


def _level_m(place_m: tuple[float, float, float], foot_m: tuple[float, float, float]) -> float:
    return float(((place_m[0] - foot_m[0]) ** 2 + (place_m[1] - foot_m[1]) ** 2) ** 0.5)


def _near_after(flown: Flown, foot_m: tuple[float, float, float], before: int) -> int | None:
    places = enumerate(flown.track_m)
    return next((at for at, place in places if at > before and _level_m(place, foot_m) <= REACHED_M), None)


# Operators


def answers_with(text: str) -> Operator:
    """Answers every question with the same."""

    async def operate(agent: MissionAgent, mission_id: str) -> None:
        async for event in agent.watch_mission(mission_id):
            if isinstance(event.happening, OperatorAsked):
                await agent.answer_mission(OperatorAnswer(f"answer-{event.event_seq}", mission_id, text))

    return operate


def instructs(text: str, *, at_call: str = "", after_calls: int = 0) -> Operator:
    """Gives another instruction when a tool is first called, or once so many calls have begun."""

    async def operate(agent: MissionAgent, mission_id: str) -> None:
        calls = 0
        async for event in agent.watch_mission(mission_id):
            if not isinstance(event.happening, ActionStarted):
                continue
            calls += 1
            if event.happening.tool == at_call or calls == after_calls:
                await agent.instruct_mission(InstructionRequest("other", mission_id, text))
                return

    return operate


TWELVE: tuple[StandInMission, ...] = (
    StandInMission(
        "one and then the other", "Fly to the green beacon, then to the yellow beacon.", reaches("green", "yellow")
    ),
    StandInMission("look and report", "Look around and report which beacons you see.", reports_beacons, seed=5),
    StandInMission(
        "a sign recalled",
        "Turn round and fly on ahead. Then land, take off again, climb as high as you are allowed and report the "
        "colour of the sign.",
        recalls_the_sign,
        scene="maze,corridor_m=8",
        conditions=Conditions(limits=Limits(max_altitude_m=15.0), has_memory=True, conversation_tokens=300),
    ),
    StandInMission(
        "refused, then adapts",
        "Climb as high as you are allowed and report that height.",
        is_highest,
        conditions=Conditions(limits=Limits(max_altitude_m=_HIGHEST_M)),
    ),
    StandInMission(
        "lands and takes off again",
        "Land. Then take off again and fly to the yellow beacon.",
        lands_between("yellow"),
    ),
    StandInMission("nothing there", "Fly to the purple beacon.", says_it_is_not_there),
    StandInMission(
        "asks the operator", "Fly to a beacon.", asks_and_reaches("green"), operator=answers_with("The green one.")
    ),
    StandInMission(
        "instructed on the way",
        "Fly to the yellow beacon.",
        reaches("green"),
        operator=instructs("Fly to the green beacon instead.", at_call="move_forward"),
    ),
    StandInMission(
        "three hundred decisions",
        "Fly between the green beacon and the yellow beacon until you are told to stop.",
        patrols,
        conditions=Conditions(max_decisions=330, time_limit_s=7200.0),
        operator=instructs("Stop. Report how many times you reached a beacon.", after_calls=301),
    ),
    StandInMission(
        "one and then the other, in Chinese", "先飞到绿色信标，再飞到黄色信标。", reaches("green", "yellow")
    ),
    StandInMission("look and report, in Chinese", "看看周围，报告你看到哪些信标。", reports_beacons, seed=5),
    StandInMission("nothing there, in Chinese", "飞到紫色信标。", says_it_is_not_there, seed=5),
)
