"""One stack for all end-to-end tests that look at it, and one flight on it."""

import json
import os
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


@pytest.fixture(scope="session")
def flight_audit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlightAudit]:
    """Every bridge that a test starts as a process records its flights here."""
    audit = FlightAudit(tmp_path_factory.mktemp("flights"))
    before = os.environ.get("STILLWING_BRIDGE_RECORD")
    os.environ["STILLWING_BRIDGE_RECORD"] = str(audit.folder)
    yield audit
    if before is None:
        del os.environ["STILLWING_BRIDGE_RECORD"]
    else:
        os.environ["STILLWING_BRIDGE_RECORD"] = before


@pytest.fixture(autouse=True)
def no_motion_while_thinking(flight_audit: FlightAudit) -> Iterator[None]:
    """After every end-to-end test: no recorded flight had a motion in force while its author thought."""
    yield
    assert flight_audit.violations() == []


@pytest.fixture(scope="session")
def stack(flight_audit: FlightAudit) -> Iterator[Stack]:
    """Five processes, up and warm on the default scene, in a folder that the database's own user can reach.

    (Pytest's own folder is closed to it.)
    """
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        running = start_stack(Path(folder))
        try:
            yield running
        finally:
            stop_stack(running)


@pytest.fixture(scope="session")
def flight(stack: Stack) -> dict[str, Any]:
    """What `fly` says at its end: the README's first mission, broken off by its second, of which truth is asked."""
    words = [*readme_command("stillwing fly")[1:], "--goal-thing", "beacon_green", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "stillwing_cli.main", *words],
        cwd=stack.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as flying:  # fmt: skip
        assert flying.stderr is not None
        assert any("▶ turn" in line or "▶ move" in line for line in flying.stderr), "nothing was flown"
        instructed = stack.cli(*readme_command("stillwing instruct")[1:])
        assert instructed.returncode == 0, instructed.stderr
        output, errors = flying.communicate(timeout=300)
    assert flying.returncode == 0, output + errors[-2000:]
    summary: dict[str, Any] = json.loads(output)
    return summary
