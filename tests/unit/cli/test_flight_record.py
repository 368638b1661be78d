"""python -m pytest tests/unit/cli/test_flight_record.py

What a flight was, judged from its events, telemetry and flight log; and the report made of it.
"""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from stillwing_agent.core.events import (
    ActionFinished,
    ActionStarted,
    Briefed,
    FramesEvicted,
    Happening,
    Instructed,
    KeyframeFiled,
    KeyframeLost,
    MissionEvent,
    MotionRefused,
    NoCall,
    Observed,
    OperatorAnswered,
    OperatorAsked,
    PlanMade,
    QuestionAnswered,
    Reported,
    StateChanged,
    ThinkingFinished,
    ThinkingStarted,
)
from stillwing_agent.core.types import Mission, MissionFigures, MissionState, Verification
from stillwing_airfield.scenes import build_scene
from stillwing_bridge.core import events
from stillwing_bridge.core.commands import CommandState, CommandStatus
from stillwing_bridge.core.types import StopLevel, Telemetry
from stillwing_cli.flight_record import FlightRecord, ThinkingAudit, goal_in
from stillwing_cli.fly_display import FlightDisplay
from stillwing_cli.report import fresh_folder, write_report
from stillwing_cli.watch import as_plain, describe
from stillwing_common.errors import NotFound, Obstructed
from stillwing_common.types import Pose, PositionNed, Quaternion, Stamp, VelocityNed

SCENE = build_scene("meadow", 3)
STARTED_NS = 1_700_000_000_000_000_000
MISSION = Mission("mis_1", SCENE.mission, "drone", MissionState.RUNNING, STARTED_NS)


def ended(state: MissionState, **more: object) -> Mission:
    figures = MissionFigures(decisions=2, refusals=1, thinking_s=0.5, frames_seen=40, frames_evicted=12)
    return replace(MISSION, state=state, end_wall_ns=STARTED_NS + 9 * 10**9, figures=figures, **more)


def telemetry(north_m: float, east_m: float, collisions: int = 0, thinking: bool = False) -> Telemetry:
    pose = Pose(PositionNed(north_m, east_m, -2.0), Quaternion.from_yaw_deg(0))
    return Telemetry(
        1,
        Stamp(0, "c"),
        pose,
        VelocityNed(0, 0, 0),
        None,
        True,
        True,
        collisions,
        thinking,
        StopLevel.NONE,
        "tree",
    )


def jpeg() -> bytes:
    file = BytesIO()
    Image.new("RGB", (32, 24), (90, 160, 80)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture
def record() -> FlightRecord:
    """Flown to the goal in two decisions, the first of which was refused."""
    made = FlightRecord(SCENE, SCENE.goal(), MISSION)
    goal_north_m, goal_east_m, _ = SCENE.goal().position_ned_m
    happenings: list[Happening] = []
    for number in (1, 2):
        happenings += [
            ThinkingStarted(f"th_{number}", "Fly. Next action?"),
            ThinkingFinished(f"th_{number}", '{"name":"move"}', 0.2, f"drone/0/{number}", "drone/0/0", 300),
            ActionStarted(f"act_{number}", "move", {"direction": "forward", "distance_m": number}),
        ]
    happenings.insert(3, MotionRefused("act_1", Obstructed("a tree", distance_m=0.8)))
    happenings += [ActionFinished("act_2"), StateChanged(ended(MissionState.ACHIEVED))]
    for step, happening in enumerate(happenings):
        share = step / len(happenings) * 0.9
        made.add_telemetry(telemetry(goal_north_m * share, goal_east_m * share, collisions=4), step * 0.5, 4)
        made.add_event(MissionEvent(step + 1, STARTED_NS + step, happening))
    for decision in made.decisions:
        decision.jpeg = jpeg()
    return made


def test_reached_is_judged_by_ground_truth_not_by_what_the_agent_says(record: FlightRecord) -> None:
    north_m, east_m, _ = SCENE.goal().position_ned_m
    record.end_position = PositionNed(north_m + 3.1, east_m, -2)
    assert (record.claimed, record.verified, record.exit_code) == (True, True, 0)
    record.end_position = PositionNed(north_m + 3.3, east_m, -2)
    assert (record.claimed, record.verified, record.exit_code) == (True, False, 4)
    assert math.isclose(record.summary()["distance_m"], 3.3, abs_tol=0.01)


@pytest.mark.parametrize("state", [MissionState.FAILED, MissionState.CANCELLED, MissionState.RUNNING])
def test_a_mission_that_did_not_end_well_has_not_reached(record: FlightRecord, state: MissionState) -> None:
    record.end_position = PositionNed(*SCENE.goal().position_ned_m)
    record.mission = ended(state)
    assert (record.claimed, record.verified, record.exit_code) == (None, True, 1)


def test_an_agent_that_gives_up_says_so(record: FlightRecord) -> None:
    record.end_position = PositionNed(*SCENE.goal().position_ned_m)
    record.mission = ended(MissionState.NOT_ACHIEVED, answer="there is no van")
    assert (record.claimed, record.verified, record.achieved, record.exit_code) == (False, True, False, 3)
    assert record.verdict == "not achieved; verified by ground truth"


def test_without_ground_truth_the_claim_stands_alone(record: FlightRecord) -> None:
    record.goal = None
    assert (record.claimed, record.verified, record.exit_code) == (True, None, 0)
    assert record.verdict == "achieved; not verified"


@pytest.mark.parametrize(
    ("probability", "verdict", "code"),
    [(0.83, "achieved; verified by a question, yes 83%", 0), (0.2, "achieved; contradicted by a question, yes 20%", 4)],
)
def test_without_ground_truth_a_question_verifies(
    record: FlightRecord, probability: float, verdict: str, code: int
) -> None:
    asked = Verification("Is it done?", probability)
    record.mission = ended(MissionState.ACHIEVED, verification=asked)
    assert record.verified_by == "ground truth"
    record.goal = None
    assert (record.verdict, record.exit_code) == (verdict, code)
    assert record.summary()["verified_probability"] == probability


def test_summary_counts(record: FlightRecord) -> None:
    summary = record.summary()
    assert summary["decisions"] == 2
    assert summary["frames_evicted"] == 12
    assert summary["collisions"] == 0
    assert summary["flight_s"] == 9
    assert summary["think_median_s"] == 0.2
    assert [decision.action for decision in record.decisions][1] == "move(direction=forward, distance_m=2)"
    assert record.decisions[0].outcome.startswith("refused: Something is in the way")
    assert record.decisions[1].outcome == "done"


def test_collisions_count_from_the_start_of_the_mission(record: FlightRecord) -> None:
    record.add_telemetry(telemetry(0, 0, collisions=6), 9.0, 4)
    record.add_telemetry(telemetry(0, 0, collisions=0), 9.1, 4)
    assert (record.collisions, record.hit) == (2, "tree")


def test_the_goal_is_the_scenes_own_or_the_thing_that_is_named() -> None:
    beacon = SCENE.of_kind("beacon")[1]
    assert goal_in(SCENE, SCENE.mission, "") == SCENE.goal()
    assert goal_in(SCENE, f"Go to the {beacon.colour} beacon.", "") is None
    assert goal_in(SCENE, "Go there.", beacon.name) == beacon
    assert goal_in(None, SCENE.mission, "") is None
    for scene in (SCENE, None):
        with pytest.raises(NotFound, match="no thing called moon"):
            goal_in(scene, SCENE.mission, "moon")


def test_a_further_instruction_has_its_own_truth(record: FlightRecord) -> None:
    record.add_event(MissionEvent(90, STARTED_NS, Instructed(2, "Fly to the van.")))
    assert record.verified is None
    record.goal_thing = SCENE.goal().name
    record.add_event(MissionEvent(91, STARTED_NS, Instructed(3, "Fly back.")))
    assert record.goal == SCENE.goal()


def test_the_audit_sees_motion_while_thinking() -> None:
    started = events.CommandStarted("cmd_1", "step", True, "f")
    over = events.CommandEnded(CommandStatus("cmd_1", "step", CommandState.SUCCEEDED))
    think, stop_thinking = events.ThinkingBegan("th_1"), events.ThinkingEnded("th_1")
    hold = events.CommandStarted("cmd_2", "hold", False, "")
    assert audit(started, over, think, hold, stop_thinking, started, over) == 0
    assert audit(started, think, stop_thinking, over) == 1
    assert audit(think, started, over, stop_thinking) == 1


def audit(*log: events.FlightEvent) -> int:
    made = ThinkingAudit()
    for number, event in enumerate(log):
        made.add(events.FlightLogEntry(number + 1, number, None, event))
    return made.violations


def test_report_folder(record: FlightRecord, tmp_path: Path) -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    folder = fresh_folder(tmp_path, when)
    assert folder.name == "2026-01-02_03-04-05"
    assert fresh_folder(tmp_path, when).name == "2026-01-02_03-04-05_2"
    write_report(record, folder)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["goal"] == SCENE.mission
    with Image.open(folder / "track.png") as track:
        assert track.size[0] > 500
    assert sorted(path.name for path in (folder / "frames").iterdir()) == ["001.jpg", "002.jpg"]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert 'src="http' not in page
    assert len((folder / "events.jsonl").read_text().splitlines()) == len(record.events)


def test_a_question_without_an_answer_is_reported_as_such(record: FlightRecord, tmp_path: Path) -> None:
    record.add_event(MissionEvent(99, STARTED_NS, ThinkingStarted("th_9", "Fly. Next action?")))
    assert record.decisions[-1].frame_id == ""
    assert record.summary()["think_median_s"] == 0.2
    write_report(record, tmp_path)
    console = Console(file=StringIO(), force_terminal=True, width=100)
    with FlightDisplay(record, console) as display:
        display.refresh()
    assert "distance_m=2" in console.file.getvalue()  # type: ignore[attr-defined]


def test_report_of_a_flight_that_never_was(tmp_path: Path) -> None:
    write_report(FlightRecord(None, None, MISSION), tmp_path)
    assert (tmp_path / "report.html").exists()


def test_markup_in_words_stays_text(record: FlightRecord, tmp_path: Path) -> None:
    record.mission = ended(MissionState.FAILED, goal="<script>alert(1)</script>")
    write_report(record, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "<script>" not in page


@pytest.mark.parametrize("terminal", [True, False])
def test_display(record: FlightRecord, terminal: bool) -> None:
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    with FlightDisplay(record, console) as display:
        for event in record.events:
            display.show(event)
        display.refresh()
    assert "move(direction=forward" in console.file.getvalue()  # type: ignore[attr-defined]


def test_every_event_has_its_line_and_its_json(record: FlightRecord) -> None:
    lost = KeyframeLost("drone/0/1", Obstructed("x"))
    more = [PlanMade(("a", "b")), Observed(("f",), "a tree"), FramesEvicted(("f",)), lost]
    more += [Briefed("native", "You fly."), NoCall("hm"), Reported("a van"), OperatorAsked("Which?")]
    more += [OperatorAnswered("That."), QuestionAnswered("What?", "A van.")]
    for happening in [*(event.happening for event in record.events), *more, KeyframeFiled("f", 2)]:
        assert describe(happening).plain
        json.dumps(as_plain(happening))
