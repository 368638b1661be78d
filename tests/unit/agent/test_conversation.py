"""python -m pytest tests/unit/agent/test_conversation.py -v

What a pretrained model is told of its mission: the log read, worded and folded. Texts are written down by hand.
"""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Happening,
    Instructed,
    NoCall,
    QuestionAnswered,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.prompting.base import Action, Entry, Moment, ProfileName, Told, VehicleState
from stillwing_agent.core.prompting.choosing import chosen
from stillwing_agent.core.prompting.compact import CompactProfile
from stillwing_agent.core.prompting.conversation import Room, conversation, tokens
from stillwing_agent.core.prompting.history import history
from stillwing_agent.core.prompting.native import NativeProfile, advice
from stillwing_agent.core.prompting.native_tools import ToolLimits, native_tools
from stillwing_agent.core.prompting.prompts import TOOLS, decision_prompt, system_prompt, tool_call_schema
from stillwing_agent.core.tools.calls import point_command
from stillwing_bridge.core.commands import FlyTowards
from stillwing_bridge.core.types import Limits
from stillwing_common.errors import InvalidInput, ModelNotUsable, WayUnseen
from stillwing_vlm.core.chat_format import ChatFormat, Pointing
from stillwing_vlm.core.conversation import AssistantTurn, ToolCall, ToolCallFormat, ToolTurn, UserTurn, check_turns

ROOM = Room(2000, 256)
NATIVE = NativeProfile(ToolLimits(Limits(), Pointing.RESIZED_PIXELS), ROOM, 32)
FORWARD = {"distance_m": 2}
VEHICLE = VehicleState(2.04, 350.0, 5.0, 80.0, 7.5, True, 0.83)


def thought(words: str) -> Happening:
    return ThinkingFinished("thk_1", f"{words}\n…", 0.1, "f2", "f1", 90, words)


LOG: list[Happening] = [
    ActionStarted("act_0", "takeoff", {"altitude_m": 2.0}),
    ActionFinished("act_0", {"state": "succeeded"}),
    ThinkingStarted("thk_1", "…"),
    thought("A red beacon stands ahead."),
    ActionStarted("act_1", "move_forward", FORWARD),
    ActionFinished("act_1", {"state": "succeeded"}),
    thought("The beacon is to the left."),
    ActionStarted("act_2", "move_aside", {"direction": "left", "distance_m": 2}),
    ActionFinished("act_2", error=WayUnseen("2.0 m at 3.0 m/s, at most 2 m at 1 m/s", max_speed_m_s=1.0)),
    ActionStarted("act_3", "note", {"text": "The van stands north of the beacon."}),
    ActionFinished("act_3", {"state": "noted down"}),
    Instructed(2, "Now fly to the van."),
    ActionStarted("act_4", "look", {"question": "Is there a van?"}),
    thought(""),
    ActionFinished("act_4", {"answer": "Yes, a white one.", "frame_id": "f3"}),
    NoCall("hm"),
    QuestionAnswered("What is there?", "A van."),
    ActionStarted("act_5", "hover", {"duration_s": 1}),
]


def test_a_log_is_read_as_calls_words_and_notes() -> None:
    told = history(LOG)
    assert told.notes == ("The van stands north of the beacon.",)
    assert told.entries == (
        Action("takeoff", {"altitude_m": 2.0}, "Done."),
        Action("move_forward", FORWARD, "Done.", "A red beacon stands ahead."),
        Action(
            "move_aside",
            {"direction": "left", "distance_m": 2},
            "Refused, WAY_UNSEEN: No camera sees the way; turn towards it, or fly shorter and slower: "
            "2.0 m at 3.0 m/s, at most 2 m at 1 m/s (max_speed_m_s 1.0)",
            "The beacon is to the left.",
            refused=True,
        ),
        Told("The operator gave you another instruction: Now fly to the van."),
        Action("look", {"question": "Is there a van?"}, "Yes, a white one."),
        Told("Your answer was no tool call, or was cut off: 'hm'. Answer with one whole call."),
        Told("The operator asked: What is there? You said: A van. The instruction stays as it is."),
    )


def test_a_decision_as_a_pretrained_model_reads_it() -> None:
    told = history(LOG[:9] + LOG[9:11])
    moment = Moment(
        "Fly to the red beacon.",
        NATIVE.tools,
        entries=told.entries,
        notes=told.notes,
        vehicle=VEHICLE,
        sight_s=14.2,
        picture_px=(644, 364),
        decisions_left=197,
        time_left_s=250.9,
    )
    question = NATIVE.decision(moment)
    assert question.answer_format == ToolCallFormat(max_thought_tokens=32)
    assert question.messages == (
        UserTurn("Instruction: Fly to the red beacon.\nYour notes:\n- The van stands north of the beacon."),
        AssistantTurn("", (ToolCall("takeoff", '{"altitude_m": 2.0}'),)),
        ToolTurn("Done.", "takeoff"),
        AssistantTurn("A red beacon stands ahead.", (ToolCall("move_forward", '{"distance_m": 2}'),)),
        ToolTurn("Done.", "move_forward"),
        AssistantTurn(
            "The beacon is to the left.", (ToolCall("move_aside", '{"direction": "left", "distance_m": 2}'),)
        ),
        ToolTurn(
            "Refused, WAY_UNSEEN: No camera sees the way; turn towards it, or fly shorter and slower: "
            "2.0 m at 3.0 m/s, at most 2 m at 1 m/s (max_speed_m_s 1.0)",
            "move_aside",
        ),
        UserTurn(
            "2.0 m above home, heading 350 (north), 7.5 m flown, home is 5.0 m away, 90 degrees to the right, "
            "battery 83%.\n"
            "The newest picture is 644 wide and 364 high. The pictures in sight reach 14 s back.\n"
            "197 decisions and 4 min 10 s are left.\n"
            "What do you see, and what do you do next?"
        ),
    )
    assert question.words == question.messages[-1].text


def test_the_first_decision_is_one_turn() -> None:
    question = NATIVE.decision(Moment("飞到红色信标。", NATIVE.tools, decisions_left=9, time_left_s=59))
    assert question.messages == (
        UserTurn(
            "Instruction: 飞到红色信标。\n\n9 decisions and 0 min 59 s are left.\n"
            "What do you see, and what do you do next?"
        ),
    )


def test_what_there_is_no_room_for_is_folded_oldest_first() -> None:
    entries: list[Entry] = [
        Action("turn", {"direction": "left", "angle_deg": 30}, "Done.", f"Trees, {number}.", refused=number == 1)
        for number in range(9)
    ]
    entries.insert(3, Told("The operator gave you another instruction: Land."))
    turns = conversation("Land.", entries, (), "Now?", Room(340, 256))
    first = turns[0]
    assert isinstance(first, UserTurn)
    assert first.text == (
        "Instruction: Land.\n"
        "6 earlier actions: turn 6 times, 1 of them refused.\n"
        "Of that time:\n"
        "- Trees, 0.\n- Trees, 1.\n- Trees, 2.\n"
        "- The operator gave you another instruction: Land.\n"
        "- Trees, 3.\n- Trees, 4.\n- Trees, 5."
    )
    assert [turn.text for turn in turns[1:]] == [
        "Trees, 6.",
        "Done.",
        "Trees, 7.",
        "Done.",
        "Trees, 8.",
        "Done.",
        "Now?",
    ]


def test_what_came_of_the_newest_call_is_told_however_long() -> None:
    entries: list[Entry] = [
        Action("turn", {"direction": "left"}, "Done.", "Trees."),
        Action("look", {"question": "What is there?"}, "A van. " * 300, "A van, perhaps."),
    ]
    turns = conversation("Land.", entries, (), "Now?", Room(120, 256))
    answer = next(turn for turn in turns if isinstance(turn, ToolTurn))
    assert answer.text.startswith("A van. A van.") and answer.text.endswith(" …")
    assert turns[0].text.startswith("Instruction: Land.\n1 earlier actions: turn once.")


def test_the_newest_note_is_told_however_long() -> None:
    turns = conversation("Land.", [], ("Trees.", "这里有一辆白色的面包车。" * 30), "Now?", Room(200, 256))
    (note,) = [line for line in turns[0].text.split("\n") if line.startswith("- ")]
    assert note.startswith("- 这里有一辆白色的面包车。") and note.endswith(" …")


_ENTRIES = st.lists(
    st.one_of(
        st.builds(
            Action,
            st.sampled_from(["move_forward", "look", "turn"]),
            st.dictionaries(st.text("abcé", min_size=1, max_size=4), st.text(max_size=30), max_size=2),
            st.text(max_size=200),
            st.text(max_size=60),
            st.booleans(),
        ),
        st.builds(Told, st.text(min_size=1, max_size=80)),
    ),
    max_size=60,
)


@given(_ENTRIES, st.lists(st.text(max_size=90), max_size=20), st.integers(60, 900), st.integers(4, 40))
def test_a_conversation_fits_its_room_and_can_be_asked(
    entries: list[Entry], notes: list[str], room_tokens: int, messages: int
) -> None:
    turns = conversation("Go.", entries, notes, "Now?", Room(room_tokens, messages))
    check_turns(turns)
    assert len(turns) <= messages
    assert turns[-1].text.endswith("Now?")
    texts = [turn.text for turn in turns]
    texts += [call.arguments for turn in turns if isinstance(turn, AssistantTurn) for call in turn.tool_calls]
    assert sum(map(tokens, texts)) <= room_tokens + 60


def test_each_tool_has_a_sentence_for_itself_and_for_each_argument() -> None:
    for tool in NATIVE.briefing().tools:
        assert tool.description.endswith(".")
        for argument in tool.schema()["properties"].values():
            assert argument["description"].endswith(".")


def test_ranges_are_the_bridges() -> None:
    limits = Limits(max_step_m=7.0, max_unseen_step_m=1.5, max_speed_m_s=2.0, max_unseen_speed_m_s=0.7)
    tools = {tool.name: tool.arguments for tool in native_tools(ToolLimits(limits))}

    def most(tool: str, argument: str) -> float:
        return float(tools[tool][argument]["maximum"])

    assert most("move_forward", "distance_m") == most("point_and_fly", "distance_m") == 7.0
    assert most("move_aside", "distance_m") == most("climb", "height_m") == 1.5
    assert (most("move_forward", "speed_m_s"), most("move_aside", "speed_m_s")) == (2.0, 0.7)
    assert (most("takeoff", "altitude_m"), most("point_and_fly", "x")) == (30.0, 1000)
    assert "recall" in tools
    unseen = native_tools(ToolLimits(Limits(max_unseen_step_m=0.0), has_memory=False))
    assert {"move_aside", "recall", "climb"}.isdisjoint(tool.name for tool in unseen)


@pytest.mark.parametrize(
    ("pointing", "picture_px", "wanted"),
    [
        (Pointing.RESIZED_PIXELS, (644, 364), FlyTowards(0.5, 0.25, 3, 2)),
        (Pointing.THOUSANDTHS, (644, 364), FlyTowards(0.322, 0.091, 3, 2)),
        (None, None, FlyTowards(0.322, 0.091, 3, 2)),
    ],
)
def test_points_are_in_the_figures_of_the_family(
    pointing: Pointing | None, picture_px: tuple[int, int] | None, wanted: FlyTowards
) -> None:
    arguments = {"x": 322, "y": 91, "distance_m": 3, "speed_m_s": 2}
    assert point_command(arguments, pointing, picture_px) == wanted


def test_a_point_outside_the_picture_is_refused_with_its_size() -> None:
    with pytest.raises(InvalidInput, match="700, 9 is outside the picture, which is 644 wide and 364 high"):
        point_command({"x": 700, "y": 9, "distance_m": 1}, Pointing.RESIZED_PIXELS, (644, 364))


def test_circling_and_repeating_are_advised_against_in_words() -> None:
    turn = Action("turn", {"direction": "left", "angle_deg": 120}, "Done.")
    ahead = Action("move_forward", FORWARD, "Refused, OBSTRUCTED: …", refused=True)
    assert advice([turn, turn]) == []
    assert advice([turn, Action("move_forward", FORWARD, "Done."), turn, turn]) == []
    assert advice([turn, ahead, turn, turn])[0].startswith("You have turned 360 degrees since you last moved")
    assert advice([Action("look_around", {"question": "?"}, "…")])[0].startswith("You have turned 360")
    assert advice([ahead, ahead]) == ["You were refused the same call before: it will be refused again from here."]


def test_the_compact_profile_says_what_the_pilot_was_trained_on() -> None:
    profile = CompactProfile()
    assert profile.briefing().system_prompt == system_prompt(TOOLS) and profile.briefing().tools == ()
    question = profile.decision(Moment("Fly on.", TOOLS[:2], "OBSTRUCTED"))
    assert (question.prompt, question.words) == (decision_prompt("Fly on.", "OBSTRUCTED"),) * 2
    assert question.json_schema == tool_call_schema(TOOLS[:2]) and question.messages == ()
    assert profile.in_words("Where?").prompt == "Where?"


CHATTY = ChatFormat(template="chat_template.jinja")


@pytest.mark.parametrize(
    ("wanted", "chat", "name"),
    [
        ("auto", CHATTY, "native"),
        ("auto", ChatFormat(), "compact"),
        ("auto", ChatFormat(template="x", training_range='{"prompt_profile": "compact"}'), "compact"),
        ("auto", ChatFormat(template="x", training_range='{"things": ["van"]}'), "native"),
        ("auto", ChatFormat(template="x", training_range='{"prompt_profile": 7}'), "native"),
        ("compact", CHATTY, "compact"),
        ("native", ChatFormat(template="x", training_range='{"prompt_profile": "compact"}'), "native"),
    ],
)
def test_the_profile_is_chosen_by_what_is_known_of_the_model(wanted: str, chat: ChatFormat, name: str) -> None:
    assert chosen(ProfileName(wanted), chat) is ProfileName(name)


def test_native_prompts_need_a_template() -> None:
    with pytest.raises(ModelNotUsable, match="has none"):
        chosen(ProfileName.NATIVE, ChatFormat(problem="the directory has none"))


def test_calls_of_the_log_are_whole_json() -> None:
    turns = NATIVE.decision(Moment("Go.", NATIVE.tools, entries=history(LOG).entries)).messages
    calls = [call for turn in turns if isinstance(turn, AssistantTurn) for call in turn.tool_calls]
    assert [json.loads(call.arguments) for call in calls][1] == FORWARD
