"""python -m pytest tests/contract/agent/test_agent_contract.py -v

What every `Agent` keeps, in this process and over the wire.
"""

import json

import pytest
from agent_fakes import Reach, make_rig
from fake_world import DONE, FORWARD

from stillwing_agent.core.events import (
    ActionFinished,
    FramesEvicted,
    KeyframeFiled,
    KeyframeLost,
    MotionRefused,
    StateChanged,
    ThinkingFinished,
)
from stillwing_agent.core.types import MissionState
from stillwing_common.errors import (
    BadPageToken,
    BadParams,
    InvalidInput,
    Obstructed,
    StoreUnavailable,
    TextTooLong,
    UnknownMission,
    UnknownVehicle,
    VehicleBusy,
)
from stillwing_vlm.core.chat_format import ChatFormat


class TestAgentContract:
    async def test_says_what_it_is_and_what_it_takes(self, reach: Reach) -> None:
        async with reach(make_rig()) as agent:
            info = await agent.agent_info()
            assert info.implementation == "tool_calling"
            schema = json.loads(info.params_schema)
            assert set(schema["properties"]) == {"max_decisions", "temperature", "seed", "prompt_profile"}
            assert schema["additionalProperties"] is False

    async def test_says_what_of_a_goal_the_model_was_not_taught(self, reach: Reach) -> None:
        taught = {"instructions": ["Fly to the {colour} beacon."], "words": {"colour": ["red"]}, "simulators": ["one"]}
        async with reach(make_rig(chat=ChatFormat(training_range=json.dumps(taught)))) as agent:
            assert await agent.check_mission("Fly to the red beacon.") is None
            assert await agent.check_mission("Fly to the red beacon.", "one") is None
            outside = await agent.check_mission("Find a 门.", "another")
            assert outside is not None
            assert outside.instruction == "Find a 门."
            assert outside.reasons[1:] == (
                "words it was not taught: Find, a, 门",
                "pictures of another: it was taught on those of one",
            )
            assert outside.taught == ("instruction: Fly to the {colour} beacon.", "colour: red")
            with pytest.raises(InvalidInput):
                await agent.check_mission(" ")
            with pytest.raises(TextTooLong):
                await agent.check_mission("x" * 501)
        async with reach(make_rig()) as agent:
            assert await agent.check_mission("Find a 门.", "another") is None

    async def test_flies_and_tells_every_event_in_order(self, reach: Reach) -> None:
        rig = make_rig([FORWARD, FORWARD, DONE])
        rig.world.refusals[0] = Obstructed("a tree", distance_m=0.5)
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request())
            assert mission.state in (MissionState.PENDING, MissionState.RUNNING)
            events = [event async for event in agent.watch_mission(mission.mission_id)]
            assert [event.event_seq for event in events] == list(range(1, len(events) + 1))
            last = events[-1].happening
            assert isinstance(last, StateChanged)
            assert last.mission == await agent.get_mission(mission.mission_id)
            assert last.mission.state is MissionState.ACHIEVED
            assert last.mission.figures.decisions == 3
            assert last.mission.end_wall_ns is not None
            refusals = [e.happening for e in events if isinstance(e.happening, MotionRefused)]
            assert isinstance(refusals[0].error, Obstructed)
            assert refusals[0].error.metadata["distance_m"] == "0.5"
            finished = [e.happening for e in events if isinstance(e.happening, ActionFinished)]
            assert finished[-1].result == {"answer": "reached"}
            thoughts = [e.happening for e in events if isinstance(e.happening, ThinkingFinished)]
            assert thoughts[0].answer == FORWARD
            assert thoughts[0].last_frame_id
            assert any(isinstance(e.happening, KeyframeFiled) for e in events)

    async def test_a_log_is_resumed_after_any_event(self, reach: Reach) -> None:
        rig = make_rig([FORWARD, DONE])
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request())
            events = [event async for event in agent.watch_mission(mission.mission_id)]
            for after in (0, 3, len(events) - 1, len(events), len(events) + 5):
                rest = [event async for event in agent.watch_mission(mission.mission_id, after)]
                assert rest == events[after:]

    async def test_the_same_request_id_is_the_same_mission(self, reach: Reach) -> None:
        rig = make_rig([FORWARD] * 5)
        async with reach(rig) as agent:
            request = rig.request()
            first = await agent.start_mission(request)
            again = await agent.start_mission(request)
            assert again.mission_id == first.mission_id
            assert len((await agent.list_missions()).missions) == 1

    async def test_a_vehicle_flies_one_mission_at_a_time(self, reach: Reach) -> None:
        rig = make_rig()
        rig.engine.past_end = FORWARD
        async with reach(rig) as agent:
            first = await agent.start_mission(rig.request())
            with pytest.raises(VehicleBusy) as busy:
                await agent.start_mission(rig.request())
            assert busy.value.metadata["mission_id"] == first.mission_id
            cancelled = await agent.cancel_mission(first.mission_id)
            assert cancelled.state is MissionState.CANCELLED
            assert (await agent.cancel_mission(first.mission_id)).state is MissionState.CANCELLED
            await agent.start_mission(rig.request())

    async def test_a_failed_mission_says_why(self, reach: Reach) -> None:
        rig = make_rig()
        rig.engine.past_end = FORWARD
        rig.memory.fail = StoreUnavailable("the disk is full")
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request(params={"max_decisions": 8}))
            events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
            ended = await agent.get_mission(mission.mission_id)
            assert ended.error is not None
            assert ended.error.reason == "DECISIONS_USED_UP"
            assert any(isinstance(happening, FramesEvicted) for happening in events)
            lost = [happening for happening in events if isinstance(happening, KeyframeLost)]
            assert isinstance(lost[0].error, StoreUnavailable)

    async def test_pages_through_missions_newest_first(self, reach: Reach) -> None:
        rig = make_rig()
        async with reach(rig) as agent:
            ids = []
            for _ in range(3):
                mission = await agent.start_mission(rig.request())
                ids.append(mission.mission_id)
                _ = [event async for event in agent.watch_mission(mission.mission_id)]
            page = await agent.list_missions(2)
            assert [mission.mission_id for mission in page.missions] == ids[:0:-1]
            rest = await agent.list_missions(2, page.next_page_token)
            assert [mission.mission_id for mission in rest.missions] == ids[:1]
            assert rest.next_page_token == ""
            with pytest.raises(BadPageToken):
                await agent.list_missions(2, "mis_nobody")

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"goal": " "}, InvalidInput),
            ({"goal": "x" * 501}, TextTooLong),
            ({"request_id": ""}, InvalidInput),
            ({"vehicle_id": ""}, InvalidInput),
            ({"vehicle_id": "nobody"}, UnknownVehicle),
            ({"time_limit_s": 1e9}, InvalidInput),
            ({"params": {"speed": 3}}, BadParams),
            ({"params": {"max_decisions": 0}}, BadParams),
            ({"params": {"max_decisions": 1.5}}, BadParams),
            ({"params": {"temperature": "hot"}}, BadParams),
        ],
    )
    async def test_refuses_what_cannot_be_flown(
        self, reach: Reach, changes: dict[str, object], error: type[Exception]
    ) -> None:
        rig = make_rig()
        async with reach(rig) as agent:
            with pytest.raises(error):
                await agent.start_mission(rig.request(**changes))
            assert (await agent.list_missions()).missions == ()

    async def test_refuses_unknown_missions(self, reach: Reach) -> None:
        async with reach(make_rig()) as agent:
            with pytest.raises(UnknownMission):
                await agent.get_mission("mis_nobody")
            with pytest.raises(UnknownMission):
                await agent.cancel_mission("mis_nobody")
            with pytest.raises(UnknownMission):
                _ = [event async for event in agent.watch_mission("mis_nobody")]
