"""python -m pytest tests/unit/agent/test_tools.py -v

Tool calls as commands, what is left open after refusals, params of missions.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_agent.core.params import MISSION_PROPERTIES, checked_params, schema_text
from stillwing_agent.core.prompting.prompts import CHOICES, TOOLS, tool_call_schema
from stillwing_agent.core.tools.execution import to_command, without_closed
from stillwing_bridge.core.commands import FlyTowards, Land, Step, Turn
from stillwing_common.errors import BadParams, InvalidInput


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
    for call in CHOICES.values():
        assert set(call["arguments"]) == set(specs[call["name"]].arguments)


def test_params_get_their_defaults_and_whole_numbers() -> None:
    assert checked_params(MISSION_PROPERTIES, {}) == {"max_decisions": 200}
    assert checked_params(MISSION_PROPERTIES, {"max_decisions": 7.0}) == {"max_decisions": 7}


@pytest.mark.parametrize("value", [0, 2001, 1.5, True, "9", None, [1], float("nan"), float("inf")])
def test_params_that_do_not_fit_are_named(value: object) -> None:
    with pytest.raises(BadParams) as bad:
        checked_params(MISSION_PROPERTIES, {"max_decisions": value})
    assert bad.value.metadata["param"] == "max_decisions"


def test_the_schema_of_params_is_closed() -> None:
    assert json.loads(schema_text(MISSION_PROPERTIES))["additionalProperties"] is False
