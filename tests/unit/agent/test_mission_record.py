"""python -m pytest tests/unit/agent/test_mission_record.py -v

The record of a mission: its state machine, its bounded and resumable log, its figures.
"""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwing_agent.core.events import (
    ActionFinished,
    FramesEvicted,
    KeyframeFiled,
    MotionRefused,
    Observed,
    StateChanged,
    ThinkingFinished,
)
from stillwing_agent.core.mission_record import MissionRecord, event_to_json
from stillwing_agent.core.types import Mission, MissionState
from stillwing_common.clock import FakeClock
from stillwing_common.errors import EventLogFull, Obstructed, WrongState

HAPPENINGS = [
    Observed(("f1",), "a tree"),
    FramesEvicted(("f1", "f2")),
    KeyframeFiled("f3", 7),
    MotionRefused("act_1", Obstructed(distance_m=1.0)),
    ThinkingFinished("thk_1", "left", 0.5, "f9", "f1", 100),
    ActionFinished("act_1", {"state": "succeeded"}),
]


def make_record(max_events: int = 1000) -> MissionRecord:
    clock = FakeClock()
    mission = Mission("mis_1", "Fly.", "drone", MissionState.PENDING, clock.wall_ns())
    return MissionRecord(mission, clock, max_events=max_events)


async def read_all(record: MissionRecord, after: int = 0) -> list[int]:
    return [event.event_seq async for event in record.watch(after)]


@settings(deadline=None)
@given(st.lists(st.sampled_from(HAPPENINGS), max_size=30), st.sampled_from(list(MissionState)[2:]), st.integers(0, 40))
def test_watchers_see_the_same_gapless_log_whenever_they_come(
    happenings: list[object], end: MissionState, after: int
) -> None:
    async def run() -> None:
        record = make_record()
        early = asyncio.create_task(read_all(record))
        resumed = asyncio.create_task(read_all(record, after))
        await asyncio.sleep(0)
        record.change_state(MissionState.RUNNING)
        for happening in happenings:
            record.add(happening)  # type: ignore[arg-type]
            await asyncio.sleep(0)
        record.change_state(end)
        states = [each.happening.mission async for each in record.watch() if isinstance(each.happening, StateChanged)]
        assert [each.state for each in states] == [MissionState.PENDING, MissionState.RUNNING, end]
        assert states[-1] == record.mission
        everything = list(range(1, len(happenings) + 4))
        assert await early == everything
        assert await resumed == everything[after:]
        assert await read_all(record) == everything
        figures = record.mission.figures
        assert figures.refusals == sum(isinstance(one, MotionRefused) for one in happenings)
        assert figures.frames_evicted == 2 * sum(isinstance(one, FramesEvicted) for one in happenings)
        assert figures.keyframes_filed == sum(isinstance(one, KeyframeFiled) for one in happenings)
        assert figures.thinking_s == pytest.approx(0.5 * sum(isinstance(one, ThinkingFinished) for one in happenings))

    asyncio.run(run())


async def test_a_full_log_refuses_events_and_still_takes_the_end() -> None:
    record = make_record(max_events=3)
    record.change_state(MissionState.RUNNING)
    record.add(HAPPENINGS[0])
    with pytest.raises(EventLogFull):
        record.add(HAPPENINGS[0])
    record.change_state(MissionState.FAILED, error=EventLogFull())
    assert await read_all(record) == [1, 2, 3, 4]


async def test_nothing_happens_after_the_end() -> None:
    record = make_record()
    record.change_state(MissionState.CANCELLED)
    with pytest.raises(WrongState):
        record.add(HAPPENINGS[0])
    for state in MissionState:
        with pytest.raises(WrongState):
            record.change_state(state)
    assert record.mission.end_wall_ns is not None


async def test_a_mission_cannot_succeed_before_it_runs() -> None:
    record = make_record()
    with pytest.raises(WrongState):
        record.change_state(MissionState.ACHIEVED)


async def test_events_become_plain_json_with_the_reason_of_errors() -> None:
    record = make_record()
    plain = event_to_json(record.add(MotionRefused("act_1", Obstructed("a tree", distance_m=0.4))))
    assert plain["event"] == "MotionRefused"
    assert plain["error"] == {
        "reason": "OBSTRUCTED",
        "message": "Something is in the way: a tree",
        "metadata": {"distance_m": "0.4"},
    }
