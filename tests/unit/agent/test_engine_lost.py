"""python -m pytest tests/unit/agent/test_engine_lost.py -v

An engine that dies in a mission and comes back, or does not: what is held, what goes on, and nothing is flown twice.
"""

import asyncio
import dataclasses

from agent_fakes import FAST, Rig, make_rig
from fake_world import DONE, FORWARD, LEFT, call
from hypothesis import given, settings
from hypothesis import strategies as st
from run_profile import sized

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    FramesEvicted,
    MissionEvent,
    ServiceBack,
    ServiceLost,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.types import Mission, MissionState
from stillwing_bridge.core.commands import Hold, Step, Turn

EXPORTS = dataclasses.replace(FAST, export_every_chunks=4, engine_wait_s=5.0)


def rig_with_exports(script: list[str]) -> Rig:
    rig = make_rig(script, flight=EXPORTS)
    rig.engine.can_export = True
    return rig


async def fly(rig: Rig, dies_at: type, count: int, away_s: float) -> tuple[Mission, list]:
    """The mission and what happened in it; the engine dies at the `count`th event of a kind, for so long."""
    started = await rig.agent.start_mission(rig.request())
    happened, left = [], count

    async def come_back() -> None:
        await asyncio.sleep(away_s)
        rig.engine.come_back()

    coming = None
    async for event in rig.agent.watch_mission(started.mission_id):
        happened.append(event.happening)
        if isinstance(event.happening, dies_at):
            left -= 1
            if left == 0:
                rig.engine.die()
                coming = asyncio.create_task(come_back())
    if coming is not None:
        await coming
    return await rig.agent.get_mission(started.mission_id), happened


def of(kind: type, happened: list) -> list:
    return [one for one in happened if isinstance(one, kind)]


def assert_left_holding(rig: Rig) -> None:
    assert rig.world.in_force is None
    assert isinstance(rig.world.commands[-1], Hold)
    assert rig.world.returned == 1
    assert rig.world.violations == []


async def test_killed_while_it_thinks_the_mission_goes_on_from_its_export() -> None:
    rig = rig_with_exports([FORWARD, LEFT, FORWARD, DONE])
    rig.engine.think_s = 0.08
    mission, happened = await fly(rig, ThinkingStarted, 3, 0.1)
    assert (mission.state, mission.error) == (MissionState.ACHIEVED, None)
    assert rig.world.motions == [Step(forward_m=1), Turn(-15), Step(forward_m=1)]
    assert mission.figures.decisions == 4
    assert [one.service for one in of(ServiceLost, happened)] == ["vlm_engine"]
    (back,) = of(ServiceBack, happened)
    assert back.away_s >= 0.09
    before, after = rig.engine.sessions
    assert f"export up to {after.restored_frame_id}" in back.detail
    # What it goes on with is what it had: the export, the frames since in their order, and then the present.
    again = before.appended[before.appended.index(after.restored_frame_id) + 1 :]
    assert after.appended[: len(again)] == again
    assert f"{len(again)} frames given again" in back.detail
    told = [frame_id for one in of(FramesEvicted, happened) for frame_id in one.frame_ids]
    assert len(told) == len(set(told)), "what left the window before the export's end leaves it again, untold"
    assert rig.engine.exports == {}, "a mission's export is taken out at its end"
    assert_left_holding(rig)


async def test_killed_in_a_motion_the_vehicle_is_held_and_the_motion_is_not_flown_again() -> None:
    rig = rig_with_exports([FORWARD, LEFT, DONE])
    rig.world.motion_s = 0.4
    mission, happened = await fly(rig, ActionStarted, 2, 0.1)
    assert (mission.state, mission.error) == (MissionState.ACHIEVED, None)
    assert rig.world.motions == [Step(forward_m=1), Turn(-15)]
    broken_off = of(ActionFinished, happened)[1]
    assert broken_off.error is not None
    assert broken_off.error.reason == "ENGINE_AWAY"
    lost, back = (
        next(i for i, one in enumerate(happened) if isinstance(one, kind)) for kind in (ServiceLost, ServiceBack)
    )
    assert not of(ThinkingStarted, happened[lost:back])
    assert_left_holding(rig)


async def test_without_an_export_it_begins_anew_with_the_frames_at_hand() -> None:
    rig = make_rig([FORWARD, LEFT, DONE], flight=EXPORTS)
    mission, happened = await fly(rig, ThinkingFinished, 2, 0.05)
    assert (mission.state, mission.error) == (MissionState.ACHIEVED, None)
    (back,) = of(ServiceBack, happened)
    assert back.detail.startswith("no export, ")
    before, after = rig.engine.sessions
    # The window of the fake engine is six frames; what was in it goes before the model again, in order.
    first = before.appended.index(after.appended[0])
    assert len(before.appended) - first >= 6
    assert after.appended[:6] == before.appended[first : first + 6]
    assert [config.from_export for config in rig.engine.configs] == ["", ""]


async def test_one_that_does_not_come_back_ends_it_held() -> None:
    rig = make_rig([FORWARD, LEFT, DONE])
    mission, happened = await fly(rig, ThinkingFinished, 2, 2.0)
    assert mission.state is MissionState.FAILED
    assert mission.error is not None
    assert mission.error.reason == "ENGINE_GONE"
    assert "not back within 0.3 s" in str(mission.error)
    assert not of(ServiceBack, happened)
    assert_left_holding(rig)


async def test_one_that_dies_of_what_it_is_asked_ends_it() -> None:
    rig = rig_with_exports([FORWARD] * 9)
    rig.engine.think_s = 0.05
    started = await rig.agent.start_mission(rig.request())
    deaths = 0
    async for event in rig.agent.watch_mission(started.mission_id):
        if isinstance(event.happening, ThinkingStarted):
            rig.engine.die()
            deaths += 1
            asyncio.get_running_loop().call_later(0.02, rig.engine.come_back)
    mission = await rig.agent.get_mission(started.mission_id)
    assert mission.error is not None
    assert mission.error.reason == "ENGINE_GONE"
    assert "died 4 times over one decision" in str(mission.error)
    assert deaths == 4
    assert_left_holding(rig)


async def test_another_model_in_its_place_is_not_flown_with() -> None:
    rig = rig_with_exports([FORWARD] * 9)
    rig.engine.think_s = 0.05
    started = await rig.agent.start_mission(rig.request())
    async for event in rig.agent.watch_mission(started.mission_id):
        if isinstance(event.happening, ThinkingFinished) and rig.engine.name == "fake":
            rig.engine.die()
            rig.engine.name = "another"
            asyncio.get_running_loop().call_later(0.02, rig.engine.come_back)
    mission = await rig.agent.get_mission(started.mission_id)
    assert mission.error is not None
    assert (mission.error.reason, mission.error.metadata["model"]) == ("ENGINE_GONE", "another")
    assert_left_holding(rig)


async def test_a_mission_is_cancelled_while_the_engine_is_away() -> None:
    rig = rig_with_exports([FORWARD] * 9)
    started = await rig.agent.start_mission(rig.request())
    async for event in rig.agent.watch_mission(started.mission_id):
        if isinstance(event.happening, ThinkingFinished):
            rig.engine.die()
            break
    await asyncio.sleep(0.1)
    async with asyncio.timeout(1):
        assert (await rig.agent.cancel_mission(started.mission_id)).state is MissionState.CANCELLED
    assert_left_holding(rig)


async def test_no_engine_where_a_mission_begins_is_told_as_that() -> None:
    rig = make_rig([DONE])
    rig.world.engine_dead = True
    started = await rig.agent.start_mission(rig.request())
    events: list[MissionEvent] = [event async for event in rig.agent.watch_mission(started.mission_id)]
    assert events[-1].happening.mission.error.reason == "ENGINE_GONE"  # type: ignore[union-attr]


MOVES = [call("move", direction="forward", distance_m=metres) for metres in (1, 2, 3, 4, 5)]


@settings(max_examples=sized(ci=6, nightly=100))
@given(after_s=st.floats(0.0, 0.3), away_s=st.floats(0.0, 0.1), again=st.booleans())
def test_whenever_it_dies_nothing_is_flown_twice(after_s: float, away_s: float, again: bool) -> None:
    async def run() -> None:
        rig = rig_with_exports([*MOVES, DONE])
        rig.engine.think_s, rig.world.motion_s = 0.01, 0.02
        started = await rig.agent.start_mission(rig.request())
        while rig.engine.sessions == []:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        for _ in range(1 + again):
            await asyncio.sleep(after_s)
            rig.engine.die()
            await asyncio.sleep(away_s)
            rig.engine.come_back()
        happened = [event.happening async for event in rig.agent.watch_mission(started.mission_id)]
        mission = await rig.agent.get_mission(started.mission_id)
        assert (mission.state, mission.error) == (MissionState.ACHIEVED, None)
        flown = [motion.forward_m for motion in rig.world.motions if isinstance(motion, Step)]
        assert flown == sorted(set(flown)), "each at most once, in the order of the decisions"
        begun = [one for one in of(ActionStarted, happened) if one.tool == "move"]
        assert [one.arguments["distance_m"] for one in begun] == flown
        # An answer that was lost with the engine, or came as it died, is not flown; no other is left out.
        assert len(flown) >= len(MOVES) - len(of(ServiceLost, happened))
        assert len(of(ActionFinished, happened)) == len(of(ActionStarted, happened))
        assert_left_holding(rig)

    asyncio.run(run())
