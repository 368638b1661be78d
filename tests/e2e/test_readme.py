"""A day as the README shows it, in the README's own words: fly, instruct meanwhile, watch, look, stop.

Run: python -m pytest tests/e2e/test_readme.py -v
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flight_audit import FlightAudit
from shown_commands import readme_command
from stack_process import Stack, start_stack, stop_stack

from stillwing_airfield.scenes import build_scene

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

_FLIGHT_LIMIT_S = 300


def shown(beginning: str) -> list[str]:
    """The arguments of the README's command that begins so."""
    return readme_command(beginning)[1:]


@pytest.fixture(scope="module")
def fresh_stack(flight_audit: FlightAudit) -> Iterator[Stack]:
    """The default scene, with the vehicle at its start."""
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        running = start_stack(Path(folder))
        try:
            yield running
        finally:
            stop_stack(running)


@pytest.fixture(scope="module")
def flight(fresh_stack: Stack) -> dict[str, Any]:
    """What `fly` says at its end, after another instruction broke off the first; truth is asked of the second."""
    with subprocess.Popen(
        [sys.executable, "-m", "stillwing_cli.main", *shown("stillwing fly"), "--goal-thing", "beacon_green", "--json"],
        cwd=fresh_stack.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as flying:  # fmt: skip
        assert flying.stderr is not None
        assert any("▶ turn" in line or "▶ move" in line for line in flying.stderr), "nothing was flown"
        instructed = fresh_stack.cli(*shown("stillwing instruct"))
        assert instructed.returncode == 0, instructed.stderr
        output, errors = flying.communicate(timeout=_FLIGHT_LIMIT_S)
    assert flying.returncode == 0, output + errors[-2000:]
    summary: dict[str, Any] = json.loads(output)
    return summary


def test_the_first_example_is_the_mission_that_make_fly_flies() -> None:
    assert shown("stillwing fly")[1] == build_scene("meadow", 3).mission


def test_another_instruction_on_the_way_is_flown_to_its_end(flight: dict[str, Any]) -> None:
    assert flight["verified"] is True
    assert flight["collisions"] == 0
    assert flight["motions_while_thinking"] == 0


def test_afterwards_everything_can_be_looked_at(fresh_stack: Stack, flight: dict[str, Any]) -> None:
    watched = fresh_stack.cli(*shown("stillwing watch"))
    assert shown("stillwing instruct")[1] in watched.stdout
    assert "serving" in fresh_stack.cli(*shown("stillwing status")).stdout
    assert "memory.html" in fresh_stack.cli(*shown("stillwing memory show")).stdout
    assert (fresh_stack.folder / "memory.html").stat().st_size > 50_000
    recording = [flight["recording"] if word == "FILE" else word for word in shown("stillwing eval-recording")]
    decided = fresh_stack.cli(*recording, "--every", "8")
    assert "agree" in decided.stdout, decided.stderr[-2000:]
    assert fresh_stack.cli(*shown("stillwing doctor")).returncode == 0


def test_the_vehicle_is_stopped_until_that_is_cleared(fresh_stack: Stack, flight: dict[str, Any]) -> None:
    assert "drone: emergency stop HOLD, latched" in fresh_stack.cli(*shown("stillwing stop")).stdout
    assert "cleared" in fresh_stack.cli("stop", "--clear").stdout
