"""python -m pytest tests/contract/agent/test_agent_instructions.py -v

Further instructions for a mission under way, given in this process and over the wire.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from agent_fakes import FAST, Reach, Rig, make_rig
from fake_world import DONE, FORWARD

from stillwing_agent.core.events import ActionFinished, Instructed, ThinkingStarted
from stillwing_agent.core.mission_record import MAX_WAITING
from stillwing_agent.core.protocol import Agent
from stillwing_agent.core.types import InstructionRequest, MissionState, When
from stillwing_bridge.core.commands import Hold
from stillwing_common.errors import InvalidInput, MissionEnded, QueueFull, TextTooLong, UnknownMission

FIRST, SECOND, THIRD = "Fly to the red beacon.", "Now fly to the van.", "Go back to the beacon."


def told(mission_id: str, text: str, when: When = When.NOW, request_id: str = "") -> InstructionRequest:
    return InstructionRequest(request_id or f"req {text} {when}", mission_id, text, when)


async def happened(agent: Agent, mission_id: str) -> list[Any]:
    return [event.happening async for event in agent.watch_mission(mission_id)]


async def until(agent: Agent, mission_id: str, kind: type, count: int = 1) -> None:
    """Wait for the so-manieth event of a kind."""
    async for event in agent.watch_mission(mission_id):
        count -= isinstance(event.happening, kind)
        if not count:
            return
    raise AssertionError(f"the mission ended before the {kind.__name__}")


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def prompts(events: list[Any]) -> list[str]:
    """The instruction that each decision followed."""
    return [one.prompt.split(".")[0] + "." for one in events if isinstance(one, ThinkingStarted)]


def under_way(implementation: str = "tool_calling", **flight: Any) -> Rig:
    rig = make_rig(implementation=implementation, flight=replace(FAST, **flight))
    rig.engine.past_end = FORWARD if implementation == "tool_calling" else "forward"
    return rig


def ends_well(rig: Rig, implementation: str = "tool_calling") -> None:
    rig.engine.past_end = DONE if implementation == "tool_calling" else "stop"


class TestInstructions:
    @pytest.mark.parametrize("implementation", ["tool_calling", "choice"])
    async def test_an_instruction_for_now_breaks_motion_off_and_is_followed(
        self, reach: Reach, implementation: str
    ) -> None:
        rig = under_way(implementation, motion_ttl_s=120.0)
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request(goal=FIRST))
            await until(agent, mission.mission_id, ActionFinished, 3)
            rig.world.motion_s = 100.0  # what is flown now would take longer than any test
            flown = len(rig.world.motions)
            await eventually(lambda: len(rig.world.motions) > flown)
            taken = await agent.instruct_mission(told(mission.mission_id, SECOND))
            assert (taken.instruction, taken.waiting_instructions) == (FIRST, (SECOND,))
            rig.world.motion_s = 0.01
            ends_well(rig, implementation)
            events = await happened(agent, mission.mission_id)
            ended = await agent.get_mission(mission.mission_id)
        assert ended.state is MissionState.ACHIEVED
        assert (ended.instruction, ended.instruction_number, ended.waiting_instructions) == (SECOND, 2, ())
        turn = events.index(Instructed(2, SECOND))
        assert set(prompts(events[:turn])) == {FIRST}
        assert set(prompts(events[turn:])) == {SECOND}
        finished = [one for one in events[:turn] if isinstance(one, ActionFinished)]
        assert finished[-1].result == {"state": "broken off"}
        assert rig.world.violations == []

    async def test_the_answer_to_the_old_instruction_is_not_flown(self, reach: Reach) -> None:
        rig = under_way()
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request(goal=FIRST))
            await until(agent, mission.mission_id, ActionFinished, 2)
            rig.engine.think_s = 0.5
            thought = len(rig.engine.asked)
            await eventually(lambda: len(rig.engine.asked) >= thought + 2)
            flown = len(rig.world.motions)
            await agent.instruct_mission(told(mission.mission_id, SECOND))
            await until(agent, mission.mission_id, Instructed)
            assert len(rig.world.motions) == flown
            assert isinstance(rig.world.commands[-1], Hold)
            ends_well(rig)
            await happened(agent, mission.mission_id)
        assert len(rig.world.motions) == flown
        assert rig.world.violations == []

    async def test_instructions_that_wait_are_followed_one_after_the_other(self, reach: Reach) -> None:
        rig = make_rig([FORWARD, FORWARD, DONE, FORWARD, DONE, DONE])
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request(goal=FIRST))
            await agent.instruct_mission(told(mission.mission_id, SECOND, When.THEN))
            waiting = await agent.instruct_mission(told(mission.mission_id, THIRD, When.THEN))
            assert waiting.waiting_instructions == (SECOND, THIRD)
            events = await happened(agent, mission.mission_id)
            ended = await agent.get_mission(mission.mission_id)
        assert prompts(events) == [FIRST] * 3 + [SECOND] * 2 + [THIRD]
        assert [one for one in events if isinstance(one, Instructed)] == [Instructed(2, SECOND), Instructed(3, THIRD)]
        assert (ended.state, ended.figures.decisions) == (MissionState.ACHIEVED, 6)
        assert rig.world.violations == []

    async def test_now_takes_the_place_of_what_waits_and_the_same_request_counts_once(self, reach: Reach) -> None:
        rig = under_way()
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request(goal=FIRST))
            await agent.instruct_mission(told(mission.mission_id, THIRD, When.THEN))
            for _ in range(3):
                await agent.instruct_mission(told(mission.mission_id, SECOND, request_id="the same"))
            ends_well(rig)
            events = await happened(agent, mission.mission_id)
        assert [one for one in events if isinstance(one, Instructed)] == [Instructed(2, SECOND)]

    async def test_what_cannot_be_is_refused(self, reach: Reach) -> None:
        rig = under_way()
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request(goal=FIRST))
            with pytest.raises(UnknownMission):
                await agent.instruct_mission(told("mis_nobody", SECOND))
            for wrong in (" ", ""):
                with pytest.raises(InvalidInput, match="empty"):
                    await agent.instruct_mission(told(mission.mission_id, wrong))
            with pytest.raises(TextTooLong):
                await agent.instruct_mission(told(mission.mission_id, "x" * 501))
            for number in range(MAX_WAITING):
                await agent.instruct_mission(told(mission.mission_id, f"Fly on {number}.", When.THEN))
            with pytest.raises(QueueFull):
                await agent.instruct_mission(told(mission.mission_id, THIRD, When.THEN))
            await agent.cancel_mission(mission.mission_id)
            with pytest.raises(MissionEnded):
                await agent.instruct_mission(told(mission.mission_id, SECOND))
