"""python -m pytest tests/unit/agent/test_circling.py -v

No model, however stubborn, turns on one spot for ever.
"""

import random

from agent_fakes import make_rig
from fake_world import call
from hypothesis import given
from hypothesis import strategies as st

from stillwing_agent.core.events import ActionStarted
from stillwing_agent.core.tools.circling import Circling
from stillwing_agent.core.types import MissionState

LEFT = {"direction": "left", "angle_deg": 15}
RIGHT = {"direction": "right", "angle_deg": 15}
FORWARD = {"direction": "forward", "distance_m": 1}


@given(st.randoms(use_true_random=False), st.integers(0, 4))
def test_turning_in_place_ends_whatever_is_chosen(chance: random.Random, reversals: int) -> None:
    circling = Circling(max_reversals=reversals, max_angle_deg=390)
    turns = 0
    while open_sides := [side for side in ("left", "right") if ("turn", side) not in circling.closed()]:
        circling.moved("turn", {"direction": chance.choice(open_sides), "angle_deg": 15})
        turns += 1
        assert turns <= 26


def test_two_changes_of_direction_are_the_last() -> None:
    circling = Circling()
    for turn in (LEFT, RIGHT):
        circling.moved("turn", turn)
        assert circling.closed() == set()
    circling.moved("turn", LEFT)
    assert circling.closed() == {("turn", "right")}


def test_after_a_circle_without_a_find_it_moves_on_and_only_then_looks_again() -> None:
    circling = Circling()
    for _ in range(23):
        circling.moved("turn", RIGHT)
        assert circling.closed() == set()
    circling.moved("turn", RIGHT)
    for _ in range(3):
        assert circling.closed() == {("turn", "left"), ("turn", "right")}
        assert circling.closed(way_on_refused=True) == set()
        circling.moved("move", FORWARD)
    assert circling.closed() == set()


def test_whoever_finds_the_way_on_barred_after_a_circle_looks_for_another() -> None:
    circling = Circling()
    for _ in range(24):
        circling.moved("turn", RIGHT)
    circling.moved("move", FORWARD)
    assert circling.closed(way_on_refused=True) == set()
    circling.moved("turn", LEFT)
    assert circling.closed() == set()


def test_where_the_way_on_is_refused_one_side_stays_open() -> None:
    circling = Circling(max_angle_deg=60)
    for turn in (LEFT, RIGHT, LEFT, LEFT):
        circling.moved("turn", turn)
    assert circling.closed(way_on_refused=True) == {("turn", "right")}


def test_moving_on_opens_everything_again() -> None:
    circling = Circling()
    for turn in (LEFT, RIGHT, LEFT):
        circling.moved("turn", turn)
    circling.moved("move", FORWARD)
    assert circling.closed() == set()


async def test_the_schema_leaves_out_the_turn_that_would_go_back() -> None:
    left, right = call("turn", **LEFT), call("turn", **RIGHT)
    rig = make_rig([left, right, left, left])
    mission = await rig.agent.start_mission(rig.request())
    events = [event.happening async for event in rig.agent.watch_mission(mission.mission_id)]
    assert (await rig.agent.get_mission(mission.mission_id)).state is MissionState.ACHIEVED
    assert len([one for one in events if isinstance(one, ActionStarted) and one.tool == "turn"]) == 4

    def turn_of(schema: str) -> bool:
        return '"const":"turn"' in schema and '{"enum":["left"]}' in schema

    assert [turn_of(asked.json_schema) for asked in rig.engine.asked] == [False, False, False, True, True]
