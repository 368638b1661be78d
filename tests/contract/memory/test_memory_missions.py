"""python -m pytest tests/contract/memory/test_memory_missions.py

A mission's things, chunks and recalls with a real bank behind the agent; bridge and engine answer from a script.
"""

from collections.abc import Callable
from dataclasses import replace

import agent_fakes
import pytest
from agent_fakes import FAST, Rig, make_rig
from fake_world import DONE, FORWARD

from stillwing_agent.core.events import FramesRecalled, InstructionBegun, InstructionLost, KeyframeFiled, MissionEvent
from stillwing_agent.core.flight import MissionMemorySettings, RecallBy
from stillwing_agent.core.types import InstructionRequest, Mission, MissionState, When
from stillwing_common.errors import StoreUnavailable
from stillwing_common.types import Image
from stillwing_memory.core.bank import StoredBank
from stillwing_memory.core.keyframes import ByEntity
from stillwing_memory.core.protocol import MemoryBank

REMEMBERING = replace(
    FAST,
    memory_reader="noun_phrases",
    memory=MissionMemorySettings(recall=True),
    keyframe_queue=256,
    put_timeout_s=10.0,
)


@pytest.fixture
def make(bank: MemoryBank, make_jpeg: Callable[..., Image], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Rig]:
    """An agent on the test's bank, which takes real pictures only."""
    monkeypatch.setattr(agent_fakes, "PICTURE", make_jpeg())

    def made(script: list[str], flight: object = REMEMBERING) -> Rig:
        rig = make_rig(script, flight=flight)  # type: ignore[arg-type]
        rig.world.frame_interval_s = 0.1
        rig.agent._crew = replace(rig.agent._crew, memory=bank)
        return rig

    return made


async def fly(rig: Rig, goal: str) -> tuple[Mission, list[MissionEvent]]:
    mission = await rig.agent.start_mission(rig.request(goal=goal))
    events = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    return await rig.agent.get_mission(mission.mission_id), events


def of(kind: type, events: list[MissionEvent]) -> list:
    return [event.happening for event in events if isinstance(event.happening, kind)]


# After each decision the scripted engine is asked where the beacon is.
def seeing(*decisions: str) -> list[str]:
    return [answer for decision in decisions for answer in (decision, "ahead")]


async def test_what_one_mission_saw_the_next_one_recalls(bank: MemoryBank, make: Callable[..., Rig]) -> None:
    first = make(seeing(*[FORWARD] * 6, DONE))
    mission, events = await fly(first, "Fly to the red beacon.")
    assert mission.state is MissionState.ACHIEVED
    (begun,) = of(InstructionBegun, events)
    assert (begun.number, begun.recalled_by, begun.recalled_frame_ids) == (1, "nothing", ())
    (entity_id,) = begun.entity_ids
    asked = {request.prompt for request in first.engine.choices}
    assert asked == {"Where is the red beacon?"} and len(first.engine.choices) == 7

    shown = await bank.search_keyframes(ByEntity(entity_id), limit=50)
    assert shown and all(match.keyframe.mission_id == mission.mission_id for match in shown)
    filed = of(KeyframeFiled, events)
    assert len(filed) == mission.figures.keyframes_filed > 7  # decisions, and chunks to the last frame in the window

    second = make(seeing(FORWARD, DONE))
    mission, events = await fly(second, "Go back to the beacon.")
    (begun,) = of(InstructionBegun, events)
    assert (begun.entity_ids, begun.recalled_by) == ((entity_id,), "things")
    assert 1 <= len(begun.recalled_frame_ids) <= 3
    assert set(begun.recalled_frame_ids) <= {match.keyframe.frame.frame_id for match in shown}
    (record,) = await bank.list_instructions(mission.mission_id)
    assert set(record.recalled_frame_ids) == set(begun.recalled_frame_ids)


async def test_a_thing_that_is_not_seen_is_not_tagged(bank: MemoryBank, make: Callable[..., Rig]) -> None:
    rig = make([FORWARD, "none", DONE, "none"])
    _, events = await fly(rig, "Fly to the red beacon.")
    (begun,) = of(InstructionBegun, events)
    assert await bank.search_keyframes(ByEntity(begun.entity_ids[0])) == ()


@pytest.mark.parametrize(
    ("by", "keeps", "how"),
    [(RecallBy.PIXELS, True, "pixels"), (RecallBy.KEPT, True, "kept"), (RecallBy.KEPT, False, "pixels")],
)
async def test_what_leaves_the_window_comes_back_as_memory(
    by: RecallBy, keeps: bool, how: str, bank: MemoryBank, make: Callable[..., Rig]
) -> None:
    unseen = [answer for _ in range(9) for answer in (FORWARD, "none")]
    flight = replace(REMEMBERING, memory=MissionMemorySettings(chunk_frames=1, recall=True, recall_by=by))
    rig = make([*seeing(FORWARD, FORWARD), *unseen, DONE, "none"], flight)
    rig.engine.keeps = keeps
    mission, events = await fly(rig, "Fly to the red beacon.")
    assert mission.state is MissionState.ACHIEVED and rig.world.violations == []
    (begun,) = of(InstructionBegun, events)
    found = await bank.search_keyframes(ByEntity(begun.entity_ids[0]), limit=50)
    # What shows nothing of it stays away.
    shown = sorted((one.keyframe.frame for one in found), key=lambda frame: frame.capture.time_ns)
    recalled = [one.frame_ids for one in of(FramesRecalled, events)]
    assert recalled[0] == (shown[0].frame_id,)
    assert recalled[-1] == tuple(frame.frame_id for frame in shown)
    session = rig.engine.sessions[0]
    assert session.recalled == [(how, frame_ids) for frame_ids in recalled]


async def test_without_recall_the_engines_memory_stays_as_it_is(bank: MemoryBank, make: Callable[..., Rig]) -> None:
    flight = replace(REMEMBERING, memory=MissionMemorySettings(recall=False))
    for expected in ("nothing", "things"):
        _, events = await fly(make(seeing(FORWARD, DONE), flight), "Fly to the red beacon.")
        (begun,) = of(InstructionBegun, events)
        assert (begun.recalled_by, begun.recalled_frame_ids) == (expected, ())
        assert of(FramesRecalled, events) == []


async def test_a_bank_that_is_gone_costs_memory_and_not_the_mission(
    stored: StoredBank, make: Callable[..., Rig]
) -> None:
    rig = make([FORWARD, DONE])
    await stored.close()
    mission, events = await fly(rig, "Fly to the red beacon.")
    assert mission.state is MissionState.ACHIEVED
    (lost,) = of(InstructionLost, events)
    assert isinstance(lost.error, StoreUnavailable)
    assert of(InstructionBegun, events) == [] and rig.engine.choices == []


async def test_the_model_may_read_the_instruction(make: Callable[..., Rig]) -> None:
    answer = '{"entities":[{"entity":"red beacon","attrs":["tall"],"matched_id":null}]}'
    rig = make([answer, *seeing(FORWARD, DONE)], replace(REMEMBERING, memory_reader="model"))
    mission, events = await fly(rig, "Fly to it.")
    assert mission.state is MissionState.ACHIEVED
    (begun,) = of(InstructionBegun, events)
    assert len(begun.entity_ids) == 1
    assert rig.engine.asked[0].json_schema and rig.world.violations == []


async def test_an_answer_that_cannot_be_read_costs_memory_alone(make: Callable[..., Rig]) -> None:
    rig = make(['{"entities":[{"ent', FORWARD, DONE], replace(REMEMBERING, memory_reader="model"))
    mission, events = await fly(rig, "Fly to it.")
    assert mission.state is MissionState.ACHIEVED
    (lost,) = of(InstructionLost, events)
    assert lost.error.reason == "ANSWER_UNREADABLE"


async def test_things_of_one_mission_keep_their_ids_over_its_instructions(
    bank: MemoryBank, make: Callable[..., Rig]
) -> None:
    rig = make([*seeing(FORWARD, FORWARD, FORWARD, DONE), *seeing(FORWARD, FORWARD, DONE), *seeing(FORWARD, DONE)])
    mission = await rig.agent.start_mission(rig.request(goal="Fly to the tall red beacon."))
    for text in ("Now fly to the white van.", "Go back to the beacon."):
        await rig.agent.instruct_mission(InstructionRequest(text, mission.mission_id, text, When.THEN))
    events = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    first, second, third = of(InstructionBegun, events)
    assert [one.number for one in (first, second, third)] == [1, 2, 3]
    assert first.entity_ids == third.entity_ids != second.entity_ids
    assert (first.recalled_by, third.recalled_by) == ("nothing", "things")
    records = await bank.list_instructions(mission.mission_id)
    assert [(one.number, one.text) for one in records] == [
        (1, "Fly to the tall red beacon."),
        (2, "Now fly to the white van."),
        (3, "Go back to the beacon."),
    ]
    shown = await bank.search_keyframes(ByEntity(first.entity_ids[0]), limit=50)
    assert 1 <= len(third.recalled_frame_ids) <= 3
    assert set(third.recalled_frame_ids) <= {match.keyframe.frame.frame_id for match in shown}
    assert {request.prompt for request in rig.engine.choices} == {
        "Where is the tall red beacon?",
        "Where is the white van?",
    }
    assert rig.world.violations == []


async def test_an_instruction_that_is_lost_leaves_the_one_before(stored: StoredBank, make: Callable[..., Rig]) -> None:
    rig = make([*seeing(FORWARD, DONE), FORWARD, DONE])
    mission = await rig.agent.start_mission(rig.request(goal="Fly to the red beacon."))
    await rig.agent.instruct_mission(InstructionRequest("r", mission.mission_id, "To the van.", When.THEN))
    async for event in rig.agent.watch_mission(mission.mission_id):
        if isinstance(event.happening, InstructionBegun):
            await stored.close()
    ended = await rig.agent.get_mission(mission.mission_id)
    assert (ended.state, ended.instruction_number) == (MissionState.ACHIEVED, 2)
    events = [event async for event in rig.agent.watch_mission(mission.mission_id)]
    assert [one.number for one in of(InstructionLost, events)] == [2]
