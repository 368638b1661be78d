"""python -m pytest tests/contract/agent/test_agent_conversations.py -v

A mission with a model that converses, in this process and over the wire: what the model is told is in the log, word for
word, and its tools do what they say. The model is a program that reads the conversation alone.
"""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from agent_fakes import FAST, Reach, Rig, make_rig
from fake_engine import CHATTY
from fake_world import call

from stillwing_agent.core.events import (
    ActionFinished,
    Briefed,
    NoCall,
    OperatorAnswered,
    OperatorAsked,
    QuestionAnswered,
    Reported,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.protocol import Agent
from stillwing_agent.core.types import InstructionRequest, Mission, MissionState, OperatorAnswer, Verification
from stillwing_bridge.core.commands import FlyTowards, Hold, Land, Step, Takeoff, Turn
from stillwing_common.errors import InvalidInput, MissionEnded, NoQuestionOpen, Obstructed, TextTooLong, UnknownMission
from stillwing_vlm.core.conversation import AssistantTurn, ToolTurn, UserTurn
from stillwing_vlm.core.requests import AskRequest, View

AHEAD = call("move_forward", distance_m=2)
OVER = call("final_answer", achieved=True, answer="there")


def chatty(script: list[str], **flight: Any) -> Rig:
    rig = make_rig(script, chat=CHATTY, flight=replace(FAST, **flight))
    rig.engine.past_end = OVER
    rig.engine.free_text = True
    return rig


async def flown(agent: Agent, rig: Rig, goal: str = "Fly to the red beacon.") -> tuple[Mission, list[Any]]:
    mission = await agent.start_mission(rig.request(goal=goal))
    events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
    return await agent.get_mission(mission.mission_id), events


def last_answer(request: AskRequest) -> str:
    """What the newest call came to, as the model reads it."""
    answers = [turn for turn in request.messages if isinstance(turn, ToolTurn)]
    return answers[-1].text if answers else ""


async def until(agent: Agent, mission_id: str, kind: type) -> None:
    async for event in agent.watch_mission(mission_id):
        if isinstance(event.happening, kind):
            return
    raise AssertionError(f"the mission ended before the {kind.__name__}")


def of(kind: type, events: list[Any]) -> list[Any]:
    return [one for one in events if isinstance(one, kind)]


class TestConversations:
    async def test_all_that_is_sent_is_in_the_log_word_for_word(self, reach: Reach) -> None:
        rig = chatty([f"A beacon.\n{AHEAD}", f"It is near.\n{AHEAD}"])
        async with reach(rig) as agent:
            mission, events = await flown(agent, rig)
        (briefed,) = of(Briefed, events)
        assert briefed.profile == "native" and briefed.tools == rig.engine.configs[0].tools
        assert briefed.system_text == rig.engine.configs[0].system_prompt
        *decisions, judging = of(ThinkingStarted, events)
        assert [one.messages for one in decisions] == [one.messages for one in rig.engine.asked]
        assert judging.prompt == rig.engine.choices[0].prompt and judging.messages == ()
        assert [one.thought for one in of(ThinkingFinished, events)] == ["A beacon.", "It is near.", "", ""]
        third = rig.engine.asked[2].messages
        assert isinstance(third[3], AssistantTurn)
        assert third[3].text == "A beacon." and third[3].tool_calls[0].values() == {"distance_m": 2}
        assert (mission.state, mission.answer) == (MissionState.ACHIEVED, "there")
        (judged,) = rig.engine.choices
        assert (judged.options, judged.view) == (("yes", "no"), View(recent_chunks=2))
        assert "The drone was told: Fly to the red beacon. Is that carried out now?" in judged.prompt
        assert mission.verification == Verification(judged.prompt, pytest.approx(0.9)) and mission.verification.holds
        assert rig.world.motions == [Step(forward_m=2), Step(forward_m=2)] and rig.world.violations == []

    async def test_a_mission_that_cannot_be_done_ends_as_not_achieved(self, reach: Reach) -> None:
        rig = chatty([call("final_answer", achieved=False, answer="there is no beacon")])
        async with reach(rig) as agent:
            mission, _ = await flown(agent, rig)
        assert (mission.state, mission.answer, mission.error) == (
            MissionState.NOT_ACHIEVED,
            "there is no beacon",
            None,
        )
        assert mission.verification is None and rig.engine.choices == []

    async def test_a_claim_stands_where_nobody_can_be_asked(self, reach: Reach) -> None:
        rig = chatty([], answer_timeout_s=0.2)

        def mind(request: AskRequest) -> str:
            rig.engine.think_s = 100.0  # longer than is waited for
            return OVER

        rig.engine.mind = mind
        async with reach(rig) as agent:
            mission, _ = await flown(agent, rig)
        assert (mission.state, mission.answer, mission.verification) == (MissionState.ACHIEVED, "there", None)

    async def test_a_refusal_is_told_with_its_limit_and_takes_nothing_away(self, reach: Reach) -> None:
        rig = chatty([])
        rig.world.refusals[0] = Obstructed("free for 0.8 m of 2.0 m", distance_m="0.80")

        def mind(request: AskRequest) -> str:
            said = last_answer(request)
            if said.startswith("Refused, OBSTRUCTED"):
                assert "free for 0.8 m" in said
                return f"A wall.\n{call('move_aside', direction='left', distance_m=1)}"
            return OVER if len(request.messages) > 6 else AHEAD

        rig.engine.mind = mind
        async with reach(rig) as agent:
            mission, _ = await flown(agent, rig)
        assert mission.state is MissionState.ACHIEVED and mission.figures.refusals == 1
        assert rig.world.motions == [Step(forward_m=2), Step(right_m=-1)]
        assert {str(one.answer_format) for one in rig.engine.asked} == {str(rig.engine.asked[0].answer_format)}

    async def test_it_lands_and_takes_off_again(self, reach: Reach) -> None:
        rig = chatty([call("land"), call("takeoff", altitude_m=3)])
        async with reach(rig) as agent:
            mission, _ = await flown(agent, rig)
        landed, up = rig.engine.asked[1].messages[-1], rig.engine.asked[2].messages[-1]
        assert landed.text.startswith("You stand on the ground") and up.text.startswith("3.0 m above home")
        assert [type(one) for one in rig.world.commands if not isinstance(one, Hold)] == [Takeoff, Land, Takeoff]
        assert mission.state is MissionState.ACHIEVED and rig.world.violations == []

    async def test_points_speeds_and_notes(self, reach: Reach) -> None:
        rig = chatty(
            [
                call("point_and_fly", x=161, y=273, distance_m=4, speed_m_s=2),
                call("point_and_fly", x=800, y=1, distance_m=4),
                call("note", text="The van is north."),
                call("report", text="I see a van."),
                call("move_forward", distance_m=50),
            ]
        )
        async with reach(rig) as agent:
            _, events = await flown(agent, rig)
        assert rig.world.motions == [FlyTowards(0.25, 0.75, 4, 2)]
        errors = [one.error for one in of(ActionFinished, events) if one.error is not None]
        assert "644 wide and 364 high" in str(errors[0]) and "a number from 0.1 to 10" in str(errors[1])
        assert of(Reported, events) == [Reported("I see a van.")]
        last = rig.engine.asked[-1].messages
        assert isinstance(last[0], UserTurn) and last[0].text.endswith("Your notes:\n- The van is north.")
        assert not any(isinstance(one, ToolTurn) and one.name == "note" for one in last)

    async def test_a_look_around_brings_back_headings_and_what_was_seen(self, reach: Reach) -> None:
        rig = chatty([call("look_around", question="Is there a van?"), "grass", "a van", "trees", "a wall", "a road"])
        async with reach(rig) as agent:
            await flown(agent, rig)
        assert last_answer(rig.engine.asked[-1]) == (
            "Heading 0: grass\nHeading 72: a van\nHeading 144: trees\nHeading 216: a wall\nHeading 288: a road"
        )
        assert rig.world.motions == [Turn(72)] * 5
        assert "You have turned 360 degrees" in rig.engine.asked[-1].messages[-1].text

    async def test_what_is_recalled_is_what_was_said_to_be_seen(self, reach: Reach) -> None:
        script = [
            f"A white van.\n{AHEAD}",
            f"Trees.\n{AHEAD}",
            call("recall", query="van"),
            call("hover", duration_s=0.1),
        ]
        rig = chatty(script)
        async with reach(rig) as agent:
            await flown(agent, rig)
        assert [kept.caption for kept in rig.memory.kept[:2]] == ["A white van.", "Trees."]
        answers = [turn.text for turn in rig.engine.asked[-1].messages if isinstance(turn, ToolTurn)]
        assert "Seen before:\n- A white van.\n- Trees." in answers

    async def test_it_flies_home_in_legs(self, reach: Reach) -> None:
        out = [call("turn", direction="right", angle_deg=90), call("move_forward", distance_m=10), call("land")]
        rig = chatty([*out[:2], out[1], call("return_home")])
        async with reach(rig) as agent:
            await flown(agent, rig)
        assert rig.world.motions[3:] == [Turn(pytest.approx(-180)), Step(forward_m=10), Step(forward_m=10)]
        assert last_answer(rig.engine.asked[-1]) == "Done: home is 0.0 m away."
        assert "home is 20.0 m away, 180 degrees" in rig.engine.asked[3].messages[-1].text

    async def test_an_answer_that_is_no_call_is_told_once_and_counted(self, reach: Reach) -> None:
        rig = chatty(["I think I will", AHEAD, "hm", "hm again", AHEAD])
        async with reach(rig) as agent:
            mission, events = await flown(agent, rig)
        assert of(NoCall, events) == [NoCall("I think I will"), NoCall("hm"), NoCall("hm again")]
        assert "no tool call, or was cut off: 'I think I will'" in rig.engine.asked[1].messages[-1].text
        assert (mission.figures.no_calls, mission.figures.decisions, len(rig.world.motions)) == (3, 6, 2)

    async def test_the_operator_is_asked_and_the_vehicle_waits_holding(self, reach: Reach) -> None:
        rig = chatty([call("ask_operator", question="Which of the two?"), AHEAD])
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request())
            with pytest.raises(NoQuestionOpen):
                await agent.answer_mission(OperatorAnswer("early", mission.mission_id, "The left one."))
            await until(agent, mission.mission_id, OperatorAsked)
            waiting = await agent.get_mission(mission.mission_id)
            assert waiting.operator_question == "Which of the two?"
            await asyncio.sleep(0.1)
            assert rig.world.motions == [] and isinstance(rig.world.commands[-1], Hold)
            answer = OperatorAnswer("once", mission.mission_id, "The left one.")
            assert (await agent.answer_mission(answer)).operator_question == ""
            await agent.answer_mission(answer)
            events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
            ended = await agent.get_mission(mission.mission_id)
        assert of(OperatorAnswered, events) == [OperatorAnswered("The left one.")]
        assert last_answer(rig.engine.asked[1]) == "The left one."
        assert rig.engine.asked[1].messages[0].text == "Instruction: Fly to the red beacon."
        assert (ended.state, ended.goal, ended.instruction_number) == (
            MissionState.ACHIEVED,
            "Fly to the red beacon.",
            1,
        )

    async def test_an_operator_who_never_answers_is_told_and_ends_it_the_second_time(self, reach: Reach) -> None:
        asks = call("ask_operator", question="Which?")
        rig = chatty([asks, asks], operator_wait_s=0.1)
        async with reach(rig) as agent:
            mission, _ = await flown(agent, rig)
        assert last_answer(rig.engine.asked[1]).startswith("Refused, OPERATOR_SILENT")
        assert mission.state is MissionState.FAILED and mission.error is not None
        assert mission.error.reason == "OPERATOR_SILENT" and rig.world.returned == 1
        assert rig.world.motions == [] and mission.operator_question == ""

    async def test_an_instruction_takes_the_place_of_an_answer(self, reach: Reach) -> None:
        rig = chatty([call("ask_operator", question="Which?")])
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request())
            await until(agent, mission.mission_id, OperatorAsked)
            await agent.instruct_mission(InstructionRequest("req", mission.mission_id, "Fly to the van."))
            _ = [event async for event in agent.watch_mission(mission.mission_id)]
            ended = await agent.get_mission(mission.mission_id)
        assert (ended.state, ended.instruction) == (MissionState.ACHIEVED, "Fly to the van.")
        first = rig.engine.asked[-1].messages[0].text
        assert first.startswith("Instruction: Fly to the van.")

    @pytest.mark.parametrize("converses", [True, False])
    async def test_a_question_in_flight_is_answered_and_changes_nothing(self, reach: Reach, converses: bool) -> None:
        rig = chatty([]) if converses else make_rig()
        asked: list[AskRequest] = []

        def mind(request: AskRequest) -> str:
            if "What do you see there?" in request.prompt + "".join(turn.text for turn in request.messages[:1]):
                asked.append(request)
                return "A beacon."
            if not asked:
                return AHEAD if converses else call("move", direction="forward", distance_m=2)
            return OVER if converses else call("final_answer", answer="there")

        rig.engine.mind, rig.engine.free_text = mind, True
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request())
            assert await agent.ask_mission(mission.mission_id, "What do you see there?") == "A beacon."
            events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
            ended = await agent.get_mission(mission.mission_id)
            with pytest.raises(MissionEnded):
                await agent.ask_mission(mission.mission_id, "And now?")
            for unfit, error in (("", InvalidInput), ("x" * 501, TextTooLong)):
                with pytest.raises(error):
                    await agent.ask_mission(mission.mission_id, unfit)
            with pytest.raises(UnknownMission):
                await agent.ask_mission("mis_nobody", "What?")
        assert of(QuestionAnswered, events) == [QuestionAnswered("What do you see there?", "A beacon.")]
        assert len(asked) == 1 and (ended.state, ended.instruction) == (MissionState.ACHIEVED, ended.goal)
        assert rig.world.violations == []
        if converses:
            told = "".join(turn.text for turn in rig.engine.asked[-1].messages)
            assert "The operator asked: What do you see there? You said: A beacon." in told

    async def test_a_param_overrules_how_the_model_is_spoken_to(self, reach: Reach) -> None:
        rig = chatty([call("final_answer", answer="reached")])
        async with reach(rig) as agent:
            mission = await agent.start_mission(rig.request(params={"prompt_profile": "compact"}))
            events = [event.happening async for event in agent.watch_mission(mission.mission_id)]
        assert of(Briefed, events)[0].profile == "compact" and rig.engine.asked[0].messages == ()
