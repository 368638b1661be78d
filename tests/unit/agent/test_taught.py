"""python -m pytest tests/unit/agent/test_taught.py -v

What a model's directory says it was taught, and what is said of an instruction that lies outside.
"""

import json

import pytest
from agent_fakes import make_rig
from fake_world import DONE

from stillwing_agent.core.events import ActionStarted, ToldOutside
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.prompting.choosing import named_by_model
from stillwing_agent.core.prompting.taught import Taught
from stillwing_agent.core.types import InstructionRequest, When
from stillwing_airfield.scenes import build_scene, scene_names
from stillwing_common.shipped import shipped_model
from stillwing_training.pilot.export import TRAINING_RANGE
from stillwing_vlm.core.chat_format import ChatFormat

PILOT_FOLDER = shipped_model("pilot")
assert PILOT_FOLDER is not None
PILOT = (PILOT_FOLDER / "stillwing.json").read_text()
FORMS = json.dumps({"instructions": ["Go to the {what}."], "words": {"what": ["door", "big door", "门"]}})
THINGS = json.dumps({"things": ["Door", "红"]})


def test_the_pilots_directory_says_what_it_is_exported_with() -> None:
    assert json.loads(PILOT) == TRAINING_RANGE
    assert named_by_model(PILOT) is ProfileName.COMPACT


@pytest.mark.parametrize("scene", scene_names())
def test_every_scenes_own_mission_is_one_that_the_pilot_was_taught(scene: str) -> None:
    for seed in range(20):
        assert Taught.read(PILOT).outside(build_scene(scene, seed).mission, "airfield") is None


@pytest.mark.parametrize(
    ("goal", "new"),
    [
        ("Fly to the purple beacon.", "purple"),
        ("Find a red van and land beside it.", "Find, a, van, and, land, beside, it"),
        ("fly to the red beacon", ""),
        ("Fly to the red beacon. Fly to the red beacon.", ""),
        ("飞到红色信标。", "飞到红色信标"),
        ("Fly to the .* beacon.", ""),
    ],
)
def test_other_goals_lie_outside_of_what_the_pilot_was_taught(goal: str, new: str) -> None:
    outside = Taught.read(PILOT).outside(goal)
    assert outside is not None
    assert outside.instruction == goal
    told = "; ".join(outside.reasons)
    assert ("words it was not taught" in told) == bool(new)
    assert new in told
    assert "instruction: Fly to the {colour} beacon." in outside.taught
    assert "colour: red, blue, yellow, green" in outside.taught


def test_another_simulators_pictures_lie_outside() -> None:
    outside = Taught.read(PILOT).outside("Fly to the red beacon.", "airsim")
    assert outside is not None
    assert outside.reasons == ("pictures of airsim: it was taught on those of airfield",)


@pytest.mark.parametrize(
    ("said", "goal", "within"),
    [
        (FORMS, "Go to the big door.", True),
        (FORMS, " Go to the 门. ", True),
        (FORMS, "Go to the window.", False),
        (THINGS, "Open the DOOR", True),
        (THINGS, "去红车", True),
        (THINGS, "Fly home", False),
        ("", "anything", True),
        ("{}", "anything", True),
        ("[1]", "anything", True),
        ("{", "anything", True),
        ('{"instructions": "Go.", "words": 7, "things": [1, null]}', "anything", True),
        ('{"instructions": ["Go to {nowhere}."]}', "Go to .", False),
    ],
)
def test_what_a_directory_says(said: str, goal: str, within: bool) -> None:
    assert (Taught.read(said).outside(goal) is None) == within


async def test_a_mission_tells_it_before_takeoff_and_at_each_instruction_outside() -> None:
    rig = make_rig([DONE, DONE, DONE], chat=ChatFormat(training_range=PILOT))
    rig.engine.think_s = 0.05
    mission = await rig.agent.start_mission(rig.request(goal="Find a van."))
    for text in ("Fly to the red beacon.", "Land."):
        await rig.agent.instruct_mission(InstructionRequest(text, mission.mission_id, text, When.THEN))
    happened = [event.happening async for event in rig.agent.watch_mission(mission.mission_id)]
    told = [one.outside.instruction for one in happened if isinstance(one, ToldOutside)]
    assert told == ["Find a van.", "Land."]
    kinds = [type(one) for one in happened]
    assert kinds.index(ToldOutside) < kinds.index(ActionStarted)
