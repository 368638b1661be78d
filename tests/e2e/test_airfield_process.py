"""The `airfield` command as a user meets it: where it listens, what it says, how it ends.

python -m pytest tests/e2e/test_airfield_process.py -q
"""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgpack
import pytest

pytestmark = pytest.mark.e2e
_COMMAND = [sys.executable, "-u", "-m", "stillwing_airfield"]


@pytest.fixture
def launch() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def one(*arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen([*_COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        started.append(process)
        return process

    yield one
    for process in started:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def read_until(process: "subprocess.Popen[str]", pattern: str) -> tuple[re.Match[str], str]:
    said = ""
    assert process.stdout is not None
    for line in process.stdout:
        said += line
        if match := re.search(pattern, line):
            return match, said
    raise AssertionError(f"never said {pattern!r}:\n{said}")


def call(port: int, method: str, *params: Any) -> Any:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link:
        link.sendall(msgpack.packb([0, 1, method, list(params)]))
        unpacker = msgpack.Unpacker(raw=False)
        while True:
            unpacker.feed(link.recv(1 << 16))
            for _, _, error, result in unpacker:
                assert error is None
                return result


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_what_is_next_and_stops_cleanly(
    launch: Callable[..., "subprocess.Popen[str]"], number: int
) -> None:
    process = launch("--scene", "meadow", "--seed", "7", "--port", "0")
    match, said = read_until(process, r"listening on 127\.0\.0\.1:(\d+)")
    assert "scene meadow, seed 7" in said
    assert re.search(r"\d+ RGB\+depth frames a second at 320x240", said)
    port = int(match[1])
    assert call(port, "ping") is True
    assert call(port, "getMultirotorState", "")["landed_state"] == 0
    assert call(port, "isApiControlEnabled", "") is False
    read_until(process, r"^Next: ")
    process.send_signal(number)
    read_until(process, r"stopped")
    assert process.wait(10) == 0


def test_a_port_in_use_is_one_clear_line(launch: Callable[..., "subprocess.Popen[str]"]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = launch("--port", str(port))
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said
    assert f"The port is in use; stop the other process or choose another port: 127.0.0.1:{port}" in said


def test_an_unknown_scene_names_the_known(launch: Callable[..., "subprocess.Popen[str]"]) -> None:
    process = launch("--scene", "moon")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.strip() == "airfield: No scene of that name exists: 'moon'; known: maze, meadow, orchard, street"


def test_bench_prints_json(launch: Callable[..., "subprocess.Popen[str]"]) -> None:
    process = launch("bench", "--seconds", "0.5", "--json")
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0, said
    measured = json.loads(said)
    assert measured["frames_per_s"] > 0
    assert measured["hardware"]


def test_dialect_settings_and_faults_are_told_and_taken(
    launch: Callable[..., "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"Vehicles": {"Red": {}, "Blue": {}}, "Recording": {"Enabled": True}}))
    process = launch(
        "--port", "0", "--dialect", "cosys", "--settings", str(settings), "--faults", "empty-images=1"
    )  # fmt: skip
    match, said = read_until(process, r"listening on 127\.0\.0\.1:(\d+)")
    assert "dialect cosys, vehicles Red, Blue, faults empty-images=1" in said
    assert f"warning: {settings}: Recording has no effect here" in said
    port = int(match[1])
    assert call(port, "listVehicles") == ["Red", "Blue"]
    request = {"camera_name": "0", "image_type": 0, "pixels_as_float": False, "compress": True}
    (image,) = call(port, "simGetImages", [request], "Blue")
    assert image["width"] == 0 and image["message"]
    process.send_signal(signal.SIGINT)
    read_until(process, r"stopped; 1 faults shown")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--faults", "smoke"), "'smoke' is no fault"), (("--settings", "/nowhere.json"), "/nowhere.json")],
)
def test_what_cannot_be_taken_is_one_clear_line(
    launch: Callable[..., "subprocess.Popen[str]"], arguments: tuple[str, ...], words: str
) -> None:
    process = launch(*arguments)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in said and words in said
