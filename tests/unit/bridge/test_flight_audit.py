"""python -m pytest tests/unit/bridge/test_flight_audit.py -v

The check that every end-to-end test applies, on records made here: it finds what is wrong and nothing else.
"""

from pathlib import Path

from flight_audit import FlightAudit

from stillwing_bridge.core.commands import CommandState, CommandStatus
from stillwing_bridge.core.events import CommandEnded, CommandStarted, FlightEvent, ThinkingBegan, ThinkingEnded
from stillwing_bridge.core.judge.flight_log import FlightLog
from stillwing_bridge.recorder import FlightLogRecorder
from stillwing_common.clock import WallClock

STARTED = CommandStarted("cmd_1", "step", True, "f")
ENDED = CommandEnded(CommandStatus("cmd_1", "step", CommandState.SUCCEEDED))
BEGAN, OVER = ThinkingBegan("thk_1"), ThinkingEnded("thk_1")


def audit_of(folder: Path, *events: FlightEvent) -> FlightAudit:
    log = FlightLog(WallClock())
    recorder = FlightLogRecorder(log, folder, "drone")
    for event in events:
        log.append(event, None)
    recorder.close()
    return FlightAudit(folder)


def test_a_clean_flight_is_clean(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, STARTED, ENDED, BEGAN, OVER, STARTED, ENDED)
    assert audit.violations() == []
    assert (audit.motions, audit.intervals) == (2, 1)


def test_motions_in_force_while_thinking_are_found(tmp_path: Path) -> None:
    assert len(audit_of(tmp_path / "a", STARTED, BEGAN, ENDED, OVER).violations()) == 1
    assert len(audit_of(tmp_path / "b", BEGAN, STARTED, ENDED, OVER).violations()) == 1


def test_a_line_cut_off_by_a_kill_is_waited_for(tmp_path: Path) -> None:
    audit = audit_of(tmp_path, STARTED, BEGAN)
    (path,) = tmp_path.glob("*.jsonl")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    assert audit.violations() == []
    path.write_bytes(whole)
    assert len(audit.violations()) == 1
    assert audit.violations() == []
