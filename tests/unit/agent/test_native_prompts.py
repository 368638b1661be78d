"""python -m pytest tests/unit/agent/test_native_prompts.py -v

The native profile through an engine that writes it in a model's own template: random weights of each family.
"""

from pathlib import Path

import pytest
from chat_templates import FAMILIES, write_chat_model
from vlm_frames import frame

from stillwing_agent.core.prompting.base import Action, Moment
from stillwing_agent.core.prompting.conversation import Room
from stillwing_agent.core.prompting.native import NativeProfile
from stillwing_agent.core.prompting.native_tools import ToolLimits
from stillwing_agent.core.tools.calls import CallCheck
from stillwing_bridge.core.types import Limits
from stillwing_vlm.core.catalog import ModelSource, load_engine
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import Sampling

ENTRIES = (
    Action("look", {"question": "红色的信标在哪里？"}, "左边。", "我看到树。"),
    Action("move_forward", {"distance_m": 2.0}, "Refused, OBSTRUCTED: free for 0.8 m", "A wall.", refused=True),
)


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
