"""python -m pytest tests/rpc/airfield/test_check_simulator.py

`stillwing check-simulator` against airfield on a real port, against airfield with faults, and against ports that answer
nothing, something else, or only the first calls.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from silent_relay import SilentRelay
from typer.testing import CliRunner

from stillwing_airfield.dialects import Dialect
from stillwing_airfield.faults import FaultPlan, Faults
from stillwing_airfield.server import serving
from stillwing_airfield.sim import Airfield
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_cli.check_page import Check, Level
from stillwing_cli.main import app
from stillwing_cli.simulator_checks import SimulatorChecks

WHATS = [
    "connection", "protocol", "version", "vehicle", "API control", "clock", "pose", "down is down", "collisions",
    "read latency", "camera front_center",
]  # fmt: skip


def checked(address: str, *arguments: str) -> tuple[int, dict[str, dict[str, str]], str]:
    """Exit code, checks by name in their order, and what was said to people."""
    told = CliRunner().invoke(app, ["check-simulator", address, "--json", *arguments])
    answer = json.loads(told.stdout)
    assert answer["ok"] == (told.exit_code == 0)
    return told.exit_code, {one["what"]: one for one in answer["checks"]}, told.stderr


def levels(checks: dict[str, dict[str, str]]) -> set[str]:
    return {one["level"] for one in checks.values()}


def test_a_sound_simulator_passes_and_is_left_as_it_was(client: Any, port: int) -> None:
    client("enableApiControl", False, "")
    before = client("simGetVehiclePose", "")
    code, checks, said = checked(f"127.0.0.1:{port}")
    assert code == 0 and list(checks) == WHATS and levels(checks) == {"ok"}
    assert "320x240" in checks["camera front_center"]["seen"] and "microsoft" in checks["version"]["seen"]
    assert f"stillwing up --simulator 127.0.0.1:{port}" in said
    assert client("isApiControlEnabled", "") is False
    assert client("getMultirotorState", "")["landed_state"] == 0
    for axis, value in client("simGetVehiclePose", "")["position"].items():
        assert abs(value - before["position"][axis]) < 0.01
    people = CliRunner().invoke(app, ["check-simulator", f"127.0.0.1:{port}"])
    assert [line.split("  ")[0] for line in people.stdout.splitlines()[:-1]] == [f"✓ {what}" for what in WHATS]


def test_a_small_flight_goes_up_turns_right_and_ends_where_it_began(client: Any, port: int) -> None:
    client("enableApiControl", False, "")
    code, checks, _ = checked(f"127.0.0.1:{port}", "--fly")
    assert code == 0 and list(checks) == [*WHATS, "up is up", "hold", "right is right", "landing"]
    assert levels(checks) == {"ok"}
    state = client("getMultirotorState", "")
    assert state["landed_state"] == 0 and client("isApiControlEnabled", "") is False
    position = state["kinematics_estimated"]["position"]
    assert abs(position["x_val"]) < 0.5 and abs(position["y_val"]) < 0.5


def test_a_flight_that_is_interrupted_lands(client: Any, port: int) -> None:
    client("enableApiControl", False, "")
    process = subprocess.Popen(
        [sys.executable, "-m", "stillwing_cli.main", "check-simulator", f"127.0.0.1:{port}", "--fly"],
        stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    until_s = time.monotonic() + 60
    while client("getMultirotorState", "")["kinematics_estimated"]["position"]["z_val"] > -0.8:
        assert time.monotonic() < until_s
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert "✓ landing" in said and "Next" not in said and process.returncode == 130
    assert client("getMultirotorState", "")["landed_state"] == 0


def test_a_vehicle_that_flies_is_left_alone(flying: Any, port: int) -> None:
    code, checks, _ = checked(f"127.0.0.1:{port}", "--fly")
    assert code == 0 and checks["down is down"]["level"] == "skipped" and checks["flight"]["level"] == "skipped"
    assert flying("getMultirotorState", "")["landed_state"] == 1


def test_a_simulation_that_is_paused_or_has_no_such_camera_or_vehicle(client: Any, port: int) -> None:
    client("simPause", True)
    code, checks, said = checked(f"127.0.0.1:{port}", "--camera", "nose", "--fly")
    client("simPause", False)
    assert code == 1
    assert checks["clock"]["level"] == "failed" and "paused" in checks["clock"]["seen"]
    assert checks["camera nose"]["level"] == "failed" and "--camera" in checks["camera nose"]["fix"]
    assert checks["flight"]["level"] == "skipped" and "again, when this is done" in said
    code, checks, _ = checked(f"127.0.0.1:{port}", "--vehicle", "Nobody")
    assert code == 1 and "--vehicle" in checks["vehicle"]["fix"] + checks["version"]["fix"]


def test_another_dialect_and_a_picture_that_never_comes() -> None:
    airfield = Airfield.of("meadow", 7)
    with serving(airfield, dialect=Dialect.COSYS, faults=Faults(FaultPlan(hang_images=2))) as port:
        code, checks, _ = checked(f"127.0.0.1:{port}")
    assert code == 1 and "cosys" in checks["version"]["seen"]
    assert checks["camera front_center"]["level"] == "failed"
    assert "no answer" in checks["camera front_center"]["seen"]


def test_a_closed_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    code, checks, _ = checked(f"127.0.0.1:{port}")
    assert code == 1 and checks["connection"]["level"] == "failed" and "LocalHostIp" in checks["connection"]["fix"]
    assert levels(checks) == {"failed", "skipped"} and list(checks) == WHATS


@contextmanager
def answering(reply: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does this with each connection once something came."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    link, _ = listener.accept()
                except OSError:
                    return
                with link:
                    link.recv(100)
                    reply(link)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "not msgpack-rpc"),
        (b"", "closed the"),
        (b"\x94\x01\x01\xc0\xa2no", "ping is answered with 'no'"),
    ],
)
def test_something_else(reply: bytes, found: str) -> None:
    with answering(lambda link: link.sendall(reply)) as address:
        code, checks, _ = checked(address)
    assert code == 1 and checks["connection"]["level"] == "ok"
    assert found in checks["protocol"]["seen"] and checks["protocol"]["level"] == "failed"
    assert checks["camera front_center"]["level"] == "skipped"


@pytest.mark.parametrize("address", ["nowhere:port", ":41451", "127.0.0.1:70000"])
def test_what_is_no_address(address: str) -> None:
    told = CliRunner().invoke(app, ["check-simulator", address])
    assert told.exit_code == 1 and "is no HOST:PORT" in told.stderr


async def test_one_that_falls_silent_ends_the_checks_soon(client: Any, port: int) -> None:
    with SilentRelay(f"127.0.0.1:{port}") as relay:
        host, _, relayed = relay.address.rpartition(":")
        checks = SimulatorChecks(AirSimSettings(host, int(relayed)))
        found: list[Check] = []

        def tell(check: Check) -> None:
            found.append(check)
            if check.what == "vehicle":
                relay.fall_silent()

        async with asyncio.timeout(20):
            await checks.run(tell)
        checks.close()
    by_name = {check.what: check for check in found}
    assert by_name["API control"].level is Level.FAILED and "no answer within" in by_name["API control"].seen
    assert [check.level for check in found[5:]] == [Level.SKIPPED] * 6
