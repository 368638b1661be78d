"""A day as the README shows it, in the README's own words: fly, instruct meanwhile, watch, look, stop.

Run: python -m pytest tests/e2e/test_readme.py -v
"""

import json
from typing import Any

import pytest
from shown_commands import readme_command
from stack_process import Stack

from stillwing_airfield.scenes import build_scene

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


def shown(beginning: str) -> list[str]:
    """The arguments of the README's command that begins so."""
    return readme_command(beginning)[1:]


def test_the_first_example_is_the_mission_that_make_fly_flies() -> None:
    assert shown("stillwing fly")[1] == build_scene("meadow", 3).mission


def test_another_instruction_on_the_way_is_flown_to_its_end(flight: dict[str, Any]) -> None:
    assert flight["verified"] is True
    assert flight["collisions"] == 0
    assert flight["motions_while_thinking"] == 0


def test_afterwards_everything_can_be_looked_at(stack: Stack, flight: dict[str, Any]) -> None:
    watched = stack.cli(*shown("stillwing watch"))
    assert shown("stillwing instruct")[1] in watched.stdout
    assert "serving" in stack.cli(*shown("stillwing status")).stdout
    assert "memory.html" in stack.cli(*shown("stillwing memory show")).stdout
    assert (stack.folder / "memory.html").stat().st_size > 50_000
    recording = [flight["recording"] if word == "FILE" else word for word in shown("stillwing eval-recording")]
    decided = stack.cli(*recording, "--every", "8")
    assert "agree" in decided.stdout, decided.stderr[-2000:]
    assert stack.cli(*shown("stillwing doctor")).returncode == 0


def test_the_vehicle_is_stopped_until_that_is_cleared(stack: Stack, flight: dict[str, Any]) -> None:
    assert "drone: emergency stop HOLD, latched" in stack.cli(*shown("stillwing stop")).stdout
    assert "cleared" in stack.cli("stop", "--clear").stdout


def test_what_the_pilot_was_not_taught_flies_where_that_is_wanted(stack: Stack, flight: dict[str, Any]) -> None:
    anyway = stack.cli("fly", "Find the purple van.", "--json", "--anyway", "--time-limit", "3")
    summary = json.loads(anyway.stdout)
    assert (anyway.returncode, summary["state"]) == (1, "failed")
    assert "This lies outside what the model was taught:" in anyway.stderr
    log = (stack.folder / summary["report"] / "events.jsonl").read_text().splitlines()
    kinds = [json.loads(line)["kind"] for line in log]
    assert kinds[:3] == ["StateChanged", "StateChanged", "ToldOutside"], "before anything else"
