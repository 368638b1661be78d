"""python -m pytest tests/e2e/test_engine_killed.py -v

An engine killed with -9, as a process: a session goes on from its last export and the frames since, and nobody who asks
can tell.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from vlm_frames import SMALL, frame

from stillwing_common.errors import StillwingError
from stillwing_lab.tiny_model import write_tiny_model
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.protocol import Session
from stillwing_vlm.core.requests import AskRequest, ChoiceRequest, PeriodicExport, SessionConfig

pytestmark = pytest.mark.e2e
READY_WITHIN_S = 120
QUESTIONS = [AskRequest(f"Question {index}?", max_tokens=20) for index in range(3)]
CHOICE = ChoiceRequest("Which way?", ("left", "right", "straight on"))

Launch = Callable[[Path], tuple["subprocess.Popen[bytes]", int]]


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    started: list[subprocess.Popen[bytes]] = []

    def one(model: Path) -> tuple["subprocess.Popen[bytes]", int]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with (tmp_path / f"engine_{len(started)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "stillwing_vlm", "--port", str(port), "--model", str(model), "--device", "cpu",
                 "--exports-dir", str(tmp_path / "exports")],
                stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        started.append(process)
        return process, port

    yield one
    for process in started:
        process.kill()
        process.wait(10)


async def reach(port: int) -> RemoteEngine:
    return await RemoteEngine.connect(f"127.0.0.1:{port}", wait_s=READY_WITHIN_S)


async def append(session: Session, first: int, end: int) -> None:
    for index in range(first, end):
        await session.append(frame(index))


async def answers(session: Session) -> list[object]:
    done = [await session.ask(request).done() for request in QUESTIONS]
    scored = await session.ask_choice(CHOICE)
    return [*((one.text, one.provenance) for one in done), scored.probabilities, scored.provenance]


async def test_a_killed_engines_sessions_go_on(launch: Launch, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model")
    process, port = launch(model)
    engine = await reach(port)
    asked = await engine.open_session(SMALL)
    by_itself = await engine.open_session(replace(SMALL, periodic_export=PeriodicExport("by-itself", 3)))
    for session in (asked, by_itself):
        await append(session, 0, 25)
    await asked.recall([frame(2), frame(3)])
    await append(asked, 25, 30)
    await asked.export("asked")
    for session, first in ((asked, 30), (by_itself, 25)):
        await append(session, first, 45)
    wanted = [await answers(session) for session in (asked, by_itself)]
    waiting = asked.ask(AskRequest("Tell me all.", max_tokens=1000))
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    with pytest.raises(StillwingError):
        await waiting.done()
    await engine.close()
    # As if it had been writing when it was killed: what is unfinished is not taken for an export.
    (tmp_path / "exports" / ".asked.safetensors.unfinished").write_bytes(b"half")

    _, port = launch(model)
    engine = await reach(port)
    assert sorted(info.name for info in await engine.list_exports()) == ["asked", "by-itself"]
    for name, told in zip(("asked", "by-itself"), wanted, strict=True):
        resumed = await engine.open_session(SessionConfig(from_export=name))
        newest = int(resumed.restored_frame_id.removeprefix("v/c/"))
        # One that would begin while another is being written is left out, so this may be an older one.
        assert newest == 29 if name == "asked" else 2 <= newest < 45
        await append(resumed, newest + 1, 45)
        assert await answers(resumed) == told
        await resumed.export(name)
    await engine.close()
