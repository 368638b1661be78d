"""Five processes fly the README's missions, and the bridge's own record is read.

Run: python -m pytest tests/e2e/test_first_flight.py -v
"""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from stack_process import Stack

from stillwing.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_the_beacon_is_reached_without_hitting_anything(flight: dict[str, Any]) -> None:
    assert flight["claimed"] and flight["verified"], flight
    assert flight["collisions"] == 0
    assert flight["distance_m"] <= 3.2
    assert flight["state"] == "achieved"


def test_the_engine_forgot_something_and_the_bank_filed_something(flight: dict[str, Any]) -> None:
    assert flight["frames_evicted"] >= 1
    assert flight["frames_seen"] > flight["frames_evicted"]
    assert flight["keyframes_filed"] >= 1


def test_no_motion_was_in_force_between_any_ask_and_its_answer(stack: Stack, flight: dict[str, Any]) -> None:
    entries = _flight_log(stack)
    in_force: set[str] = set()
    thinking = ""
    intervals = motions = 0
    for entry in entries:
        kind = entry.WhichOneof("entry")
        if kind == "command_started" and entry.command_started.motion:
            assert not thinking, f"motion started while thinking: {entry}"
            in_force.add(entry.command_started.command_id)
            motions += 1
        elif kind == "command_ended":
            in_force.discard(entry.command_ended.command_id)
        elif kind == "thinking_began":
            assert not in_force, f"{in_force} in force when thinking began"
            thinking = entry.thinking_began.thinking_id
            intervals += 1
        elif kind == "thinking_ended":
            assert thinking == entry.thinking_ended.thinking_id
            thinking = ""
    assert intervals >= flight["decisions"] > 0
    assert motions >= 3
    assert [entry.log_seq for entry in entries] == list(range(1, len(entries) + 1))
    assert flight["motions_while_thinking"] == 0


def test_the_report_shows_the_flight(stack: Stack, flight: dict[str, Any]) -> None:
    folder = stack.folder / Path(flight["report"])
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") >= flight["decisions"]
    assert (folder / "track.png").stat().st_size > 5000
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["verified"] is True


def _flight_log(stack: Stack) -> list[vehicle_pb2.WatchFlightLogResponse]:
    with grpc.insecure_channel(stack.addresses["sim_bridge"]) as channel:
        stub = vehicle_pb2_grpc.VehicleServiceStub(channel)
        vehicles = stub.ListVehicles(vehicle_pb2.ListVehiclesRequest(), timeout=10)
        request = vehicle_pb2.WatchFlightLogRequest(vehicle_id=vehicles.vehicles[0].vehicle_id, until_now=True)
        return list(stub.WatchFlightLog(request, timeout=30))


def test_what_the_pilot_was_not_taught_is_told_and_not_flown_unasked(stack: Stack) -> None:
    before = set((stack.folder / "runs").glob("*"))
    told = stack.cli("fly", "Find the purple van.", "--json")
    assert told.returncode == 5, told.stderr
    outside = json.loads(told.stdout)["outside_range"]
    assert "words it was not taught: Find, purple, van" in outside["reasons"]
    for line in ("instruction: Fly to the {colour} beacon.", "This scene has: ", "yellow beacon", "--anyway"):
        assert line in told.stderr
    assert set((stack.folder / "runs").glob("*")) == before, "nothing flew"


@pytest.mark.skipif(sys.platform == "win32", reason="asks in a POSIX terminal")
def test_in_a_terminal_it_asks_and_takes_no_for_an_answer(stack: Stack) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "stillwing_cli.main", "fly", "Find the purple van."],
        cwd=stack.folder, stdin=theirs, stdout=theirs, stderr=theirs,
    ) as flying:  # fmt: skip
        os.close(theirs)
        shown = ""
        while "[y/N]" not in shown:
            shown += os.read(ours, 4096).decode()
        os.write(ours, b"n\n")
        with contextlib.suppress(OSError):  # the terminal is gone with its last process
            while piece := os.read(ours, 4096):
                shown += piece.decode()
        assert flying.wait(30) == 5, shown
    os.close(ours)
    assert "not flown" in shown
