"""python -m pytest tests/rpc/memory/test_memory_server.py

What only the wire can get wrong: unset members, unknown encodings, statuses, deadlines, streams that end with a drain.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import pytest

from stillwing.common.v1 import common_pb2
from stillwing.memory.v1 import memory_pb2, memory_pb2_grpc
from stillwing_common.errors import InvalidInput, StoreUnavailable, UnsetOneof
from stillwing_memory.core.keyframes import ByText, Match
from stillwing_memory.core.protocol import BankInfo
from stillwing_memory.server import SERVICE, registration
from stillwing_rpc.channel import connect
from stillwing_rpc.errors import from_rpc_error
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings


class ScriptedBank:
    """Notes what it is asked; answers little."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.closing = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.watched = asyncio.Event()

    async def get_bank(self) -> BankInfo:
        raise StoreUnavailable("the disk is full", path="/data")

    async def put_keyframe(self, keyframe: Any) -> None:
        self.calls.append(("put", keyframe))

    async def file_chunk(self, chunk: Any) -> None:
        self.calls.append(("file", chunk))

    async def search_keyframes(self, query: Any, **options: Any) -> tuple[Match, ...]:
        self.calls.append(("search", (query, options)))
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return ()

    async def watch_changes(self, after_revision: int = 0) -> AsyncGenerator[Any, None]:
        self.calls.append(("watch", after_revision))
        self.watched.set()
        await self.closing.wait()
        for nothing in ():
            yield nothing

    async def end_streams(self) -> None:
        self.closing.set()


@pytest.fixture
async def bank() -> ScriptedBank:
    return ScriptedBank()


@pytest.fixture
async def server(bank: ScriptedBank) -> AsyncIterator[RpcServer]:
    made = RpcServer([registration(bank)], ServerSettings(drain_grace_s=5), on_drain=bank.end_streams)  # type: ignore[arg-type]
    await made.start()
    await made.set_serving()
    yield made
    await made.drain()


@pytest.fixture
async def stub(server: RpcServer) -> AsyncIterator[Any]:
    channel = await connect(f"127.0.0.1:{server.port}", SERVICE)
    yield memory_pb2_grpc.MemoryServiceStub(channel)
    await channel.close()


async def test_a_query_without_a_member_is_refused(stub: Any, bank: ScriptedBank) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SearchKeyframes(memory_pb2.SearchKeyframesRequest(page_size=3))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(from_rpc_error(caught.value), UnsetOneof)
    assert bank.calls == []


FRAME = common_pb2.Frame(frame_id="d/c/1", image=common_pb2.Image(encoding=common_pb2.Image.ENCODING_JPEG, data=b"x"))


@pytest.mark.parametrize(
    "keyframe",
    [
        None,
        memory_pb2.Keyframe(),
        memory_pb2.Keyframe(frame=common_pb2.Frame(image=FRAME.image)),
        memory_pb2.Keyframe(frame=common_pb2.Frame(frame_id="d/c/1")),
        memory_pb2.Keyframe(frame=common_pb2.Frame(frame_id="d/c/1", image=common_pb2.Image(data=b"x"))),
        memory_pb2.Keyframe(frame=FRAME, sightings=[memory_pb2.Sighting(label="a", box=[0, 1])]),
        memory_pb2.Keyframe(
            frame=FRAME,
            sightings=[memory_pb2.Sighting(label="a", position=common_pb2.PositionNed(north_m=float("nan")))],
        ),
    ],
    ids=["nothing", "no frame", "no frame id", "no image", "encoding unset", "half a box", "no place"],
)
async def test_a_keyframe_that_is_none_never_reaches_the_bank(
    stub: Any, bank: ScriptedBank, keyframe: memory_pb2.Keyframe | None
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.PutKeyframe(memory_pb2.PutKeyframeRequest(keyframe=keyframe))
    assert isinstance(from_rpc_error(caught.value), InvalidInput)
    assert bank.calls == []


@pytest.mark.parametrize("vectors", [{"shape": [1, 2, 2], "data": bytes(12)}, {"shape": [4], "data": bytes(16)}])
async def test_a_chunk_with_vectors_that_are_none_never_reaches_the_bank(
    stub: Any, bank: ScriptedBank, vectors: dict[str, Any]
) -> None:
    frame = memory_pb2.ChunkFrame(
        keyframe=memory_pb2.Keyframe(frame=FRAME),
        mean_keys=common_pb2.Vectors(shape=vectors["shape"], data=vectors["data"]),
    )
    view = memory_pb2.ThingView(entity_id="ent_1", mean_query=frame.mean_keys, tokens=1)
    for request in (memory_pb2.FileChunkRequest(frames=[frame]), memory_pb2.FileChunkRequest(views=[view])):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.FileChunk(request)
        assert isinstance(from_rpc_error(caught.value), InvalidInput)
    assert bank.calls == []


async def test_a_store_that_is_away_may_be_tried_again(stub: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.GetBank(memory_pb2.GetBankRequest())
    error = from_rpc_error(caught.value)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert isinstance(error, StoreUnavailable)
    assert error.metadata["path"] == "/data"


async def test_a_caller_that_runs_out_of_time_stops_the_work(stub: Any, bank: ScriptedBank) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.SearchKeyframes(memory_pb2.SearchKeyframesRequest(text="tree", page_size=4), timeout=0.3)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(bank.cancelled.wait(), 5)
    options = {"limit": 4, "mission_id": "", "include_image": False}
    assert bank.calls == [("search", (ByText("tree"), options))]


async def test_a_drain_ends_those_who_watch(stub: Any, server: RpcServer, bank: ScriptedBank) -> None:
    call = stub.WatchChanges(memory_pb2.WatchChangesRequest(after_revision=7))
    reading = asyncio.ensure_future(call.read())
    await asyncio.wait_for(bank.watched.wait(), 5)
    started = asyncio.get_running_loop().time()
    await server.drain()
    assert asyncio.get_running_loop().time() - started < 4
    assert await reading is grpc.aio.EOF
    assert bank.calls == [("watch", 7)]
