"""One stack for all end-to-end tests that only look at it or fly one mission after another."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from flight_audit import FlightAudit
from stack_process import SCENE_SEED, Stack, start_stack, stop_stack


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
    """Five processes, up and warm, in a folder that the database's own user can reach (pytest's is closed to it)."""
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        running = start_stack(Path(folder), "--seed", str(SCENE_SEED))
        try:
            yield running
        finally:
            stop_stack(running)
