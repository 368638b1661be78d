"""python -m pytest tests/rpc/vlm/test_vlm_trouble.py -v

Clients that vanish, and clients that do not read: their sessions end or wait, and no other session feels it.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from silent_relay import SilentRelay
from vlm_frames import SMALL, frame

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common.errors import FrameSuperseded, OutOfCredits, QueueFull, SlowReader
from stillwing_common.types import Frame, Image, ImageEncoding, Stamp
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.catalog import LoadedEngine
from stillwing_vlm.core.local import LocalEngine
from stillwing_vlm.core.requests import AskRequest, FramePolicy
from stillwing_vlm.core.results import AppendResult
from stillwing_vlm.outbox import MOST_BYTES
from stillwing_vlm.session_call import SessionCall

SUPPORT = Path(__file__).parents[2] / "support"
OPEN = vlm_pb2.OpenSession(system_prompt="You fly.", max_context_tokens=160)
UNKNOWN = vlm_pb2.CancelAsk(ask_seq=2**40)


def wide(index: int) -> Frame:
    """A frame of 0.7 MB."""
    image = Image(ImageEncoding.RGB8, 560, 420, bytes([index % 256]) * (560 * 420 * 3))
    return Frame(f"v/c/{index}", "c", Stamp(index, "clock"), None, image)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110  # the server's state has no event to wait for
            await asyncio.sleep(0.02)


async def open_sessions(served: Any) -> int:
    return len((await served.stub.ListSessions(vlm_pb2.ListSessionsRequest())).sessions)


async def test_a_client_killed_in_mid_answer_harms_nobody(served: Any, loaded: LoadedEngine) -> None:
    local = LocalEngine(loaded).open("You fly.", 160)
    remote = await RemoteEngine.connect(f"127.0.0.1:{served.port}")
    session = await remote.open_session(SMALL)
    for index in range(12):
        local.append(frame(index))
        await session.append(frame(index))
    path = os.pathsep.join([str(SUPPORT), *(each for each in sys.path if each)])
    client = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SUPPORT / "vanishing_client.py"),
        str(served.port),
        env={**os.environ, "PYTHONPATH": path},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert client.stdout is not None
        async with asyncio.timeout(60):
            assert await client.stdout.readline() == b"answering\n"
        assert await open_sessions(served) == 2
        beside = session.ask(AskRequest("What is it?", max_tokens=40))
        client.kill()
        await client.wait()
        alone = local.ask("What is it?", max_tokens=40)
        assert (await beside.done()).text == alone.text

        async def gone() -> bool:
            return await open_sessions(served) == 1

        await until(gone)
        again = await session.ask(AskRequest("What is it?", max_tokens=40)).done()
        assert (again.text, again.provenance) == (alone.text, alone.provenance)
        assert served.engine.machinery.scheduler.waiting() == 0
    finally:
        if client.returncode is None:
            client.kill()
        await client.communicate()  # to its end, so that no pipe is left to be found unclosed later
        await remote.close()


async def test_a_reader_that_pauses_gets_everything_and_holds_up_nobody(served: Any) -> None:
    slow = served.stub.Session()
    await slow.write(vlm_pb2.SessionRequest(request_seq=1, open=OPEN))

    sent, enough = 1, asyncio.Event()

    async def flood() -> None:
        # How much a connection holds by itself grows with its speed, so it is filled until nothing more goes in.
        nonlocal sent
        unknown = vlm_pb2.RestoreSnapshot(snapshot_id="snp_" + "x" * 1000)
        while not enough.is_set():
            await slow.write(vlm_pb2.SessionRequest(request_seq=sent + 1, restore_snapshot=unknown))
            sent += 1
        await slow.done_writing()

    flooding = asyncio.create_task(flood())
    remote = await RemoteEngine.connect(f"127.0.0.1:{served.port}")
    session = await remote.open_session(SMALL)
    before, standing = 0, 0
    for index in range(500):
        await session.append(frame(index))
        await session.ask(AskRequest("What is it?", max_tokens=4)).done()
        before, standing = sent, standing + 1 if sent == before else 0
        if standing == 3:
            break
    # The flood has met its bound: nothing is read, so no more is taken, and the other session went on all the while.
    assert standing == 3
    assert not flooding.done()
    enough.set()
    seen = []
    async with asyncio.timeout(60):
        while (event := await slow.read()) is not grpc.aio.EOF:
            seen.append(event.event_seq)
    await flooding
    assert seen == list(range(1, sent + 1))
    await remote.close()


async def test_behind_a_link_that_stalls_only_the_newest_frame_waits(served: Any) -> None:
    """However many frames come meanwhile, they cost no memory, and what goes on afterwards is of now."""
    config = replace(SMALL, frame_policy=FramePolicy.NEWEST_WINS)
    with SilentRelay(f"127.0.0.1:{served.port}") as relay:
        remote = await RemoteEngine.connect(relay.address)
        session = await remote.open_session(config)
        await session.append(wide(0))
        relay.fall_silent()
        placed = []
        for index in range(1, 400):
            placed.append(asyncio.ensure_future(session.append(wide(index))))
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        waiting = [each for each in placed if not each.done()]
        # What the connection itself has taken is a few megabytes; then each frame takes the place of the one before.
        assert len(waiting) < 200
        relay.carry_on()
        async with asyncio.timeout(60):
            results = await asyncio.gather(*placed, return_exceptions=True)
        assert results[-1].frame_ids == ("v/c/399",)  # type: ignore[union-attr]
        assert all(isinstance(each, AppendResult | FrameSuperseded) for each in results)
        info = await remote.get_session(session.session_id)
        assert info.appended_frames + info.dropped_frames == 400
        await remote.close()


async def test_what_a_stalled_link_does_not_take_is_refused_beyond_a_bound(served: Any) -> None:
    with SilentRelay(f"127.0.0.1:{served.port}") as relay:
        remote = await RemoteEngine.connect(relay.address)
        session = await remote.open_session(SMALL)
        relay.fall_silent()
        placed = []
        for index in range(400):
            placed.append(asyncio.ensure_future(session.append(wide(index))))
            await asyncio.sleep(0)
        await asyncio.sleep(0.2)
        full = [each for each in placed if each.done() and isinstance(each.exception(), QueueFull)]
        size = len(wide(0).image.data)
        assert full
        assert (len(placed) - len(full)) * size < 2 * MOST_BYTES
        relay.carry_on()
        async with asyncio.timeout(60):
            results = await asyncio.gather(*placed, return_exceptions=True)
        assert isinstance(results[0], AppendResult)
        assert all(isinstance(each, AppendResult | OutOfCredits | QueueFull) for each in results)
        await remote.close()


async def test_more_unread_than_may_be_ends_the_session_alone(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spoken to the call itself: over a connection a client that is written off meanwhile sees its own send fail."""
    monkeypatch.setattr("stillwing_vlm.session_call._MOST_UNSENT", 20)
    other = await served.engine.open_session(SMALL)
    session = await served.engine.open_session(SMALL)

    async def flood() -> AsyncIterator[vlm_pb2.SessionRequest]:
        for seq in range(2, 100):
            yield vlm_pb2.SessionRequest(request_seq=seq, cancel_ask=UNKNOWN)

    call = SessionCall(session, 1)
    events = call.responses(flood())
    assert (await anext(events)).HasField("opened")
    async with asyncio.timeout(10):
        await session.wait_closed()
    with pytest.raises(SlowReader):
        assert len([event async for event in events]) == 20
    call.abandon()
    assert (await other.append(frame(0))).frame_ids == ("v/c/0",)


async def test_pieces_of_an_answer_nobody_reads_are_joined(served: Any) -> None:
    slow = served.stub.Session()
    await slow.write(vlm_pb2.SessionRequest(request_seq=1, open=OPEN))
    ask = vlm_pb2.Ask(prompt="Tell me all.", max_tokens=300, sampling=vlm_pb2.Sampling(temperature=3, seed=7))
    await slow.write(vlm_pb2.SessionRequest(request_seq=2, ask=ask))
    await slow.done_writing()
    events = [event async for event in slow]
    done = events[-1].answer_done
    deltas = [event.answer_delta.text for event in events if event.WhichOneof("event") == "answer_delta"]
    assert "".join(deltas) == done.text
    assert len(deltas) <= done.answer_tokens + 1
