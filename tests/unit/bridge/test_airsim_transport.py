"""python -m pytest tests/unit/bridge/test_airsim_transport.py -v

The transport against a peer that dies, hangs, answers late, out of order, or in another language.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
from bridge_toys import ScriptedServer

from stillwing_bridge.core.vehicles.airsim.transport import Transport
from stillwing_common.errors import LinkLost, SimulatorError


def handle(method: str, params: list[Any]) -> Any:
    match method:
        case "echo":
            return params
        case "fail":
            raise RuntimeError("rpclib: server could not find function 'fail' with argument count 0.")
        case "slow":
            time.sleep(params[0])
            return "late"
        case "big":
            return b"x" * params[0]
    return ScriptedServer.SILENCE


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer(handle)
    yield server
    server.close()


@pytest.fixture
def transport(server: ScriptedServer) -> Iterator[Transport]:
    transport = Transport.open("127.0.0.1", server.port, timeout_s=1, name="test")
    yield transport
    transport.close()


async def test_values_go_and_come_as_they_are(transport: Transport) -> None:
    params = [1, -2.5, "ünïcode", True, None, {"x_val": 1.5}, [1, 2], b"\x00\xff"]
    assert await transport.call("echo", *params, timeout_s=1) == params
    assert len(await transport.call("big", 3_000_000, timeout_s=5)) == 3_000_000


async def test_many_calls_at_once_from_many_threads(transport: Transport) -> None:
    results: dict[int, Any] = {}

    def work(thread: int) -> None:
        for call in range(20):
            results[thread * 100 + call] = transport.submit("echo", thread, call).result(timeout=5)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert len(results) == 320
    assert all(results[key] == list(divmod(key, 100)) for key in results)


async def test_an_error_of_the_simulator_names_the_method(transport: Transport) -> None:
    with pytest.raises(SimulatorError) as raised:
        await transport.call("fail", timeout_s=1)
    assert raised.value.metadata["method"] == "fail"
    assert "could not find function" in str(raised.value)
    assert transport.alive


async def test_a_missed_deadline_leaves_the_connection_usable(transport: Transport) -> None:
    with pytest.raises(LinkLost, match="slow"):
        await transport.call("slow", 0.2, timeout_s=0.05)
    assert await transport.call("echo", 1, timeout_s=2) == [1]
    assert transport.alive


@pytest.mark.serial
async def test_the_death_of_the_server_fails_pending_calls_at_once(
    server: ScriptedServer, transport: Transport
) -> None:
    pending = [transport.submit("never") for _ in range(3)]
    await transport.call("echo", timeout_s=1)
    began_s = time.monotonic()
    server.drop()
    for future in pending:
        with pytest.raises(LinkLost):
            await asyncio.wait_for(asyncio.wrap_future(future), 5)
    assert time.monotonic() - began_s < 2
    assert not transport.alive
    with pytest.raises(LinkLost):
        await transport.call("echo", timeout_s=1)


@pytest.mark.parametrize(
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xc1\xc1", msgpack.packb({"a": 1}), msgpack.packb([1, 2])],
)
async def test_a_peer_that_speaks_something_else_is_a_lost_link(
    server: ScriptedServer, transport: Transport, data: bytes
) -> None:
    pending = transport.submit("never")
    await transport.call("echo", timeout_s=1)
    server.send_raw(data)
    with pytest.raises(LinkLost, match="msgpack-rpc"):
        await asyncio.wait_for(asyncio.wrap_future(pending), 5)


def test_nobody_listening_is_said_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(LinkLost, match=str(port)):
        Transport.open("127.0.0.1", port, timeout_s=1, name="test")


async def test_closing_fails_pending_calls_and_is_repeatable(transport: Transport) -> None:
    pending = transport.submit("never")
    transport.close()
    transport.close()
    with pytest.raises(LinkLost, match="closed"):
        await asyncio.wait_for(asyncio.wrap_future(pending), 5)
