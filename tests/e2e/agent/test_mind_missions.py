"""python -m pytest tests/e2e/agent/test_mind_missions.py -v

Missions of a stand-in mind, which reads rendered prompts and looks at frames, through the real agent, bridge, simulator
and engine protocol: the engine stands behind its server with the model's own templates, tokenizer and grammar.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from chat_templates import write_chat_model
from run_profile import sized
from wired_engine import connecting_to, served

from stillwing_agent.core.events import Briefed
from stillwing_lab.stand_in.drawn_missions import drawn_missions
from stillwing_lab.stand_in.engine import stand_in_engine
from stillwing_lab.stand_in.flying import ChangingSight, Flown, fly
from stillwing_lab.stand_in.mind import StandInMind
from stillwing_lab.stand_in.missions import TWELVE, StandInMission, faults
from stillwing_vlm.core.conversation import ToolTurn, UserTurn
from stillwing_vlm.core.requests import AskRequest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(280)]

BY_NAME = {mission.name: mission for mission in TWELVE}
Fly = Callable[[StandInMission], Flown]
Heard = Callable[[AskRequest], AskRequest]


@pytest.fixture(scope="module")
def flown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fly]:
    """Flies missions with one engine."""
    sight = ChangingSight()
    directory = write_chat_model(tmp_path_factory.mktemp("mind") / "model", "qwen2_5_vl")
    with served(stand_in_engine(directory, StandInMind(), sight.look)) as address:

        def fly_one(mission: StandInMission) -> Flown:
            scene = mission.build()
            sight.turn_to(scene)
            return fly(scene, mission.goal, connecting_to(address), mission.conditions, mission.operator)

        yield fly_one


def without_results(request: AskRequest) -> AskRequest:
    """Calls are told, what came of them is not; a refusal still is."""
    return _changed(request, lambda text: text if text.startswith("Refused") else "")


def without_limits(request: AskRequest) -> AskRequest:
    """A refusal is told, the limit that it met is not."""
    return _changed(request, lambda text: text.partition(":")[0] if text.startswith("Refused") else text)


def without_notes(request: AskRequest) -> AskRequest:
    """What was noted down is not told."""
    first, *others = request.messages or (UserTurn(""),)
    kept = [line for line in first.text.split("\n") if not line.startswith(("Your notes:", "- “", "- visit"))]
    return replace(request, messages=(UserTurn("\n".join(kept)), *others)) if request.messages else request


def _changed(request: AskRequest, told: Callable[[str], str]) -> AskRequest:
    turns = [replace(turn, text=told(turn.text)) if isinstance(turn, ToolTurn) else turn for turn in request.messages]
    return replace(request, messages=tuple(turns))


@pytest.mark.timeout(900)
def test_missions_drawn_with_a_fresh_seed(flown: Fly, run_seed: int) -> None:
    """What is wrong with each that is; the run's seed, which the report's header shows, draws them again."""
    wrong = {
        f"{mission.name}: {mission.scene} {mission.seed}: {mission.goal}": found
        for mission in drawn_missions(run_seed, sized(ci=1, nightly=20))
        if (found := faults(mission, flown(mission)))
    }
    assert wrong == {}


IN_CI = ("one and then the other, in Chinese",)
STRIPPED = [
    (without_results, "look and report"),
    (without_limits, "refused, then adapts"),
    (without_notes, "one and then the other"),
    (without_results, "asks the operator"),
    (without_results, "one and then the other, in Chinese"),
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", sized(ci=IN_CI, nightly=tuple(BY_NAME)))
def test_a_mission(flown: Fly, name: str) -> None:
    flight = flown(BY_NAME[name])
    assert next(one for one in flight.happenings if isinstance(one, Briefed)).profile == "native"
    assert faults(BY_NAME[name], flight) == []


@pytest.mark.parametrize(
    ("strip", "name"),
    [
        pytest.param(strip, name, id=f"{strip.__name__}: {name}")
        for strip, name in sized(ci=STRIPPED[:1], nightly=STRIPPED)
    ],
)
def test_it_fails_where_a_part_of_the_conversation_is_missing(flown: Fly, strip: Heard, name: str) -> None:
    mission = BY_NAME[name]
    conditions = replace(mission.conditions, heard=strip, max_decisions=30)
    flight = flown(replace(mission, conditions=conditions))
    assert faults(mission, flight) != []
