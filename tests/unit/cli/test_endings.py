"""python -m pytest tests/unit/cli/test_endings.py

How commands end that were given what they cannot use: one sentence, an exit code, and never a traceback.
"""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from mcap.writer import Writer
from recording_values import jpeg
from typer.testing import CliRunner

from stillwing_cli.main import app
from stillwing_common.endings import FAULT, TRACEBACK, Ending, ending_of, printable
from stillwing_common.errors import InvalidInput, StillwingError
from stillwing_recording.opening import open_recording

ESCAPES = "\x1b[31m\n\x00\u202e\udcff"


def run(*words: str) -> Any:
    return CliRunner().invoke(app, list(words))


def test_a_domain_error_is_its_sentence() -> None:
    assert ending_of(InvalidInput("x is y")) == Ending("The request is not valid: x is y", 1)


def test_what_the_system_refuses_is_told_in_its_words() -> None:
    assert ending_of(OSError(errno.ENOSPC, "No space left on device", "a.mcap")) == Ending(
        "a.mcap: No space left on device", 1
    )
    assert ending_of(PermissionError(errno.EACCES, "Permission denied", "/x")) == Ending("/x: Permission denied", 1)


def test_a_closed_pipe_is_for_the_command_line() -> None:
    assert ending_of(BrokenPipeError(errno.EPIPE, "Broken pipe")) is None


def test_a_fault_is_called_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TRACEBACK, raising=False)
    ending = ending_of(KeyError("a\nb"))
    assert ending is not None
    assert ending.exit_code == FAULT
    assert "fault of Stillwing's own (KeyError" in ending.text and "\n" not in ending.text
    monkeypatch.setenv(TRACEBACK, "1")
    assert ending_of(KeyError("a")) is None


def test_a_terminal_is_told_nothing_that_it_obeys() -> None:
    assert printable(f"é 🚁{ESCAPES}") == "é 🚁\\x1b[31m\\n\\x00\\u202e\\udcff"


@pytest.mark.parametrize("name", ["[/red].mcap", "a\x1b[31mb.mcap", "a\nb.mcap", "\udcff.mcap", "[bold]x"])
def test_names_are_shown_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    told = run("replay", name, "--info")
    assert told.exit_code == 1
    (line,) = told.stderr.splitlines()
    assert line.endswith(f": {printable(name)}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay", "x", "--speed", "nan"), "'--speed'"),
        (("replay", "x", "--fps", "inf"), "inf is no finite number"),
        (("replay", "x", "--hfov-deg=-inf"), "-inf is no finite number"),
        (("replay", "x", "--fps", "1e-300"), "fps is between 0.001 and 1000"),
        (("replay", "x", "--hfov-deg", "0"), "hfov is between 0 and 180 degrees"),
        (("replay", "x", "--host", "::::", "--port", "99999"), "'--port'"),
        (("replay", "a\0b"), "NUL"),
        (("replay", "\ud83d"), "surrogate"),
        (("fly", "--time-limit", "nan"), "'--time-limit'"),
        (("fly", "--record-fps", "1e400"), "'--record-fps'"),
        (("watch", "--after", "9" * 30), "'--after'"),
        (("record", "--bridge", "\udcff"), "is no address"),
        (("memory", "show", "--address", "a\nb"), "is no address"),
        (("certs", "--days", "0"), "1 to 3650 days"),
        (("certs", "--out", "/dev/null/x"), "Not a directory"),
        (("check-simulator", "\udcff"), "is no HOST:PORT"),
        (("check-simulator", "x:" + "9" * 5000), "is no HOST:PORT"),
    ],
)
def test_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str) -> None:
    monkeypatch.chdir(tmp_path)
    told = run(*words)
    assert told.exit_code in (1, 2), told.output
    lines = [line for line in told.stderr.splitlines() if line.startswith(("stillwing: ", "Error: "))]
    assert len(lines) == 1 and said in lines[0]


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are bytes on POSIX alone")
def test_bytes_that_are_no_text_in_a_real_process(tmp_path: Path) -> None:
    """Also where the terminal can show but ASCII."""
    (tmp_path / os.fsdecode(b"\xff.mcap")).write_bytes(b"nothing")
    env = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "stillwing_cli.main", "replay", b"\xff.mcap", "--info"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert b"\\udcff.mcap holds no flight" in line


def test_a_foreign_recording_is_one_sentence_for_a_program_too(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"nothing")
    told = run("replay", str(tmp_path), "--info", "--json")
    assert (told.exit_code, told.stdout) == (1, "")
    with pytest.raises(StillwingError) as caught:
        open_recording(tmp_path)
    assert told.stderr.strip() == f"stillwing: {caught.value}"


@pytest.mark.parametrize("time", ["nan", "inf", "1e300", "-1"])
def test_a_time_that_is_none_is_told_with_its_line(tmp_path: Path, time: str) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg(1))
    (tmp_path / "timestamps.csv").write_text(f"# name,seconds\n1.jpg,{time}\n")
    told = run("replay", str(tmp_path), "--info")
    assert told.exit_code == 1
    (line,) = told.stderr.splitlines()
    assert f"timestamps.csv, line 2: want seconds of at least 0 and below 3153600000, not '{time}'" in line


@pytest.mark.parametrize("encoding", ["json", "protobuf"])
def test_json_in_a_recording_of_ours_is_told(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "flight.mcap"
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(profile="stillwing")
        writer.add_message(writer.register_channel("/vehicle", encoding, 0), 1, b'{"vehicle_id": "drone"}', 1)
        writer.finish()
    told = run("replay", str(path), "--info")
    assert told.exit_code == 1
    (line,) = told.stderr.splitlines()
    assert line.startswith("stillwing: ") and "/vehicle" in line
