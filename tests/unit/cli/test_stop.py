"""python -m pytest tests/unit/cli/test_stop.py -v

`stillwing stop` with real bridges behind real servers: whatever it is given, and whatever is left of the stack.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from bridge_toys import ToyVehicle, toy_settings

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.convert.names import VEHICLE_SERVICE
from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.commands import CommandState, SetVelocity, Takeoff
from stillwing_bridge.core.types import EmergencyStop, StopLevel
from stillwing_bridge.server import DEADLINE_REQUIRED, registrations
from stillwing_bridge.stop_file import StopFile
from stillwing_cli import state
from stillwing_cli.bridges import bridge_address, known_bridges
from stillwing_cli.plan import AGENT, BRIDGE, Choices
from stillwing_cli.stopping import run_stop
from stillwing_cli.told_stop import follow_stops, stops_in_force
from stillwing_rpc.authority import make_certificates
from stillwing_rpc.certificates import CertificateFolder
from stillwing_rpc.channel import open_channel
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings


@dataclass
class Served:
    """A toy vehicle behind a bridge that listens."""

    vehicle: ToyVehicle
    bridge: LocalBridge
    port: int

    async def stop(self) -> EmergencyStop | None:
        return await self.bridge.get_emergency_stop("drone")


Serve = Callable[..., Coroutine[Any, Any, Served]]


@pytest.fixture
async def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Serve]:
    """`await serve()`: a bridge that listens; the folder is empty, and nobody is at the default ports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stillwing_cli.state.DEFAULT_PORTS", {BRIDGE: 1, AGENT: 1})
    for name in ("CERTS", "BRIDGE_HOST", "BRIDGE_PORT", "BRIDGE_TOKEN"):
        monkeypatch.delenv(f"STILLWING_{name}", raising=False)
    servers: list[RpcServer] = []

    async def start(stops: StopFile | None = None, **settings: Any) -> Served:
        vehicle = ToyVehicle()
        bridge = LocalBridge([vehicle], toy_settings(), stops=stops)
        await bridge.start()
        server = RpcServer(
            registrations(bridge, None), ServerSettings(drain_grace_s=1.0, **settings),
            on_drain=bridge.close, deadline_required=DEADLINE_REQUIRED,
        )  # fmt: skip
        port = await server.start()
        await server.set_serving()
        servers.append(server)
        return Served(vehicle, bridge, port)

    yield start
    for server in servers:
        await server.drain()


async def stop(*arguments: str) -> int:
    return await asyncio.to_thread(run_stop, list(arguments))


def leave_state(port: int, text: Callable[[str], str] = str, **choices: Any) -> None:
    """What a stack whose supervisor was killed leaves behind; `text` spoils it."""
    state.RUN_FOLDER.mkdir(parents=True, exist_ok=True)
    ports = {"airfield": 2, BRIDGE: port, AGENT: 3}
    state.write_state(state.StackState(1, {BRIDGE: 70_000}, ports, Choices(**choices), "secret"))
    state.STATE_FILE.write_text(text(state.STATE_FILE.read_text()))


WORDS = {
    "none": ([], "stillwing stop"),
    "an empty reason": (["--reason", ""], "stillwing stop"),
    "a reason without its value": (["--reason"], "stillwing stop"),
    "1,500 characters": (["--reason", "x" * 1500], "xxx"),
    "no UTF-8": (["--reason", b"a bird \xff".decode("utf-8", "surrogateescape")], "a bird \ufffd"),
    "control characters": (["--reason", "a\x1b[2J\r\n\tbird"], "a [2J bird"),
    "no option at all": (["a", "bird", "is", "coming"], "a bird is coming"),
    "an option nobody has heard of": (["--now", "--reason", "a bird"], "a bird"),
    "a level nobody has heard of": (["--level", "freeze"], "stillwing stop"),
    "a level without its value": (["--level"], "stillwing stop"),
    "a flag with a value": (["--json=yes", "a", "bird"], "a bird"),
    "a name of 500 characters": (["--who", "y" * 500], "stillwing stop"),
    "a bridge that is no address": (["--bridge", "\udcff:\0//::x:99999"], "stillwing stop"),
    "a bridge that nobody is": (["--bridge", "127.0.0.1:1"], "stillwing stop"),
}


@pytest.mark.parametrize("case", WORDS, ids=WORDS)
async def test_it_stops_whatever_it_is_given(serve: Serve, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, reason = WORDS[case]
    served = await serve()
    leave_state(served.port)
    assert await stop(*arguments) == 0
    in_force = await served.stop()
    assert in_force is not None and in_force.level is StopLevel.HOLD
    assert in_force.reason.startswith(reason) and len(in_force.reason) <= 1000
    assert in_force.who and len(in_force.who) <= 200
    assert "drone: emergency stop HOLD, latched" in capsys.readouterr().out


LEFT = {
    "as it was written": str,
    "cut off": lambda text: text[: text.index(AGENT, text.index('"ports"'))],
    "without its beginning": lambda text: text[10:],
    "of another version": lambda text: json.dumps({**json.loads(text), "version": 9, "choices": {"scene": 4, "x": 1}}),
    "with ports that are none": lambda text: text.replace('"agent": 3', '"agent": "x"'),
}


@pytest.mark.parametrize("how", LEFT, ids=LEFT)
async def test_it_finds_a_stack_whose_supervisor_was_killed(serve: Serve, how: str) -> None:
    served = await serve()
    leave_state(served.port, LEFT[how])
    assert await stop("--level", "land") == 0
    in_force = await served.stop()
    assert in_force is not None and in_force.level is StopLevel.LAND
    assert await stop("--clear", *(["--operator-token", "secret"] if how == "cut off" else [])) == 0
    assert await served.stop() is None


@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"null", b"[" * 100_000, b'{"ports": {"sim_bridge": -1}}'])
async def test_a_state_file_that_says_nothing_leaves_the_other_places(
    serve: Serve, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve()
    leave_state(2)
    state.STATE_FILE.write_bytes(content)
    monkeypatch.setattr("stillwing_cli.state.DEFAULT_PORTS", {BRIDGE: served.port})
    assert await stop() == 0
    assert await served.stop() is not None


async def test_it_asks_every_place_and_tells_each_ones_answer(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    named, of_the_stack, dead = await serve(), await serve(), 1
    leave_state(of_the_stack.port)
    assert await stop("--bridge", f"localhost:{named.port}", "--json", "--reason", "a bird", "--who", "anna") == 0
    for served in (named, of_the_stack):
        in_force = await served.stop()
        assert in_force is not None and (in_force.reason, in_force.who) == ("a bird", "anna")
    told = capsys.readouterr()
    (line,) = [line for line in told.out.splitlines() if line.startswith("{")]  # the bridges log to the same stream
    answer = json.loads(line)
    assert answer["latched"] == {"drone": "HOLD"}
    by_address = {each["address"]: each for each in answer["bridges"]}
    assert by_address[f"127.0.0.1:{dead}"]["error"] == "nobody listens there"
    (vehicle,) = by_address[f"localhost:{named.port}"]["vehicles"]
    assert vehicle["stop"]["who"] == "anna" and "stop_file" in vehicle["stop"]["not_on_disk"]
    assert "NOT ON DISK" in told.err and "stillwing stop --clear" in told.err
    assert await stop("--clear", "--bridge", f"127.0.0.1:{named.port}", "--operator-token", "secret") == 0
    assert await named.stop() is None
    assert await of_the_stack.stop() is not None, "a stop is cleared at one place alone"


async def test_a_second_stop_tells_whose_is_in_force(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    served = await serve(StopFile(Path("stops.json")))
    leave_state(served.port)
    assert await stop("--who", "anna", "a", "bird") == 0
    assert "NOT ON DISK" not in capsys.readouterr().out
    assert await stop("--who", "ben") == 0
    assert "in force already: drone: emergency stop HOLD by anna" in capsys.readouterr().out


async def test_a_vehicle_that_somebody_flies_or_that_does_not_answer(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    served = await serve()
    leave_state(served.port)
    bridge = served.bridge
    lease = (await bridge.acquire_lease("drone", "somebody")).lease
    await bridge.wait_command(await bridge.command(lease, Takeoff(), ttl_s=10), 10)
    frame_id = (await bridge.capture_frame("drone")).frame_id
    flying = await bridge.command(lease, SetVelocity(forward_m_s=1), ttl_s=5, based_on_frame_id=frame_id)
    served.vehicle.fail = {"hold", "connect"}
    assert await stop() == 0, "it is latched, and held as soon as the vehicle answers"
    assert "NOT CONFIRMED by the vehicle" in capsys.readouterr().out
    assert (await bridge.wait_command(flying, 1)).ended
    served.vehicle.fail = set()
    assert (await bridge.wait_command(flying, 1)).state in (CommandState.ESTOP, CommandState.LINK_LOST)


async def test_ways_in_are_those_that_are_known(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificates(tmp_path / "certs", ["localhost"], days=1)
    certs = CertificateFolder(tmp_path / "certs")
    secure = await serve(**certs.server_settings())
    leave_state(secure.port, certs=str(certs.folder))
    assert await stop() == 0
    assert await secure.stop() is not None
    with_token = await serve(token="a token")
    leave_state(with_token.port, certs=str(tmp_path / "gone"))
    assert await stop() == 1, "a stranger"
    monkeypatch.setenv("STILLWING_BRIDGE_TOKEN", "a token")
    assert await stop() == 0
    assert await with_token.stop() is not None


async def test_a_bridge_on_ipv6(serve: Serve) -> None:
    served = await serve(host="[::1]")
    assert await stop("--bridge", f"[::1]:{served.port}") == 0
    assert await served.stop() is not None


def test_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STILLWING_BRIDGE_PORT", raising=False)
    for said, dialled in {
        "robot:7": "robot:7",
        "robot": "robot:50061",
        "robot:": "robot:50061",
        " 10.0.0.2 ": "10.0.0.2:50061",
        "::1": "[::1]:50061",
        "fe80::1:2": "[fe80::1:2]:50061",
        "[::1]": "[::1]:50061",
        "[::1]:7": "[::1]:7",
        "http://robot:7/": "robot:7",
        "grpc://[::1]:7": "[::1]:7",
    }.items():
        assert bridge_address(said) == dialled
    monkeypatch.setenv("STILLWING_BRIDGE_PORT", "7")
    assert known_bridges("robot") == ("robot:7", "127.0.0.1:7", "[::1]:7")


async def test_a_stop_that_is_kept_is_cleared_without_a_stack(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    await serve()
    state.RUN_FOLDER.mkdir(parents=True)
    kept = StopFile(state.STOP_FILE)
    kept.save({"drone": EmergencyStop(StopLevel.HOLD, "a bird", 1, "anna")})
    with state.the_only_stack():
        assert await stop("--clear") == 1, "its stack is up, and the bridge does not answer"
    assert await stop("--clear", "--unheard") == 2
    assert kept.load()
    assert await stop("--clear") == 0
    assert kept.load() == {}
    assert "drone: emergency stop cleared, for the next start" in capsys.readouterr().out
    assert await stop("--clear") == 1, "there is nothing to clear, and nobody"


def test_where_nothing_is_it_says_that_nothing_was_stopped(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "stillwing_cli.main", "stop", "--bridge", "127.0.0.1:1", "--reason", "a bird \udcff"]
    environment = os.environ | {"STILLWING_BRIDGE_PORT": "1"}
    told = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert "NOTHING WAS STOPPED" in told.stderr and "Next: stillwing stop --bridge" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize("ending", [">&- 2>&-", "> /dev/full 2>&1", "| true"])
async def test_nobody_has_to_read_what_it_prints(serve: Serve, ending: str) -> None:
    served = await serve()
    command = f"'{sys.executable}' -m stillwing_cli.main stop --bridge 127.0.0.1:{served.port} {ending}"
    shell = await asyncio.create_subprocess_exec("bash", "-o", "pipefail", "-c", command, stdin=subprocess.DEVNULL)
    assert await shell.wait() == 0
    assert await served.stop() is not None


async def test_a_stop_is_told_while_it_comes_and_goes(serve: Serve) -> None:
    served = await serve()
    bridge = await RemoteBridge.connect(f"127.0.0.1:{served.port}")
    lines: asyncio.Queue[str] = asyncio.Queue()
    await served.bridge.emergency_stop("drone", StopLevel.HOLD, "a bird", who="anna")
    following = asyncio.create_task(follow_stops(bridge, lines.put_nowait, await stops_in_force(bridge)))
    async with asyncio.timeout(10):
        await served.bridge.emergency_stop("drone", StopLevel.LAND, "two birds", who="ben")
        harder = await lines.get()
        assert "drone: emergency stop LAND by ben at " in harder and ": two birds" in harder
        assert "To clear it: stillwing stop --clear" in harder
        await served.bridge.clear_emergency_stop("drone", "secret")
        assert await lines.get() == "drone: the emergency stop is cleared"
    following.cancel()
    await asyncio.wait({following})
    await bridge.close()
    gone = RemoteBridge(open_channel("127.0.0.1:1", VEHICLE_SERVICE))
    following = asyncio.create_task(follow_stops(gone, lines.put_nowait))
    async with asyncio.timeout(10):
        assert "is not known" in await lines.get()
    following.cancel()
    await asyncio.wait({following})
    await gone.close()
