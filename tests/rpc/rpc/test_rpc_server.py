"""python -m pytest tests/rpc/rpc/test_rpc_server.py

How a server starts, says how it is, and ends.
"""

import asyncio
import os
import signal
import time
from typing import Any

import grpc
import pytest
import structlog
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from stillwing.memory.v1 import memory_pb2_grpc
from stillwing.vlm.v1 import vlm_pb2
from stillwing_common import errors
from stillwing_common.signals import end_on_signals
from stillwing_rpc import probe
from stillwing_rpc.channel import check_health, connect, open_channel, service_config
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.client_interceptors import current_request_id
from stillwing_rpc.errors import domain_errors
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.server_interceptor import time_left_s
from stillwing_rpc.settings import ServerSettings

SERVICE = "stillwing.vlm.v1.VlmService"
GET_MODEL = f"/{SERVICE}/GetModel"


async def test_health_goes_from_not_serving_to_serving_to_not_serving(servicer: Any, start: Any) -> None:
    server, target = await start(serving=False)
    async with open_channel(target, SERVICE) as channel:
        assert await check_health(channel, SERVICE) == "NOT_SERVING"
        assert await check_health(channel, "") == "NOT_SERVING"
        await server.set_serving()
        assert await check_health(channel, SERVICE) == "SERVING"
        seen = []

        async def look() -> None:
            seen.append(await check_health(channel, SERVICE))

        server._on_drain = look
        await server.drain()
        assert seen == ["NOT_SERVING"]


async def test_connect_waits_until_serving(start: Any) -> None:
    server, target = await start(serving=False)
    connecting = asyncio.create_task(connect(target, SERVICE, wait_s=5))
    await asyncio.sleep(0.2)
    assert not connecting.done()
    await server.set_serving()
    await (await connecting).close()


async def test_connect_to_one_that_never_serves_says_so(start: Any) -> None:
    _, target = await start(serving=False)
    with pytest.raises(errors.Unavailable, match="NOT_SERVING") as caught:
        await connect(target, SERVICE, wait_s=0.3)
    assert caught.value.metadata["target"] == target


async def test_connect_to_the_wrong_service_is_told_at_once(start: Any) -> None:
    _, target = await start()
    began_s = time.monotonic()
    with pytest.raises(errors.WrongService, match="MemoryService"):
        await connect(target, "stillwing.memory.v1.MemoryService", wait_s=30)
    assert time.monotonic() - began_s < 10


async def test_connect_to_nobody_and_to_a_stranger_names_the_target() -> None:
    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    stranger = await asyncio.start_server(close, "127.0.0.1", 0)
    port = stranger.sockets[0].getsockname()[1]
    for target in ("127.0.0.1:1", f"127.0.0.1:{port}"):
        with pytest.raises(errors.Unavailable, match=target):
            await connect(target, SERVICE, wait_s=0.4)
    stranger.close()
    await stranger.wait_closed()


async def test_second_server_on_the_port_is_refused(start: Any) -> None:
    server, _ = await start()
    with pytest.raises(errors.PortInUse, match=str(server.port)) as caught:
        await RpcServer([], ServerSettings(port=server.port)).start()
    assert caught.value.metadata["port"] == str(server.port)


async def test_reflection_lists_the_services(start: Any) -> None:
    _, target = await start()
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo()
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await call.read()
        await call.done_writing()
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names


async def test_reflection_can_be_left_out(start: Any) -> None:
    _, target = await start(settings=ServerSettings(reflection=False))
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo()
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_a_deadline_can_be_required(servicer: Any, start: Any) -> None:
    left = []
    servicer.get_model = lambda context: left.append(time_left_s(context)) or vlm_pb2.GetModelResponse()
    _, target = await start(deadline_required=[GET_MODEL])
    async with grpc.aio.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(
            GET_MODEL,
            request_serializer=vlm_pb2.GetModelRequest.SerializeToString,
            response_deserializer=vlm_pb2.GetModelResponse.FromString,
        )
        with pytest.raises(errors.DeadlineRequired), domain_errors():
            await call(vlm_pb2.GetModelRequest())
        await call(vlm_pb2.GetModelRequest(), timeout=5)
    assert len(left) == 1
    assert 0 < left[0] < 6  # the header counts in coarse units and rounds up


async def test_unary_calls_get_a_deadline_from_the_channel(servicer: Any, start: Any, stub: Any) -> None:
    left = []
    servicer.get_model = lambda context: left.append(time_left_s(context)) or vlm_pb2.GetModelResponse()
    _, target = await start(deadline_required=[GET_MODEL])
    async with stub(target, ChannelSettings(default_deadline_s=7)) as vlm:
        await vlm.GetModel(vlm_pb2.GetModelRequest())
    assert 0 < left[0] < 8


async def test_request_id_goes_from_caller_to_log(servicer: Any, start: Any, stub: Any) -> None:
    bound: list[dict[str, Any]] = []
    carried_on: list[str] = []

    def get_model(context: Any) -> vlm_pb2.GetModelResponse:
        bound.append(dict(structlog.contextvars.get_contextvars()))
        carried_on.append(current_request_id.get())
        return vlm_pb2.GetModelResponse()

    servicer.get_model = get_model
    _, target = await start()
    async with stub(target) as vlm:
        outside = current_request_id.set("req_from_above")
        await vlm.GetModel(vlm_pb2.GetModelRequest())
        current_request_id.reset(outside)
        await vlm.GetModel(vlm_pb2.GetModelRequest(), metadata=(("x-request-id", "x" * 500),))
        await vlm.GetModel(vlm_pb2.GetModelRequest())
    assert bound[0]["request_id"] == "req_from_above"
    assert bound[0]["method"] == GET_MODEL
    assert bound[0]["peer"].startswith("ipv4:127.0.0.1")
    assert bound[1]["request_id"].startswith("req_")
    assert len({each["request_id"] for each in bound}) == 3
    assert carried_on == [each["request_id"] for each in bound]
    assert "request_id" not in structlog.contextvars.get_contextvars()


async def test_drain_does_not_wait_for_an_idle_stream(servicer: Any, start: Any, stub: Any) -> None:
    server, target = await start(settings=ServerSettings(drain_grace_s=30))
    async with stub(target) as vlm:
        call = vlm.Session()
        await call.write(vlm_pb2.SessionRequest(request_seq=1))
        await call.read()
        began_s = time.monotonic()
        await server.drain()
        assert time.monotonic() - began_s < 15
        assert servicer.ended.is_set()
        with pytest.raises(errors.Unavailable, match="shutting down"), domain_errors():
            await call.read()


async def test_drain_lets_the_service_end_its_sessions_first(servicer: Any, start: Any, stub: Any) -> None:
    order: list[str] = []

    async def end_sessions() -> None:
        order.append("service")
        await call.done_writing()

    server, target = await start(on_drain=end_sessions)
    async with stub(target) as vlm:
        call = vlm.Session()
        await call.write(vlm_pb2.SessionRequest(request_seq=1))
        await call.read()
        await server.drain()
        assert await call.read() is grpc.aio.EOF
        assert await call.code() is grpc.StatusCode.OK
    assert order == ["service"]


async def test_a_slow_service_does_not_hold_up_the_drain_for_ever(servicer: Any, start: Any) -> None:
    server, _ = await start(settings=ServerSettings(drain_grace_s=0.2), on_drain=servicer.closing.wait)
    await asyncio.wait_for(server.drain(), 5)


async def test_a_reader_that_vanishes_amid_a_flood_is_no_fault(
    servicer: Any, start: Any, stub: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, target = await start()
    for _ in range(5):
        servicer.ended.clear()
        async with stub(target) as vlm:
            call = vlm.Session()
            for seq in range(1, 200):
                await call.write(vlm_pb2.SessionRequest(request_seq=seq))
            await call.read()
        await asyncio.wait_for(servicer.ended.wait(), 5)
    assert "rpc.broke" not in capsys.readouterr().out


async def test_an_idle_channel_that_pings_is_not_cut_off(servicer: Any, start: Any, stub: Any) -> None:
    peers: list[str] = []
    servicer.get_model = lambda context: peers.append(context.peer()) or vlm_pb2.GetModelResponse()
    _, target = await start(settings=ServerSettings(min_ping_interval_s=0.1))
    async with stub(target, ChannelSettings(keepalive_s=0.2)) as vlm:
        await vlm.GetModel(vlm_pb2.GetModelRequest())
        await asyncio.sleep(5.5)  # a client pings once a second at most, and the fourth would be the last
        await vlm.GetModel(vlm_pb2.GetModelRequest())
    assert peers[0] == peers[1], "the connection was closed for too many pings and made anew"


async def test_a_service_that_cannot_end_does_not_keep_the_server_up(start: Any) -> None:
    async def break_down() -> None:
        raise RuntimeError("cannot end")

    server, target = await start(on_drain=break_down)
    await server.drain()
    with pytest.raises(errors.Unavailable):
        await connect(target, SERVICE, wait_s=0.2)


async def test_a_client_that_vanishes_frees_the_stream(servicer: Any, start: Any, stub: Any) -> None:
    _, target = await start()
    async with stub(target) as vlm:
        call = vlm.Session()
        await call.write(vlm_pb2.SessionRequest(request_seq=1))
        await call.read()
    await asyncio.wait_for(servicer.ended.wait(), 5)


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals to itself")
async def test_a_signal_ends_the_server(start: Any) -> None:
    server, target = await start()

    async def serve() -> bool:
        with end_on_signals() as watch:
            await server.run()
        return watch.came

    running = asyncio.create_task(serve())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await asyncio.wait_for(running, 5)
    with pytest.raises(errors.Unavailable):
        await connect(target, SERVICE, wait_s=0.2)


async def test_probe_says_yes_and_no(start: Any) -> None:
    _, target = await start()
    assert await probe.probe(target, SERVICE, ChannelSettings()) is None
    assert "does not serve" in (await probe.probe(target, "nobody.v1.Nobody", ChannelSettings()) or "")
    assert await asyncio.to_thread(probe.main, [target, SERVICE]) == 0
    assert await asyncio.to_thread(probe.main, [target, "nobody.v1.Nobody"]) == 1
    assert probe.main([]) == 2


def test_only_reads_and_idempotent_writes_are_retried() -> None:
    assert memory_pb2_grpc  # the services below are known once their generated code is imported
    config = service_config(SERVICE, ChannelSettings(also_services=["stillwing.memory.v1.MemoryService", "un.known"]))
    names = {name["method"] for name in config["methodConfig"][0]["name"]}
    assert {"GetModel", "ListSessions", "SearchKeyframes"} <= names
    assert not names & {"Session", "WatchChanges", "MergeEntities", "DeleteSnapshot"}
    assert config["methodConfig"][0]["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert service_config(SERVICE, ChannelSettings(max_attempts=1)) == {}


async def test_unavailable_reads_are_tried_again(servicer: Any, start: Any, stub: Any) -> None:
    tries = []

    def fail_twice(context: Any) -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise errors.LinkLost("not yet")
        return vlm_pb2.GetModelResponse(engine="third")

    servicer.get_model = fail_twice
    _, target = await start()
    async with stub(target) as vlm:
        assert (await vlm.GetModel(vlm_pb2.GetModelRequest())).engine == "third"
    assert len(tries) == 3


async def test_a_bound_server_takes_services_until_it_starts(start: Any) -> None:
    """A service that is long in loading takes its port first, and is told at once where somebody has it."""
    early = RpcServer([], ServerSettings(drain_grace_s=1.0))
    port = await early.bind()
    with pytest.raises(errors.PortInUse, match=str(port)):
        await RpcServer([], ServerSettings(port=port)).bind()
    added: list[str] = []
    early.add(Registration("test.v1.Late", lambda server: added.append("late")))
    assert await early.start() == port
    await early.set_serving()
    async with open_channel(f"127.0.0.1:{port}", "test.v1.Late") as channel:
        assert await check_health(channel, "test.v1.Late") == "SERVING"
    assert added == ["late"]
    await early.drain()


async def test_a_bound_server_that_never_started_gives_its_port_back() -> None:
    bound = RpcServer([], ServerSettings(drain_grace_s=1.0))
    port = await bound.bind()
    await bound.drain()
    again = RpcServer([], ServerSettings(port=port, drain_grace_s=1.0))
    assert await again.start() == port
    await again.drain()
