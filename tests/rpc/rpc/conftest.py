"""A small servicer behind the real server, on a free port."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_rpc.channel import connect
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.settings import ServerSettings

SERVICE = "stillwing.vlm.v1.VlmService"


class SmallServicer(vlm_pb2_grpc.VlmServiceServicer):
    """Answers with what the test has put into it."""

    def __init__(self) -> None:
        self.get_model: Callable[[Any], Any] = lambda context: vlm_pb2.GetModelResponse(engine="small")
        self.on_message: Callable[[int], None] = lambda seq: None
        self.ended = asyncio.Event()
        self.closing = asyncio.Event()

    async def GetModel(self, request: Any, context: Any) -> Any:
        answer = self.get_model(context)
        return await answer if asyncio.iscoroutine(answer) else answer

    async def Session(self, request_iterator: Any, context: Any) -> AsyncIterator[Any]:
        try:
            async for request in request_iterator:
                self.on_message(request.request_seq)
                yield vlm_pb2.SessionResponse(event_seq=request.request_seq)
        finally:
            self.ended.set()


Start = Callable[..., Any]


@pytest.fixture
def servicer() -> SmallServicer:
    return SmallServicer()


@pytest.fixture
async def start(servicer: SmallServicer) -> AsyncIterator[Start]:
    """`await start(...)` serves the small servicer and gives (server, "127.0.0.1:port")."""
    servers: list[RpcServer] = []

    async def begin(*, serving: bool = True, settings: ServerSettings | None = None, **kwargs: Any) -> Any:
        registration = Registration(SERVICE, lambda s: vlm_pb2_grpc.add_VlmServiceServicer_to_server(servicer, s))
        server = RpcServer([registration], settings or ServerSettings(drain_grace_s=2.0), **kwargs)
        port = await server.start()
        servers.append(server)
        if serving:
            await server.set_serving()
        return server, f"127.0.0.1:{port}"

    yield begin
    for server in servers:
        await server.drain()


@asynccontextmanager
async def stub_at(target: str, settings: ChannelSettings | None = None) -> AsyncIterator[vlm_pb2_grpc.VlmServiceStub]:
    async with AsyncExitStack() as stack:
        channel: grpc.aio.Channel = await connect(target, SERVICE, settings, wait_s=5)
        stack.push_async_callback(channel.close)
        yield vlm_pb2_grpc.VlmServiceStub(channel)


@pytest.fixture
def stub() -> Callable[..., Any]:
    """`async with stub(target) as s:` gives a stub on a channel that is closed afterwards."""
    return stub_at
