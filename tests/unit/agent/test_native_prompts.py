"""python -m pytest tests/unit/agent/test_native_prompts.py -v

The native profile through an engine that writes it in a model's own template: random weights of each family.
"""

from pathlib import Path

import pytest
from chat_templates import FAMILIES, write_chat_model
from vlm_frames import frame

from stillwing_agent.core.prompting.base import Action, Moment, VehicleState
from stillwing_agent.core.prompting.conversation import Room
from stillwing_agent.core.prompting.history import error_words
from stillwing_agent.core.prompting.native import NativeProfile
from stillwing_agent.core.prompting.native_tools import ToolLimits
from stillwing_agent.core.tools.calls import CallCheck
from stillwing_bridge.core.types import Limits
from stillwing_common.errors import Obstructed
from stillwing_vlm.core.catalog import ModelSource, load_engine
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import AskRequest, Sampling

PAGE = Path(__file__).resolve().parents[3] / "docs" / "agent.md"

SHOWN = Moment(
    "Fly to the red beacon.",
    (),
    entries=(
        Action("takeoff", {"altitude_m": 2.0}, "Done."),
        Action("move_forward", {"distance_m": 4, "speed_m_s": 2}, "Done.", "A red beacon stands behind a hedge."),
        Action(
            "move_forward",
            {"distance_m": 3},
            error_words(Obstructed("free for 0.8 m of 3.0 m", distance_m="0.80", wanted_m="3.00")),
            "The hedge is close.",
            refused=True,
        ),
        Action("look", {"question": "Where does the hedge end?"}, "On the left, two steps from here.", "It is wide."),
    ),
    notes=("The hedge is two metres high.",),
    vehicle=VehicleState(2.0, 12.0, 4.0, 192.0, 4.0, True, 0.83),
    sight_s=11,
    picture_px=(644, 364),
    decisions_left=195,
    time_left_s=552,
)

ENTRIES = (
    Action("look", {"question": "红色的信标在哪里？"}, "左边。", "我看到树。"),
    Action("move_forward", {"distance_m": 2.0}, "Refused, OBSTRUCTED: free for 0.8 m", "A wall.", refused=True),
)


def test_the_page_shows_a_decision_as_the_model_reads_it(tmp_path: Path) -> None:
    directory = write_chat_model(tmp_path / "model", "qwen2_5_vl")
    loaded = load_engine(ModelSource(str(directory), device="cpu", threads=1))
    profile = NativeProfile(ToolLimits(Limits(), loaded.info().chat.pointing), Room(700, 256))
    briefing = profile.briefing()
    question = profile.decision(SHOWN)
    request = AskRequest(messages=question.messages, answer_format=question.answer_format)
    opening = loaded.preparer.opening(briefing.system_prompt, briefing.tools)
    asked = loaded.preparer.ask(request, briefing).question_ids
    page = PAGE.read_text(encoding="utf-8")
    assert f"```\n{loaded.text.decode(asked, shows_control=True)}" in page
    told = loaded.text.decode(opening, shows_control=True)
    shown = page.split("<!-- opening -->\n```\n")[1].split("```")[0]
    parts = [part.strip("\n") for part in shown.split("…")]
    assert len(parts) == 2 and told.startswith(parts[0]) and parts[1] in told


@pytest.mark.parametrize("family", FAMILIES)
def test_every_tool_is_told_and_every_answer_is_a_call_that_fits(family: str, tmp_path: Path) -> None:
    directory = write_chat_model(tmp_path / "model", family)
    loaded = load_engine(ModelSource(str(directory), device="cpu", threads=1))
    profile = NativeProfile(ToolLimits(Limits(), loaded.info().chat.pointing), Room(300, 256), max_thought_tokens=8)
    briefing = profile.briefing()
    opening = loaded.preparer.opening(briefing.system_prompt, briefing.tools)
    told = loaded.text.decode(opening)
    for tool in profile.tools:
        assert f'"{tool.name}"' in told and tool.purpose in told
    session = LocalEngine(loaded).open(briefing.system_prompt, len(opening) + 400, tools=briefing.tools)
    session.append(frame(0))
    question = profile.decision(Moment("飞到红色信标。", profile.tools, entries=ENTRIES, notes=("北边有门。",)))
    check = CallCheck(profile.tools)
    for seed in range(4):
        done = session.ask(
            question.messages,
            answer_format=question.answer_format,
            max_tokens=900,
            sampling=Sampling(1.2, seed=seed),
        )
        assert done.tool_call is not None, done.text
        check.check(done.tool_call.name, done.tool_call.values())
