"""python -m pytest tests/unit/cli/test_commands.py

What each command says where little or nothing is there.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import pytest
from typer.testing import CliRunner

from stillwing_cli import doctor
from stillwing_cli.main import app
from stillwing_cli.plan import AIRFIELD, Part
from stillwing_cli.ready import ping, wait_ready
from stillwing_cli.status import session_text
from stillwing_common.errors import LinkLost, Unavailable
from stillwing_common.extras import install_command
from stillwing_vlm.core.results import SessionInfo, SnapshotInfo

COMMANDS = ("up", "fly", "instruct", "ask", "answer", "status", "watch", "stop", "doctor", "eval", "train-pilot")


@pytest.fixture(autouse=True)
def nothing_is_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a stack, and default ports where nobody listens."""
    monkeypatch.chdir(tmp_path)
    closed = dict.fromkeys(("airfield", "sim_bridge", "memory_bank", "vlm_engine", "agent"), 1)
    monkeypatch.setattr("stillwing_cli.state.DEFAULT_PORTS", closed)


@pytest.fixture
def cli() -> Callable[..., Any]:
    return lambda *arguments: CliRunner().invoke(app, list(arguments))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(cli: Any, command: str) -> None:
    told = cli(command, "--help")
    assert told.exit_code == 0
    assert "Usage" in told.output


def test_status_of_nothing(cli: Any) -> None:
    told = cli("status", "--json")
    answer = json.loads(told.stdout)
    assert told.exit_code == 0
    assert answer["managed"] is False
    assert {part["health"] for part in answer["parts"]} == {"unavailable", "link_lost"}
    assert "stillwing up" in told.stderr


def test_status_tells_a_sessions_snapshots() -> None:
    plain = SessionInfo("ses_1", "", "peer", 0, 10, 100, 5, 7, 0, 0, 0, "v/c/6", "v/c/0")
    assert session_text(plain) == "ses_1: 7 frames"
    kept = (SnapshotInfo("snp_1", 0, "home", "v/c/2", is_restorable=False), SnapshotInfo("snp_2", 0))
    told = session_text(replace(plain, label="patrol", snapshots=kept))
    assert told == "patrol: 7 frames, snapshots home (overwritten) snp_2"


def test_without_a_stack_it_is_said_what_to_start(cli: Any) -> None:
    told = cli("watch")
    assert told.exit_code == 1
    assert "127.0.0.1:1 was not serving" in told.stderr
    assert "Next: stillwing up" in told.stderr


def test_a_stop_without_a_stack_says_that_nothing_was_stopped(cli: Any) -> None:
    told = cli("stop", "--reason", "a bird", "--unheard")
    assert told.exit_code == 1
    assert "127.0.0.1:1: nobody listens there" in told.stdout
    assert "NOTHING WAS STOPPED" in told.stderr


def test_unknown_scene_is_told_before_anything_starts(cli: Any) -> None:
    told = cli("fly", "--scene", "moon")
    assert told.exit_code == 1
    assert "known: " in told.stderr and "meadow" in told.stderr
    assert not Path(".stillwing/run/logs").exists()


def test_wrong_ports_are_refused(cli: Any) -> None:
    told = cli("up", "--ports", "some")
    assert told.exit_code == 1
    assert "default or auto" in told.stderr


def test_doctor_names_what_is_missing_and_what_fixes_it(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(doctor.EXTRAS, "agent", ("a_package_nobody_has",))
    monkeypatch.setattr(doctor, "_DRAW", ("-c", "import sys; sys.exit('cannot draw here')"))
    told = cli("doctor", "--json")
    findings = {each["what"]: each for each in json.loads(told.stdout)}
    assert told.exit_code == 1
    assert findings["packages [agent]"]["found"] == "missing: a_package_nobody_has"
    assert findings["packages [agent]"]["fix"] == install_command("fly")
    assert findings["graphics"]["found"] == "cannot draw here"
    assert "apt-get" in findings["graphics"]["fix"]
    assert findings["packages [bridge]"]["ok"]
    assert f"Next: {install_command('fly')}" in told.stderr


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[bytes], Any]]:
    """`await answering(reply)` serves one reply to everything and gives the address."""
    servers: list[asyncio.Server] = []

    async def serve(reply: bytes) -> str:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(reply)
            writer.close()

        servers.append(await asyncio.start_server(handle, "127.0.0.1", 0))
        return f"127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}"

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_ping_takes_a_simulator_for_one(answering: Any) -> None:
    address = await answering(msgpack.packb([1, 0, None, True]))
    await ping(address)
    await wait_ready(Part(AIRFIELD, (), int(address.rpartition(":")[2])), 1.0)


@pytest.mark.parametrize(
    "reply", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", msgpack.packb([1, 0, "no", None]), b"\xc1"]
)
async def test_ping_takes_nothing_else_for_one(answering: Any, reply: bytes) -> None:
    address = await answering(reply)
    with pytest.raises(LinkLost, match=address):
        await ping(address)
    with pytest.raises(Unavailable, match="did not answer within"):
        await wait_ready(Part(AIRFIELD, (), int(address.rpartition(":")[2])), 0.3)


def test_an_instruction_needs_an_agent(cli: Any) -> None:
    told = cli("instruct", "Now fly to the van.")
    assert told.exit_code == 1
    assert "stillwing up" in told.stderr
