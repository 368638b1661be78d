"""python -m pytest tests/unit/lab/test_offline.py -v

A model decides over recordings through the real engine, and is compared with what was flown.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PilImage
from recording_values import VEHICLE, flight_log, frame_update, mission_events
from typer.testing import CliRunner

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Happening,
    MissionEvent,
    MotionRefused,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.prompting.prompts import CHOICES, decision_prompt, system_prompt, tool_call_schema
from stillwing_agent.core.tools.calls import to_command
from stillwing_bridge.core import events
from stillwing_bridge.core.commands import (
    Command,
    FlyTowards,
    GoTo,
    Hold,
    SetVelocity,
    Step,
    Takeoff,
    Turn,
    is_motion,
    kind_of,
)
from stillwing_cli.main import app
from stillwing_common.errors import InvalidInput, Obstructed, UnknownBackend
from stillwing_common.types import PositionNed, Stamp
from stillwing_lab.frame_rate import FrameRate
from stillwing_lab.offline import run
from stillwing_lab.offline.asking import asker_of
from stillwing_lab.offline.decide import Decision, Pace, decide
from stillwing_lab.offline.flown import Flown, read_flown
from stillwing_lab.offline.manoeuvres import of_call, of_command
from stillwing_lab.offline.report import UNREADABLE, agreement_of, draw_timeline
from stillwing_recording.opening import open_recording
from stillwing_recording.writer import FlightWriter
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.results import Provenance

GOAL = "Fly to the red beacon."
FRAMES = 24
SECOND_NS = 1_000_000_000


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine.load()


def fly(engine: LocalEngine, path: Path) -> list[str]:
    """A recording of a mission that the engine itself decided, at every third frame; every fourth answer refused.

    It began with the second frame; the first was recorded before.
    """
    session = engine.open(system_prompt())
    writer = FlightWriter(path, VEHICLE, 0, {"goal": GOAL})
    happenings: list[tuple[int, Happening]] = []
    answers, reason = [], None
    for number in range(1, FRAMES + 1):
        update = frame_update(number)
        writer.frame(update, number * SECOND_NS)
        if number == 1:
            continue
        session.append(update.frame)
        if number % 3:
            continue
        prompt = decision_prompt(GOAL, reason)
        done = session.ask(prompt, json_schema=tool_call_schema(), max_tokens=256)
        call, frame_id = json.loads(done.text), update.frame.frame_id
        answers.append(of_call(call["name"], call["arguments"]))
        refused = not len(answers) % 4
        reason = "OBSTRUCTED" if refused else None
        seen = done.provenance
        for happening in (
            ThinkingStarted(f"thk_{number}", prompt),
            ThinkingFinished(f"thk_{number}", done.text, 0.1, frame_id, seen.oldest_frame_id, 9),
            ActionStarted(f"act_{number}", call["name"], call["arguments"]),
            *([MotionRefused(f"act_{number}", Obstructed("0.8 m"))] if refused else []),
        ):
            happenings.append((number * SECOND_NS + 1, happening))
            writer.mission_event(MissionEvent(len(happenings), 0, happening), number * SECOND_NS + 1)
    writer.close()
    return answers


def test_a_model_agrees_with_its_own_flight(engine: LocalEngine, tmp_path: Path) -> None:
    answers = fly(engine, tmp_path / "flight.mcap")
    folder = run.main(tmp_path / "flight.mcap", out=tmp_path / "out", pace=Pace(5, None))
    report = json.loads((folder / "report.json").read_text())
    found = report["agreement"]
    assert (found["compared"], found["agreed"]["value"], found["exact"], found["refused"]) == (8, 1.0, 8, 2)
    assert report["flown_source"] == "mission"
    # Five frames apart from the mission's first on, and where it was flown.
    numbers = {int(each["frame_id"].split("/")[-1]) for each in report["decisions"]}
    assert numbers == {2, 7, 12, 17, 22} | {3, 6, 9, 12, 15, 18, 21, 24}
    assert (report["frames"], report["frames_appended"]) == (FRAMES, FRAMES - 1)
    flown = [each for each in report["decisions"] if each["flown"]]
    assert [each["manoeuvre"] for each in flown] == answers
    assert flown[4]["prompt"] == decision_prompt(GOAL, "OBSTRUCTED")
    lines = (folder / run.DECISIONS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == report["decisions"]
    page = (folder / "report.html").read_text()
    assert page.count('class="card agrees"') == 8 and "100%" in page
    for each in report["decisions"]:
        assert f"frames/{each['number']:06}.jpg" in page
        number = int(each["frame_id"].split("/")[-1])
        assert (folder / f"frames/{each['number']:06}.jpg").read_bytes() == frame_update(number).frame.image.data
    with PilImage.open(folder / "timeline.png") as plot:
        assert plot.size[0] > 800


def test_another_goal_is_asked_for_in_its_own_words(engine: LocalEngine, tmp_path: Path) -> None:
    fly(engine, tmp_path / "flight.mcap")
    recording = open_recording(tmp_path / "flight.mcap")
    flown = read_flown(recording).by_frame()
    for agent_name, tail in (("tool_calling", "Next action?"), ("choice", "Which way?")):
        asker = asker_of(agent_name, "Fly to the blue beacon.", "")
        steps = decide(engine, recording, asker, flown, Pace(50, None))
        prompts = {step.decision.prompt for step in steps if step.decision is not None}
        assert prompts == {f"Fly to the blue beacon. {tail}"}


def test_a_choice_names_a_manoeuvre_and_its_probability(engine: LocalEngine, tmp_path: Path) -> None:
    fly(engine, tmp_path / "flight.mcap")
    steps = decide(engine, open_recording(tmp_path / "flight.mcap"), asker_of("choice", GOAL, ""), {}, Pace(8, None))
    decisions = [step.decision for step in steps if step.decision is not None]
    assert len(decisions) == 3
    for each in decisions:
        assert max(each.probabilities, key=lambda name: each.probabilities[name]) == each.answer
        assert sum(each.probabilities.values()) == pytest.approx(1, abs=1e-4)
        assert each.manoeuvre == of_call(CHOICES[each.answer]["name"], CHOICES[each.answer]["arguments"])


def test_a_bad_picture_alone_is_passed_over_and_told(engine: LocalEngine, tmp_path: Path) -> None:
    writer = FlightWriter(tmp_path / "flight.mcap", VEHICLE, 0, {"goal": GOAL})
    for number in range(1, 6):
        update = frame_update(number)
        if number == 3:
            torn = replace(update.frame.image, data=update.frame.image.data[:40])
            update = replace(update, frame=replace(update.frame, image=torn))
        writer.frame(update, number * SECOND_NS)
    writer.close()
    folder = run.main(tmp_path / "flight.mcap", out=tmp_path / "out", pace=Pace(1, None))
    report = json.loads((folder / "report.json").read_text())
    assert (report["frames"], report["frames_appended"], len(report["decisions"])) == (5, 4, 4)
    assert len(report["bad_pictures"]) == 1 and "drone/front_center/3" in report["bad_pictures"][0]
    assert "pictures passed over" in (folder / "report.html").read_text()


def write_log(path: Path, frames: range, commands: list[tuple[int, str, Command]]) -> None:
    """Frames, and commands recorded after a frame and based on one."""
    writer = FlightWriter(path, VEHICLE, 0)
    seq = 0
    for number in frames:
        writer.frame(frame_update(number), number * SECOND_NS)
        for after, based_on, command in commands:
            if after == number:
                seq += 1
                kind = kind_of(command)
                event = events.CommandStarted(f"cmd_{seq}", kind, is_motion(command), based_on, command, 5.0)
                writer.flight_log(events.FlightLogEntry(seq, 0, None, event), number * SECOND_NS + seq)
    writer.close()


def test_a_flight_by_hand_is_read_from_its_commands(tmp_path: Path) -> None:
    write_log(
        tmp_path / "flight.mcap",
        range(1, 7),
        [
            (1, "", Takeoff(2.0)),
            (2, "drone/front_center/2", Step(forward_m=2, right_m=-0.5)),
            (3, "", Hold()),
            # The recorder missed frame 77.
            (4, "drone/front_center/77", Turn(-30.0)),
            (5, "drone/front_center/5", GoTo(PositionNed(1, 2, -3))),
            (6, "drone/front_center/6", SetVelocity(right_m_s=-1)),
        ],
    )
    found = read_flown(open_recording(tmp_path / "flight.mcap"))
    assert found.source == "commands"
    assert [(each.frame_id[-1], each.exact, each.manoeuvre, each.words) for each in found.decisions] == [
        ("2", True, "forward", "step(forward_m=2.0, right_m=-0.5)"),
        ("4", False, "turn left", "turn(angle_deg=-30.0)"),
        ("6", True, "left", "set_velocity(right_m_s=-1.0)"),
    ]
    with pytest.raises(InvalidInput, match="--goal"):
        run.main(tmp_path / "flight.mcap", out=tmp_path / "out")
    folder = run.main(tmp_path / "flight.mcap", goal=GOAL, out=tmp_path / "out", pace=Pace(100, None))
    stored = json.loads((folder / "report.json").read_text())
    assert stored["agreement"]["compared"] == 3 and stored["agreement"]["exact"] == 2
    with pytest.raises(InvalidInput, match="decisions already"):
        run.main(tmp_path / "flight.mcap", goal=GOAL, out=tmp_path / "out")


def test_a_mission_counts_before_its_commands_and_a_look_is_not_the_decision(tmp_path: Path) -> None:
    writer = FlightWriter(tmp_path / "flight.mcap", VEHICLE, 0)
    for number in range(1, 4):
        writer.frame(frame_update(number), number)
    for entry in flight_log():
        writer.flight_log(entry, 10 + entry.log_seq)
    for event in mission_events():
        writer.mission_event(event, 20 + event.event_seq)
    look: list[Happening] = [
        ThinkingStarted("thk_2", "And now?"),
        ThinkingFinished("thk_2", "look", 0.1, "drone/front_center/2", "", 9),
        ActionStarted("act_2", "look", {"question": "What is there?"}),
        ThinkingStarted("thk_3", "What is there?"),
        ThinkingFinished("thk_3", "a tree", 0.1, "drone/front_center/3", "", 9),
        ActionFinished("act_2", {}),
        ThinkingStarted("thk_4", "And now?"),
        ThinkingFinished("thk_4", "stop", 0.1, "drone/front_center/99", "", 9),
        ActionStarted("act_3", "final_answer", {"answer": "reached"}),
    ]
    for number, happening in enumerate(look, 7):
        writer.mission_event(MissionEvent(number, 0, happening), 30 + number)
    writer.close()
    found = read_flown(open_recording(tmp_path / "flight.mcap"))
    assert found.source == "mission"
    assert [(each.manoeuvre, each.frame_id[-1], each.exact, each.refused) for each in found.decisions] == [
        ("move", "3", True, True),  # its call lacks a direction
        ("look", "2", True, False),
        ("stop", "3", False, False),
    ]


@pytest.mark.parametrize("kind", ["pictures", "video"])
def test_pictures_and_videos_are_asked_what_the_caller_likes(kind: str, tmp_path: Path) -> None:
    source = tmp_path / "shown"
    rng = np.random.default_rng(0)
    shown = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(8)]
    if kind == "pictures":
        source.mkdir()
        for number, pixels in enumerate(shown):
            PilImage.fromarray(pixels).save(source / f"{number}.png")
    else:
        av = pytest.importorskip("av")
        source = source.with_suffix(".mp4")
        with av.open(str(source), "w") as container:
            stream = container.add_stream("mpeg4", rate=2)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for pixels in shown:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            container.mux(stream.encode(None))
    asked = CliRunner().invoke(
        app,
        ["eval-recording", str(source), "--question", "Where is the red beacon?", "--every", "2", "--device", "cpu",
         "--out", str(tmp_path / "out"), "--json"],
    )  # fmt: skip
    assert asked.exit_code == 0, asked.output
    told = json.loads(asked.stdout)
    assert (told["frames"], told["frames_appended"], len(told["decisions"])) == (8, 8, 4)
    assert told["agreement"] is None and told["about"]["kind"] == kind
    assert {each["answer"] for each in told["decisions"]} <= {"ahead", "left", "right", "none"}
    assert "not measured" in (tmp_path / "out" / "report.html").read_text()
    assert "report.html" in asked.stderr


def test_what_cannot_be_done_is_said(tmp_path: Path) -> None:
    PilImage.new("RGB", (64, 48)).save(tmp_path / "0.png")
    told = CliRunner().invoke(app, ["eval-recording", str(tmp_path)])
    assert told.exit_code == 1 and "--goal" in told.stderr
    with pytest.raises(UnknownBackend, match="tool_calling, choice"):
        asker_of("nobody", GOAL, "")
    with pytest.raises(InvalidInput, match="front_center"):
        run.main(tmp_path, goal=GOAL, camera_id="back", out=tmp_path / "out")


def decision(flown: str, decided: str) -> Decision:
    """A decision that is compared."""
    frame = frame_update(1).frame
    was = Flown(frame.frame_id, True, flown, flown)
    agrees = decided == flown if decided else None
    return Decision(1, 0.0, frame, "", decided, decided, {}, 1.0, 1.0, Provenance("", "", 1, 0), was, agrees)


@given(st.lists(st.tuples(st.sampled_from(["forward", "stop"]), st.sampled_from(["forward", "stop", ""])), max_size=20))
def test_agreement_counts_every_pair_once(pairs: list[tuple[str, str]]) -> None:
    found = agreement_of([decision(*pair) for pair in pairs])
    if not pairs:
        assert found is None
        return
    assert found is not None and found.compared == len(pairs)
    assert found.agreed.value == sum(a == b for a, b in pairs) / len(pairs)
    assert found.agreed.low <= found.agreed.value <= found.agreed.high
    assert sum(sum(counts.values()) for counts in found.confusion.values()) == len(pairs)
    unreadable = sum(counts.get(UNREADABLE, 0) for counts in found.confusion.values())
    assert unreadable == sum(not decided for _, decided in pairs)
    assert found.commonest >= 0.5


def test_a_timeline_of_nothing_is_drawn() -> None:
    assert draw_timeline([]).axes


@given(st.lists(st.floats(0.001, 3), min_size=2, max_size=60), st.floats(0.2, 20))
def test_frames_come_no_denser_than_asked_for(gaps_s: list[float], fps: float) -> None:
    rate, now_ns, passed = FrameRate(fps), 0, []
    for gap_s in gaps_s:
        now_ns += round(gap_s * 1e9)
        if rate.lets_through(Stamp(now_ns, "clk")):
            passed.append(now_ns)
    spans = [(later - passed[0]) / 1e9 * fps for later in passed]
    assert all(count <= span + 0.06 for count, span in enumerate(spans))


def test_a_jittering_camera_at_the_asked_rate_loses_nothing_and_a_new_clock_begins_anew() -> None:
    rng = np.random.default_rng(0)
    rate = FrameRate(2.0)
    times = [round((number * 0.5 + rng.uniform(-0.012, 0.012)) * 1e9) + SECOND_NS for number in range(200)]
    assert all(rate.lets_through(Stamp(time_ns, "clk_1")) for time_ns in times)
    assert rate.lets_through(Stamp(0, "clk_2"))
    assert not rate.lets_through(Stamp(SECOND_NS // 10, "clk_2"))


@given(st.sampled_from(["forward", "back", "left", "right"]), st.floats(0.1, 5))
def test_a_call_and_the_command_it_becomes_are_one_manoeuvre(direction: str, size: float) -> None:
    arguments = {"direction": direction, "distance_m": size}
    assert of_call("move", arguments) == direction == of_command(to_command("move", arguments))


def test_manoeuvres() -> None:
    assert of_command(Step()) == of_command(SetVelocity()) == of_call("hover", {}) == "hold"
    assert of_command(SetVelocity(down_m_s=1, yaw_rate_deg_s=20)) == "down"
    assert of_command(SetVelocity(yaw_rate_deg_s=-20)) == "turn left"
    assert [of_command(FlyTowards(u, 0.5, 1)) for u in (0.1, 0.5, 0.9)] == [
        "towards left",
        "towards ahead",
        "towards right",
    ]
    assert of_call("climb", {"height_m": -1}) == "down" and of_call("land", {}) == "land"
    assert of_call("final_answer", {"answer": "reached"}) == "stop" and of_call("look", {"question": ""}) == "look"
