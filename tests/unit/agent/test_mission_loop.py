"""python -m pytest tests/unit/agent/test_mission_loop.py -v

Whole missions over scripted fakes: what is flown, what is logged, and that the vehicle is still whenever it is thought.
"""

import asyncio
import dataclasses
import json
from pathlib import Path

import pytest
from agent_fakes import FAST, Rig, make_rig
from fake_world import DONE, FORWARD, LEFT, call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    KeyframeFiled,
    KeyframeLost,
    MissionEvent,
    MotionRefused,
    Observed,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.flight import FlightSettings
from stillwing_agent.core.mission.assembly import session_config
from stillwing_agent.core.prompting.prompts import ToolStyle, decision_prompt, system_prompt
from stillwing_agent.core.types import Mission, MissionState
from stillwing_bridge.core.commands import CommandState, FlyTowards, Hold, Step, Turn
from stillwing_common.errors import (
    FrameSuperseded,
    LimitExceeded,
    LinkLost,
    ObservationStale,
    Obstructed,
    OutOfCredits,
    StoreUnavailable,
)
from stillwing_vlm.core.conversation import Briefing
from stillwing_vlm.core.requests import FramePolicy


async def fly(rig: Rig, **changes: object) -> tuple[Mission, list[MissionEvent]]:
    mission = await rig.agent.start_mission(rig.request(**changes))
    events = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    assert [event.event_seq for event in events] == list(range(1, len(events) + 1))
    return await rig.agent.get_mission(mission.mission_id), events


def of(kind: type, events: list[MissionEvent]) -> list:
    return [event.happening for event in events if isinstance(event.happening, kind)]


def assert_left_holding(rig: Rig) -> None:
    assert rig.world.in_force is None
    assert isinstance(rig.world.commands[-1], Hold)
    assert rig.world.returned == 1
    assert not rig.world.thinking


async def test_flies_to_its_final_answer() -> None:
    rig = make_rig([FORWARD, LEFT, DONE])
    mission, events = await fly(rig)
    assert mission.state is MissionState.ACHIEVED
    assert mission.answer == "reached"
    assert rig.world.motions == [Step(forward_m=1), Turn(-15)]
    assert mission.figures.decisions == 3
    assert mission.figures.thinking_s > 0
    assert mission.figures.frames_seen >= 3
    assert mission.figures.keyframes_filed == len(rig.memory.kept) == 3
    assert rig.world.violations == []
    assert rig.world.session_closed
    assert_left_holding(rig)
    states = [happening.mission.state for happening in of(StateChanged, events)]
    assert states == [MissionState.PENDING, MissionState.RUNNING, MissionState.ACHIEVED]
    assert [happening.tool for happening in of(ActionStarted, events)] == ["takeoff", "move", "turn", "final_answer"]
    assert [f.answer for f in of(ThinkingFinished, events)] == [FORWARD, LEFT, DONE]


async def test_asks_exactly_what_the_pilot_was_trained_on() -> None:
    rig = make_rig([DONE])
    await fly(rig)
    assert rig.engine.configs[0].system_prompt == system_prompt()
    assert rig.engine.asked[0].prompt == decision_prompt("Fly to the red beacon.")


TOWARDS = call("fly_towards", u=0.5, v=0.5, step_m=1)


async def test_a_mission_by_points_of_the_picture_is_offered_no_moves() -> None:
    refused = {0: Obstructed(distance_m=1.0)}
    rig = make_rig([TOWARDS, LEFT, TOWARDS, DONE], flight=dataclasses.replace(FAST, tool_style=ToolStyle.PIXELS))
    rig.world.refusals = refused
    mission, _ = await fly(rig)
    assert mission.state is MissionState.ACHIEVED
    assert rig.engine.configs[0].system_prompt == system_prompt(ToolStyle.PIXELS.tools)
    assert "fly_towards(" in rig.engine.configs[0].system_prompt and "move(" not in rig.engine.configs[0].system_prompt
    offered = ["fly_towards" in request.json_schema for request in rig.engine.asked]
    assert offered == [True, False, True, True], "what was refused is not offered until a motion succeeds"
    assert all('"move"' not in request.json_schema for request in rig.engine.asked)


async def test_a_motion_names_the_newest_frame_its_decision_could_see() -> None:
    rig = make_rig([FORWARD, FORWARD])
    _, events = await fly(rig)
    assert rig.world.based_on == [thought.last_frame_id for thought in of(ThinkingFinished, events)[:2]]


async def test_the_next_ask_sees_a_frame_captured_after_the_motion() -> None:
    rig = make_rig([FORWARD, FORWARD])
    _, events = await fly(rig)
    first, second, third = (t.last_frame_id for t in of(ThinkingFinished, events))
    assert len({first, second, third}) == 3


async def test_every_ask_is_framed_by_a_thinking_interval_of_the_bridge() -> None:
    rig = make_rig([FORWARD, DONE])
    _, events = await fly(rig)
    started, finished = of(ThinkingStarted, events), of(ThinkingFinished, events)
    assert [s.thinking_id for s in started] == [f.thinking_id for f in finished]
    assert all(s.thinking_id.startswith("thk_") for s in started)


async def test_a_refused_move_is_in_the_next_prompt_and_no_move_in_the_next_schema() -> None:
    rig = make_rig([FORWARD, LEFT, FORWARD, DONE])
    rig.world.refusals[0] = Obstructed(distance_m=0.4)
    mission, events = await fly(rig)
    refused, after, later = rig.engine.asked[0], rig.engine.asked[1], rig.engine.asked[2]
    assert '"forward"' in refused.json_schema
    assert after.prompt == decision_prompt("Fly to the red beacon.", "OBSTRUCTED")
    assert '"move"' not in after.json_schema
    assert '"turn"' in after.json_schema
    assert '"forward"' in later.json_schema
    assert later.prompt == decision_prompt("Fly to the red beacon.")
    assert mission.figures.refusals == 1
    assert of(MotionRefused, events)[0].error.metadata == {"distance_m": "0.4"}
    assert mission.state is MissionState.ACHIEVED


async def test_a_refused_tool_without_direction_is_left_out_whole() -> None:
    rig = make_rig([call("fly_towards", u=0.5, v=0.5, step_m=2), DONE])
    rig.world.refusals[0] = LimitExceeded()
    await fly(rig)
    assert rig.world.motions == [FlyTowards(0.5, 0.5, 2)]
    assert "fly_towards" not in rig.engine.asked[1].json_schema


async def test_a_stale_picture_says_nothing_against_the_motion() -> None:
    rig = make_rig([FORWARD, FORWARD, DONE])
    rig.world.refusals[0] = ObservationStale()
    mission, events = await fly(rig)
    assert rig.engine.asked[1].prompt == decision_prompt("Fly to the red beacon.")
    assert '"forward"' in rig.engine.asked[1].json_schema
    assert mission.figures.refusals == 1
    first, second, _ = (thought.last_frame_id for thought in of(ThinkingFinished, events))
    assert first != second


@pytest.mark.parametrize(
    ("end", "reason"),
    [(CommandState.OBSTRUCTED, "OBSTRUCTED"), (CommandState.FENCE, "FENCE"), (CommandState.COLLISION, "COLLISION")],
)
async def test_a_motion_broken_off_counts_as_refused(end: CommandState, reason: str) -> None:
    rig = make_rig([FORWARD, DONE])
    rig.world.ends[0] = end
    mission, _ = await fly(rig)
    assert rig.engine.asked[1].prompt == decision_prompt("Fly to the red beacon.", reason)
    assert mission.state is MissionState.ACHIEVED


@pytest.mark.parametrize(("end", "reason"), [(CommandState.ESTOP, "ESTOP"), (CommandState.LINK_LOST, "LINK_LOST")])
async def test_some_ends_of_a_motion_end_the_mission(end: CommandState, reason: str) -> None:
    rig = make_rig([FORWARD, DONE])
    rig.world.ends[0] = end
    mission, _ = await fly(rig)
    assert mission.state is MissionState.FAILED
    assert mission.error is not None
    assert mission.error.reason == reason
    assert_left_holding(rig)


async def test_looks_only_while_holding_and_says_what_it_saw() -> None:
    rig = make_rig([call("look", question="Where is the tree?"), "ahead", DONE])
    rig.engine.free_text = True
    mission, events = await fly(rig)
    assert rig.engine.asked[1].prompt == "Where is the tree?"
    assert of(Observed, events)[0].summary == "ahead"
    assert rig.world.violations == []
    assert mission.figures.decisions == 2


async def test_recalls_keyframes_into_the_engine() -> None:
    rig = make_rig([FORWARD, call("recall", query="beacon"), DONE])
    _, events = await fly(rig)
    finished = of(ActionFinished, events)[2]
    assert finished.error is None
    assert finished.result["recalled_frame_ids"] == [
        rig.memory.kept[0].frame.frame_id,
        rig.memory.kept[1].frame.frame_id,
    ]


async def test_hovers_and_lands() -> None:
    rig = make_rig([call("hover", duration_s=0.1), call("land"), DONE])
    mission, _ = await fly(rig)
    assert mission.state is MissionState.ACHIEVED
    assert not rig.world.flying


async def test_a_memory_bank_that_fails_costs_keyframes_and_nothing_else() -> None:
    rig = make_rig([FORWARD, call("recall", query="x"), DONE])
    rig.memory.fail = StoreUnavailable()
    mission, events = await fly(rig)
    assert mission.state is MissionState.ACHIEVED
    assert mission.figures.keyframes_filed == 0
    assert {lost.error.reason for lost in of(KeyframeLost, events)} == {"STORE_UNAVAILABLE"}
    assert of(KeyframeFiled, events) == []


async def test_a_slow_memory_bank_is_never_waited_for_in_flight() -> None:
    rig = make_rig([FORWARD] * 30 + [DONE])
    rig.memory.put_s = 0.3
    mission, events = await fly(rig)
    assert mission.state is MissionState.ACHIEVED
    assert len(of(KeyframeLost, events)) + mission.figures.keyframes_filed == 31
    assert len(of(KeyframeLost, events)) > 0


async def test_frames_go_on_while_the_model_thinks() -> None:
    rig = make_rig([FORWARD] * 3)
    rig.engine.think_s = 0.05
    mission, _ = await fly(rig)
    assert mission.figures.frames_seen > 20
    assert mission.figures.frames_evicted > 0


async def test_which_frame_gives_way_is_left_to_the_engine() -> None:
    rig = make_rig([FORWARD] * 3)
    rig.engine.think_s = 0.05
    rig.world.no_room = (None, FrameSuperseded(), OutOfCredits())
    mission, _ = await fly(rig)
    assert rig.engine.configs[0].frame_policy is FramePolicy.NEWEST_WINS
    assert mission.state is MissionState.ACHIEVED
    assert 5 < mission.figures.frames_seen < rig.bridge.frames_made / 2


@pytest.mark.parametrize(("rate_hz", "period_s"), [(4.0, 0.25), (0.0, 0.0), (1e-9, 3600.0)])
def test_the_engine_is_told_how_often_frames_come(rate_hz: float, period_s: float) -> None:
    config = session_config(Briefing("You fly."), FlightSettings(frame_rate_hz=rate_hz), "mis_1", ())
    assert config.frame_period_s == period_s


async def test_the_time_limit_ends_it_with_the_vehicle_holding() -> None:
    rig = make_rig()
    rig.engine.past_end = FORWARD
    mission, _ = await fly(rig, time_limit_s=0.3)
    assert mission.state is MissionState.FAILED
    assert mission.error is not None
    assert mission.error.reason == "TIME_LIMIT_REACHED"
    assert_left_holding(rig)


async def test_decisions_run_out() -> None:
    rig = make_rig()
    rig.engine.past_end = FORWARD
    mission, _ = await fly(rig, params={"max_decisions": 4})
    assert mission.error is not None
    assert mission.error.reason == "DECISIONS_USED_UP"
    assert mission.figures.decisions == 4
    assert_left_holding(rig)


async def test_an_answer_cut_short_costs_a_decision() -> None:
    rig = make_rig(['{"name":"mo', DONE])
    mission, _ = await fly(rig)
    assert mission.state is MissionState.ACHIEVED
    assert mission.figures.decisions == 2


async def test_a_model_that_does_not_answer_is_given_up() -> None:
    rig = make_rig([FORWARD])
    rig.engine.think_s = 30.0
    mission, _ = await fly(rig)
    assert mission.error is not None
    assert mission.error.reason == "ANSWER_TIMEOUT"
    assert_left_holding(rig)


async def test_the_engine_lost_mid_ask_ends_it_with_the_vehicle_holding() -> None:
    rig = make_rig([FORWARD] * 5)
    rig.engine.think_s = 0.1
    started = await rig.agent.start_mission(rig.request())
    async for event in rig.agent.watch_mission(started.mission_id):
        if isinstance(event.happening, ThinkingStarted):
            rig.world.engine_dead = True
    mission = await rig.agent.get_mission(started.mission_id)
    assert mission.state is MissionState.FAILED
    assert mission.error is not None
    assert mission.error.reason == "ENGINE_GONE"
    assert_left_holding(rig)


async def test_the_frame_stream_lost_ends_it() -> None:
    rig = make_rig([FORWARD] * 50)
    started = await rig.agent.start_mission(rig.request())
    async for event in rig.agent.watch_mission(started.mission_id):
        if isinstance(event.happening, ThinkingFinished):
            rig.world.frames_fail = LinkLost()
    mission = await rig.agent.get_mission(started.mission_id)
    assert mission.error is not None
    assert mission.error.reason == "LINK_LOST"


async def test_somebody_taking_the_vehicle_ends_it() -> None:
    rig = make_rig([FORWARD] * 50)
    started = await rig.agent.start_mission(rig.request())
    async for event in rig.agent.watch_mission(started.mission_id):
        if isinstance(event.happening, ThinkingFinished):
            rig.world.superseded = True
    mission = await rig.agent.get_mission(started.mission_id)
    assert mission.error is not None
    assert mission.error.reason == "LEASE_SUPERSEDED"


async def test_a_lease_that_is_about_to_go_stale_is_waited_for() -> None:
    rig = make_rig([DONE])
    rig.world.held_for = 2
    mission, _ = await fly(rig)
    assert mission.state is MissionState.ACHIEVED


async def test_a_lease_that_somebody_keeps_ends_it() -> None:
    rig = make_rig([DONE], flight=dataclasses.replace(FAST, lease_wait_s=0.3))
    rig.world.held_for = 100
    mission, _ = await fly(rig)
    assert mission.error is not None
    assert mission.error.reason == "LEASE_HELD"


async def test_no_fresh_frame_ends_it() -> None:
    rig = make_rig([FORWARD] * 5, flight=FAST)
    rig.world.frame_interval_s = 30.0
    mission, _ = await fly(rig)
    assert mission.error is not None
    assert mission.error.reason == "FRAMES_STOPPED"


@pytest.mark.parametrize("implementation", ["tool_calling", "choice"])
@pytest.mark.parametrize("moment", [ThinkingStarted, ActionStarted, ThinkingFinished, StateChanged])
async def test_cancel_at_any_moment_leaves_the_vehicle_holding(moment: type, implementation: str) -> None:
    rig = make_rig(implementation=implementation)
    rig.engine.past_end = FORWARD if implementation == "tool_calling" else "forward"
    rig.engine.think_s = 0.05
    rig.world.motion_s = 0.05
    started = await rig.agent.start_mission(rig.request())
    cancelled = False
    async for event in rig.agent.watch_mission(started.mission_id):
        if not cancelled and isinstance(event.happening, moment):
            cancelled = True
            mission = await rig.agent.cancel_mission(started.mission_id)
            assert mission.state is MissionState.CANCELLED
    assert rig.world.in_force is None
    assert not rig.world.thinking
    flown = len(rig.world.commands)
    await asyncio.sleep(0.1)
    assert len(rig.world.commands) == flown


async def test_the_lease_is_retained_while_the_loop_works_and_not_while_it_hangs() -> None:
    rig = make_rig([FORWARD] * 10)
    rig.world.motion_s = 0.05
    await fly(rig)
    assert rig.world.retained > 5

    hanging = make_rig()
    hanging.engine.think_s = 0.6
    hanging.world.frame_interval_s = 30.0
    await hanging.agent.start_mission(hanging.request())
    await asyncio.sleep(0.2)
    before = hanging.world.retained
    await asyncio.sleep(0.3)
    assert hanging.world.retained - before <= 1
    await hanging.agent.close()


async def test_the_choice_agent_never_offers_what_was_just_refused() -> None:
    rig = make_rig(["forward", "left", "forward", "stop"], implementation="choice")
    rig.world.refusals[0] = Obstructed()
    mission, _ = await fly(rig)
    assert rig.engine.choices[0].options == ("forward", "left", "right", "stop")
    assert rig.engine.choices[1].options == ("left", "right", "stop")
    assert "OBSTRUCTED" in rig.engine.choices[1].prompt
    assert rig.engine.choices[2].options == ("forward", "left", "right", "stop")
    assert mission.answer == "reached"
    assert rig.world.violations == []


async def test_events_are_written_line_by_line(tmp_path: Path) -> None:
    rig = make_rig([FORWARD, DONE], log_folder=tmp_path)
    mission, events = await fly(rig)
    lines = [json.loads(line) for line in (tmp_path / f"{mission.mission_id}.jsonl").read_text().splitlines()]
    assert [line["event_seq"] for line in lines] == [event.event_seq for event in events]
    assert lines[-1]["mission"]["state"] == "achieved"


_CALLS = st.sampled_from(
    [
        FORWARD,
        LEFT,
        call("climb", height_m=1),
        call("fly_towards", u=0.2, v=0.4, step_m=1),
        call("look", question="What is there?"),
        call("recall", query="tree"),
        call("hover", duration_s=0.1),
        '{"name":"mov',
    ]
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    script=st.lists(_CALLS, max_size=6),
    refused=st.sets(st.integers(0, 5), max_size=3),
    broken_off=st.dictionaries(st.integers(0, 5), st.sampled_from(list(CommandState)[1:]), max_size=3),
)
def test_whatever_happens_the_model_is_only_asked_while_the_vehicle_is_held(
    script: list[str], refused: set[int], broken_off: dict[int, CommandState]
) -> None:
    async def run() -> None:
        rig = make_rig(script)
        rig.engine.think_s = 0.002
        rig.world.motion_s = 0.004
        rig.world.refusals = {number: Obstructed() for number in refused}
        rig.world.ends = broken_off
        mission, _ = await fly(rig)
        assert mission.state.ended
        assert rig.world.violations == []
        assert_left_holding(rig)

    asyncio.run(run())
