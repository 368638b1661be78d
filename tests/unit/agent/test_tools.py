"""python -m pytest tests/unit/agent/test_tools.py -v

Tool calls as commands, what is left open after refusals, params of missions.
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from agent_fakes import FAST, make_rig
from fake_world import DONE, call
from hypothesis import given
from hypothesis import strategies as st

from stillwing_agent.core.agent import AgentConfig, MissionAgent
from stillwing_agent.core.events import ActionFinished
from stillwing_agent.core.json_schema import Properties
from stillwing_agent.core.params import MISSION_PROPERTIES, MissionParams
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.prompting.prompts import CHOICES, TOOLS, tool_call_schema
from stillwing_agent.core.tools.calls import to_command
from stillwing_agent.core.tools.execution import Toolbox, ToolResult, without_closed
from stillwing_agent.core.types import Claim
from stillwing_bridge.core.commands import FlyTowards, Land, Step, Turn
from stillwing_common.errors import BadParams, InvalidInput

PARAMS = MissionParams(MISSION_PROPERTIES)


@pytest.mark.parametrize(
    ("name", "arguments", "command"),
    [
        ("move", {"direction": "forward", "distance_m": 2}, Step(forward_m=2)),
        ("move", {"direction": "back", "distance_m": 2}, Step(forward_m=-2)),
        ("move", {"direction": "right", "distance_m": 2}, Step(right_m=2)),
        ("move", {"direction": "left", "distance_m": 2}, Step(right_m=-2)),
        ("turn", {"direction": "right", "angle_deg": 15}, Turn(15)),
        ("turn", {"direction": "left", "angle_deg": 15}, Turn(-15)),
        ("climb", {"height_m": -1}, Step(up_m=-1)),
        ("fly_towards", {"u": 0.2, "v": 0.3, "step_m": 1}, FlyTowards(0.2, 0.3, 1)),
        ("land", {}, Land()),
    ],
)
def test_tool_calls_stand_for_commands(name: str, arguments: dict[str, object], command: object) -> None:
    assert to_command(name, arguments) == command


@pytest.mark.parametrize(("name", "arguments"), [("dance", {}), ("move", {"direction": "up"}), ("look", {})])
def test_what_is_no_motion_is_refused(name: str, arguments: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        to_command(name, arguments)


_KEYS = st.sets(
    st.sampled_from(
        [("move", "forward"), ("move", "back"), ("move", "left"), ("move", "right"), ("turn", "left"),
         ("turn", "right"), ("climb", None), ("fly_towards", None)]
    )
)  # fmt: skip


@given(_KEYS)
def test_the_schema_offers_exactly_what_is_open(closed: set[tuple[str, str | None]]) -> None:
    schema = json.loads(tool_call_schema(without_closed(TOOLS, closed)))
    offered: set[tuple[str, str | None]] = set()
    for one in schema["anyOf"]:
        direction = one["properties"]["arguments"]["properties"].get("direction")
        name = one["properties"]["name"]["const"]
        offered |= {(name, word) for word in direction["enum"]} if direction else {(name, None)}
    everything = {
        (tool.name, word)
        for tool in TOOLS
        for word in (tool.arguments["direction"]["enum"] if "direction" in tool.arguments else [None])
    }
    assert offered == everything - closed


def test_every_choice_is_a_call_of_a_known_tool() -> None:
    specs = {tool.name: tool for tool in TOOLS}
    for choice in CHOICES.values():
        assert set(choice["arguments"]) == set(specs[choice["name"]].arguments)


def test_params_get_their_defaults_and_whole_numbers() -> None:
    assert PARAMS.checked({}) == {"max_decisions": 200}
    assert PARAMS.checked({"max_decisions": 7.0}) == {"max_decisions": 7}


@pytest.mark.parametrize("value", [0, 2001, 1.5, True, "9", None, [1], float("nan"), float("inf")])
def test_params_that_do_not_fit_are_named(value: object) -> None:
    with pytest.raises(BadParams) as bad:
        PARAMS.checked({"max_decisions": value})
    assert bad.value.metadata["param"] == "max_decisions"


def test_the_schema_of_params_is_closed() -> None:
    assert json.loads(PARAMS.schema_text)["additionalProperties"] is False


@pytest.mark.parametrize("distance_m", [0.1, 0.3, 1, 2.7, 5])
async def test_a_call_within_its_limits_is_carried_out(distance_m: float) -> None:
    rig = make_rig([call("move", direction="forward", distance_m=distance_m), DONE])
    mission = await rig.agent.start_mission(rig.request())
    _ = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    assert rig.world.motions == [Step(forward_m=distance_m)]


@pytest.mark.parametrize(
    ("text", "argument", "detail"),
    [
        (call("fly_towards", u=0, v=2, step_m=1), "v", "fly_towards: v is 2: give a number from 0 to 1"),
        (call("turn", direction="up", angle_deg=9), "direction", "turn: direction is 'up': give one of left, right"),
        (call("climb"), "height_m", "climb: height_m is missing: give a number from -5 to 5"),
        (call("land", now=True), "now", "land: there is no 'now'; known: none"),
    ],
)  # fmt: skip
async def test_a_call_beyond_its_limits_is_answered_and_not_flown(text: str, argument: str, detail: str) -> None:
    results: list[ToolResult] = []

    class OneCall:
        """A policy that makes this call and no other."""

        properties: ClassVar[Properties] = {}
        prompt_profile: ProfileName | None = None

        def __init__(self, params: Mapping[str, Any]) -> None:
            """It takes no params of its own."""

        async def fly(self, toolbox: Toolbox) -> Claim:
            wanted = json.loads(text)
            results.append(await toolbox.run(wanted["name"], wanted["arguments"]))
            return Claim("done")

    rig = make_rig()
    agent = MissionAgent(rig.agent._crew, "one_call", OneCall, AgentConfig(flight=FAST))
    mission = await agent.start_mission(rig.request())
    happened = [event.happening async for event in agent.watch_mission(mission.mission_id)]
    (error,) = [result.error for result in results]
    assert isinstance(error, InvalidInput)
    assert error.detail == detail
    assert error.metadata == {"tool": json.loads(text)["name"], "argument": argument}
    assert [one.error for one in happened if isinstance(one, ActionFinished) and one.error is not None] == [error]
    assert rig.world.motions == []
