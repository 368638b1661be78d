"""python -m pytest tests/unit/cli/test_supervisor.py

Order, readiness, restarts and one end for all, on real processes that stand in for the parts.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from stillwing_cli import part_process, stack, state
from stillwing_cli.errors import AlreadyUp, PartFailed
from stillwing_cli.plan import (
    AGENT,
    AIRFIELD,
    BRIDGE,
    DEFAULT_PORTS,
    ENGINE,
    MEMORY,
    Choices,
    Part,
    free_ports,
    make_parts,
    refuse_taken_ports,
)
from stillwing_cli.supervisor import Restarts, Supervisor
from stillwing_common.errors import InvalidInput, PortInUse, WrongService

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")

STAND_IN = Path(__file__).with_name("stand_in_part.py")
Make = Callable[..., Supervisor]


QUICK = Restarts(most=2, first_pause_s=0.05, silent_after_s=1.5)


def part(name: str, mode: str, *more: str, after: tuple[str, ...] = (), restarts: bool = False) -> Part:
    port = free_ports((name,))[name]
    argv = (sys.executable, str(STAND_IN), mode, str(port), *more)
    return Part(name, argv, port, after=after, service="test.v1.Part", restarts=restarts)


@pytest.fixture
def said() -> list[tuple[str, str]]:
    return []


@pytest.fixture
async def make(tmp_path: Path, said: list[tuple[str, str]]) -> AsyncIterator[Make]:
    made: list[Supervisor] = []

    def build(*parts: Part) -> Supervisor:
        made.append(Supervisor(parts, lambda name, line: said.append((name, line)), tmp_path / "logs", restarts=QUICK))
        return made[-1]

    yield build
    for each in made:
        await each.stop()


async def test_parts_start_in_order_and_all_end(make: Make, said: list[tuple[str, str]], tmp_path: Path) -> None:
    parts = (part("last", "serve", after=("first",)), part("first", "serve"))
    running = make(*parts)
    await running.start()
    assert ready(said) == ["first", "last"]
    pids = running.pids
    await running.stop()
    assert [pid for pid in pids.values() if alive(pid)] == []
    assert "told to end" in (tmp_path / "logs" / "first.log").read_text()
    assert ("last", "up and serving") in said


async def test_a_part_that_exits_is_named_with_its_last_lines(make: Make) -> None:
    running = make(part("good", "serve"), part("bad", "exit", after=("good",)))
    with pytest.raises(PartFailed, match=r"(?s)bad ended with exit code 3.*because of this"):
        await running.start()
    await running.stop()
    assert not alive(running.pids["good"])


async def test_what_nothing_flies_without_ends_all(make: Make) -> None:
    running = make(part("one", "serve", restarts=True), part("two", "serve"))
    await running.start()
    os.kill(running.pids["two"], signal.SIGKILL)
    failed = await asyncio.wait_for(running.keep_up(), 5)
    assert failed.metadata["part"] == "two"
    assert "two has ended with exit code -9, and nothing flies without it" in str(failed)


@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGKILL, "has ended with exit code -9"), (signal.SIGSTOP, "runs and has not answered for 1.5 s")],
)
async def test_a_dead_or_frozen_part_is_started_again(
    make: Make, said: list[tuple[str, str]], tmp_path: Path, number: signal.Signals, why: str
) -> None:
    running = make(part("one", "serve"), part("two", "serve", after=("one",), restarts=True))
    await running.start()
    keeping = asyncio.create_task(running.keep_up())
    first = running.pids
    os.kill(first["two"], number)
    await until(lambda: running.restarts["two"] == 1 and ready(said) == ["one", "two", "two"])
    assert running.pids["one"] == first["one"]
    assert not alive(first["two"])
    assert alive(running.pids["two"])
    assert ("", f"two {why}; restart 1 of 2 in 0.05 s") in said
    # One log for both processes.
    assert (tmp_path / "logs" / "two.log").read_text().count("up and serving") == 2
    assert not keeping.done()
    keeping.cancel()


async def test_restarts_are_bounded_and_come_slower_each_time(make: Make, said: list[tuple[str, str]]) -> None:
    running = make(part("one", "serve"), part("two", "serve", after=("one",), restarts=True))
    await running.start()
    keeping = asyncio.create_task(running.keep_up())
    for restarts in range(3):
        await until(lambda count=restarts: len(ready(said)) == 2 + count)
        os.kill(running.pids["two"], signal.SIGKILL)
    failed = await asyncio.wait_for(keeping, 5)
    assert "two has ended with exit code -9, after 2 restarts within 10 minutes" in str(failed)
    assert [line.rpartition(" in ")[2] for _, line in said if "restart" in line] == ["0.05 s", "0.1 s"]


async def test_a_restart_that_fails_is_another_death(make: Make, tmp_path: Path) -> None:
    port = free_ports(("once",))["once"]
    argv = (sys.executable, str(STAND_IN), "once", str(port), str(tmp_path / "was here"))
    running = make(Part("once", argv, port, service="test.v1.Part", restarts=True))
    await running.start()
    os.kill(running.pids["once"], signal.SIGKILL)
    failed = await asyncio.wait_for(running.keep_up(), 10)
    assert "once ended with exit code 4 before it was ready, after 2 restarts within 10 minutes" in str(failed)
    assert running.restarts == {"once": 2}


def test_pauses_double_up_to_a_bound() -> None:
    assert [Restarts().pause_s(earlier) for earlier in (0, 1, 2, 9, 5000)] == [0.5, 1.0, 2.0, 30.0, 30.0]


async def test_one_that_ignores_the_signal_is_killed_with_its_children(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_process, "_END_LIMIT_S", 0.3)
    running = make(part("stubborn", "stubborn", str(tmp_path / "child")))
    await running.start()
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    await running.stop()
    assert not alive(running.pids["stubborn"])
    assert not alive(child)


async def test_says_what_it_waits_for(make: Make, said: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_process, "STILL_WAITING_EVERY_S", 0.1)
    monkeypatch.setattr(part_process, "START_LIMIT_S", 0.5)
    with pytest.raises(Exception, match="not serving within"):
        await make(part("sleepy", "silent")).start()
    assert any(line.startswith("still waiting for sleepy after") for _, line in said)


async def test_another_service_on_the_port_is_told_apart(make: Make) -> None:
    there = part("there", "serve")
    await make(there).start()
    asked = Part("asked", (sys.executable, "-c", "import signal; signal.pause()"), there.port, service="other.v1.Other")
    with pytest.raises(WrongService):
        await make(asked).start()


def test_the_stack_in_order() -> None:
    parts = make_parts(Choices(seed=7, model="/m", agent="choice", profile="gpu"), DEFAULT_PORTS)
    assert [each.name for each in parts] == [AIRFIELD, BRIDGE, MEMORY, ENGINE, AGENT]
    assert [each.name for each in parts if each.restarts] == [MEMORY, ENGINE, AGENT]
    by_name = {each.name: each for each in parts}
    assert by_name[AIRFIELD].argv[-4:] == ("--seed", "7", "--port", "41451")
    assert by_name[ENGINE].env["STILLWING_VLM_MODEL"] == "/m"
    assert by_name[ENGINE].env["STILLWING_VLM_DEVICE"] == "cuda"
    assert by_name[AGENT].env["STILLWING_AGENT_AGENT"] == "choice"
    assert by_name[AGENT].env["STILLWING_AGENT_ENGINE_ADDRESS"] == by_name[ENGINE].address
    assert set(by_name[AGENT].after) == {BRIDGE, MEMORY, ENGINE}


def test_a_simulator_elsewhere_leaves_airfield_out() -> None:
    parts = make_parts(Choices(simulator="10.0.0.2:41451"), DEFAULT_PORTS)
    assert parts[0].name == BRIDGE
    assert parts[0].env["STILLWING_BRIDGE_AIRSIM_ADDRESS"] == "10.0.0.2:41451"
    assert parts[0].after == ()


def test_wrong_profile_is_refused() -> None:
    with pytest.raises(InvalidInput, match="auto, cpu, gpu"):
        Choices(profile="tpu")


def test_a_model_behind_an_endpoint() -> None:
    url = "https://a.b/v1"
    parts = make_parts(Choices(model="eyes-1", endpoint=url), DEFAULT_PORTS)
    engine = next(part for part in parts if part.name == ENGINE)
    assert engine.argv[1:] == ("-m", "stillwing_vlm.endpoint")
    assert (engine.env["STILLWING_ENDPOINT_URL"], engine.env["STILLWING_ENDPOINT_MODEL"]) == (url, "eyes-1")
    with pytest.raises(InvalidInput, match="--model"):
        Choices(endpoint=url)


async def test_a_taken_port_names_the_part_and_the_way_out() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(PortInUse, match=f"{port}, which agent needs; or run with --ports auto"):
        refuse_taken_ports((Part(AGENT, (), port),))
    server.close()
    await server.wait_closed()


def test_one_stack_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert state.read_state() is None
    written = state.StackState(1, {AGENT: 2}, {AGENT: 3}, Choices(seed=5), restarts={AGENT: 4})
    with state.the_only_stack():
        state.write_state(written)
        assert state.read_state() == written
        with pytest.raises(AlreadyUp), state.the_only_stack():
            pass
        assert state.read_state() == written
    assert state.read_state() is None


def test_a_state_left_over_by_a_killed_supervisor_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state.RUN_FOLDER.mkdir(parents=True)
    state.write_state(state.StackState(1, {}, DEFAULT_PORTS, Choices()))
    assert state.read_state() is None


async def test_processes_left_over_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state.RUN_FOLDER.mkdir(parents=True)
    ours, stranger = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", f"{name} = 1; import signal; signal.pause()", start_new_session=True
        )
        for name in ("stillwing_part", "stranger")
    ]
    # Right after its start a process may have no command line yet.
    await until(lambda: all(Path(f"/proc/{one.pid}/cmdline").read_bytes() for one in (ours, stranger)))
    (state.RUN_FOLDER / "pids").write_text(f"{ours.pid} {stranger.pid}")
    await asyncio.wait_for(stack.end_leftovers(lambda name, line: None), 5)
    assert await asyncio.wait_for(ours.wait(), 5) == -signal.SIGTERM
    assert stranger.returncode is None
    stranger.kill()
    await stranger.wait()


def ready(said: list[tuple[str, str]]) -> list[str]:
    """Names of the parts as they became ready."""
    return [line.split()[0] for name, line in said if not name and "is ready" in line]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # what changes is a process
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
