"""python -m pytest tests/rpc/bridge/test_bridge_rpc.py -v

The bridge's services on the wire: raw requests that no client of ours would send, real vehicles, slow readers, a server
that goes away.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from bridge_toys import ToySimulation, ToyVehicle, toy_settings
from google.protobuf.duration_pb2 import Duration

from stillwing.common.v1 import common_pb2
from stillwing.sim.v1 import sim_pb2, sim_pb2_grpc
from stillwing.vehicle.v1 import lease_pb2, lease_pb2_grpc, vehicle_pb2, vehicle_pb2_grpc
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.convert.names import VEHICLE_SERVICE
from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.commands import Takeoff
from stillwing_bridge.server import DEADLINE_REQUIRED, registrations
from stillwing_common.errors import Unavailable
from stillwing_rpc.channel import connect
from stillwing_rpc.errors import from_rpc_error
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings

LEASE = lease_pb2.Lease(vehicle_id="drone", epoch="epo", sequence=1)
JPEG = common_pb2.Image.ENCODING_JPEG


@pytest.fixture
def vehicle() -> ToyVehicle:
    return ToyVehicle()


async def serve(bridge: LocalBridge, simulation: Any) -> RpcServer:
    server = RpcServer(
        registrations(bridge, simulation),
        ServerSettings(drain_grace_s=2.0),
        on_drain=bridge.close,
        deadline_required=DEADLINE_REQUIRED,
    )
    await bridge.start()
    await server.start()
    await server.set_serving()
    return server


@pytest.fixture
async def server(vehicle: ToyVehicle) -> AsyncIterator[RpcServer]:
    bridge = LocalBridge([vehicle], toy_settings())
    server = await serve(bridge, ToySimulation(vehicle, bridge))
    yield server
    await server.drain()


@pytest.fixture
async def channel(server: RpcServer) -> AsyncIterator[grpc.aio.Channel]:
    channel = await connect(f"127.0.0.1:{server.port}", VEHICLE_SERVICE)
    yield channel
    await channel.close()


def command(**changes: Any) -> vehicle_pb2.CommandRequest:
    given = {"lease": LEASE, "request_id": "r1", "hold": vehicle_pb2.Hold()}
    return vehicle_pb2.CommandRequest(**(given | changes))


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await (anext(aiter(call)) if hasattr(call, "__aiter__") else call)
    return raised.value.code(), from_rpc_error(raised.value).reason


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("request_", "code", "reason"),
    [
        (command(hold=None), INVALID, "UNSET_ONEOF"),
        (command(request_id=""), INVALID, "INVALID_INPUT"),
        (command(request_id="x" * 201), INVALID, "INVALID_INPUT"),
        (command(lease=None), INVALID, "INVALID_INPUT"),
        (command(hold=None, go_to=vehicle_pb2.GoTo()), INVALID, "INVALID_INPUT"),
        (
            command(hold=None, go_to=vehicle_pb2.GoTo(position=common_pb2.PositionNed(north_m=float("nan")))),
            INVALID,
            "INVALID_INPUT",
        ),
        (
            command(lease=lease_pb2.Lease(vehicle_id="other")),
            grpc.StatusCode.NOT_FOUND,
            "UNKNOWN_VEHICLE",
        ),
        (command(), grpc.StatusCode.FAILED_PRECONDITION, "LEASE_WRONG_EPOCH"),
    ],
)
async def test_bad_commands(
    channel: grpc.aio.Channel, request_: vehicle_pb2.CommandRequest, code: grpc.StatusCode, reason: str
) -> None:
    stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(channel)
    assert await refusal(stub.Command(request_)) == (code, reason)


async def test_motions_over_the_wire_need_a_ttl_that_is_a_time(channel: grpc.aio.Channel) -> None:
    leases: lease_pb2_grpc.LeaseServiceAsyncStub = lease_pb2_grpc.LeaseServiceStub(channel)
    stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(channel)
    acquired = await leases.AcquireLease(lease_pb2.AcquireLeaseRequest(vehicle_id="drone", holder="test"))
    lease = acquired.state.lease
    takeoff = vehicle_pb2.Takeoff()
    for number, (ttl, reason) in enumerate(
        [
            (None, "TTL_REQUIRED"),
            (Duration(), "TTL_REQUIRED"),
            (Duration(seconds=-1), "TTL_REQUIRED"),
            (Duration(seconds=3600), "TTL_TOO_LONG"),
        ]
    ):
        bad = command(lease=lease, hold=None, takeoff=takeoff, ttl=ttl, request_id=f"r{number}")
        assert await refusal(stub.Command(bad)) == (INVALID, reason)


async def test_calls_of_use_for_a_moment_only_need_a_deadline(server: RpcServer) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as bare:
        stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(bare)
        assert await refusal(stub.Command(command())) == (INVALID, "DEADLINE_REQUIRED")
        wait = stub.WaitCommand(vehicle_pb2.WaitCommandRequest(command_id="c"))
        assert await refusal(wait) == (INVALID, "DEADLINE_REQUIRED")


async def test_a_stop_of_any_words_is_taken_from_a_client_that_cleans_none(channel: grpc.aio.Channel) -> None:
    stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(channel)
    hold = vehicle_pb2.EmergencyStopRequest.LEVEL_HOLD
    for reason in ("x" * 1001, "a\0b\x1b[2J\n", "wind " * 1_000_000):
        stop = vehicle_pb2.EmergencyStopRequest(vehicle_id="drone", level=hold, reason=reason, who=reason)
        answer = await stub.EmergencyStop(stop)
        assert answer.level == answer.stop.level == hold
        assert len(answer.stop.reason) <= 1000 and answer.stop.reason.isprintable()
        assert answer.stop.not_on_disk, "this bridge keeps no stops, and says so"
    for size_bytes in (10_000, 1_000_000):  # of headers, as proxies and tracers add them
        answer = await stub.EmergencyStop(stop, metadata=(("x-trace", "a" * size_bytes),))
        assert answer.level == hold


@pytest.mark.parametrize("level", [0, 7, -1, 2**31 - 1])
async def test_a_stop_whose_level_is_missing_or_unknown_is_a_hold(channel: grpc.aio.Channel, level: int) -> None:
    stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(channel)
    stop = vehicle_pb2.EmergencyStopRequest(vehicle_id="drone", level=level)  # type: ignore[arg-type]
    assert (await stub.EmergencyStop(stop)).level == vehicle_pb2.EmergencyStopRequest.LEVEL_HOLD


async def test_other_bad_requests(channel: grpc.aio.Channel) -> None:
    stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(channel)
    leases: lease_pb2_grpc.LeaseServiceAsyncStub = lease_pb2_grpc.LeaseServiceStub(channel)
    sim: sim_pb2_grpc.SimServiceAsyncStub = sim_pb2_grpc.SimServiceStub(channel)
    take = lease_pb2.TakeLeaseRequest(vehicle_id="drone", holder="x", reason="x" * 1001)
    assert await refusal(leases.TakeLease(take)) == (INVALID, "TEXT_TOO_LONG")
    clear = vehicle_pb2.ClearEmergencyStopRequest(vehicle_id="drone")
    assert await refusal(stub.ClearEmergencyStop(clear)) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")
    frames = vehicle_pb2.WatchFramesRequest(vehicle_id="drone")
    assert await refusal(stub.WatchFrames(frames)) == (INVALID, "INVALID_INPUT")
    frames = vehicle_pb2.WatchFramesRequest(vehicle_id="drone", encoding=JPEG, max_rate_hz=-1)
    assert await refusal(stub.WatchFrames(frames)) == (INVALID, "INVALID_INPUT")
    capture = vehicle_pb2.CaptureFrameRequest(vehicle_id="drone", camera_id="rear", encoding=JPEG)
    assert await refusal(stub.CaptureFrame(capture)) == (grpc.StatusCode.NOT_FOUND, "UNKNOWN_CAMERA")
    acquire = lease_pb2.AcquireLeaseRequest(vehicle_id="drone", holder="x" * 201)
    assert await refusal(leases.AcquireLease(acquire)) == (INVALID, "INVALID_INPUT")
    acquire = lease_pb2.AcquireLeaseRequest(vehicle_id="drone", holder="x", stale_after=Duration(seconds=99))
    assert await refusal(leases.AcquireLease(acquire)) == (INVALID, "INVALID_INPUT")
    assert await refusal(sim.GetGroundTruth(sim_pb2.GetGroundTruthRequest())) == (INVALID, "UNSET_ONEOF")
    spawn = sim_pb2.SpawnObjectRequest(object_name="a", asset="b", scale=1)
    assert await refusal(sim.SpawnObject(spawn)) == (INVALID, "INVALID_INPUT")


async def test_a_real_vehicle_has_no_world_to_control(vehicle: ToyVehicle) -> None:
    bridge = LocalBridge([vehicle], toy_settings(simulated=False))
    server = await serve(bridge, None)
    channel = await connect(f"127.0.0.1:{server.port}", VEHICLE_SERVICE)
    sim: sim_pb2_grpc.SimServiceAsyncStub = sim_pb2_grpc.SimServiceStub(channel)
    unsupported = (grpc.StatusCode.UNIMPLEMENTED, "UNSUPPORTED")
    for call in (
        sim.GetWorld(sim_pb2.GetWorldRequest()),
        sim.Reset(sim_pb2.ResetRequest()),
        sim.Pause(sim_pb2.PauseRequest()),
        sim.Step(sim_pb2.StepRequest(duration=Duration(seconds=1))),
        sim.GetGroundTruth(sim_pb2.GetGroundTruthRequest(vehicle_id="drone")),
        sim.ListObjects(sim_pb2.ListObjectsRequest()),
    ):
        assert await refusal(call) == unsupported
    stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(channel)
    assert not (await stub.ListVehicles(vehicle_pb2.ListVehiclesRequest())).vehicles[0].simulated
    await channel.close()
    await server.drain()


async def test_a_slow_reader_gets_the_newest_and_sees_the_gap(channel: grpc.aio.Channel) -> None:
    stub: vehicle_pb2_grpc.VehicleServiceAsyncStub = vehicle_pb2_grpc.VehicleServiceStub(channel)
    request = vehicle_pb2.WatchFramesRequest(
        vehicle_id="drone", max_rate_hz=20, encoding=common_pb2.Image.ENCODING_RGB8
    )
    sequences = []
    async for message in stub.WatchFrames(request):
        sequences.append(message.sequence)
        if len(sequences) == 3:
            break
    assert sequences == sorted(set(sequences))


async def test_a_log_is_taken_up_where_it_was_left(server: RpcServer) -> None:
    bridge = await RemoteBridge.connect(f"127.0.0.1:{server.port}")
    lease = (await bridge.acquire_lease("drone", "test")).lease
    await bridge.wait_command(await bridge.command(lease, Takeoff(), ttl_s=5), 5)
    whole = [entry async for entry in bridge.watch_flight_log("drone", until_now=True)]
    rest = [entry async for entry in bridge.watch_flight_log("drone", after_log_seq=2, until_now=True)]
    assert rest == whole[2:]
    assert [entry async for entry in bridge.watch_flight_log("drone", after_log_seq=99, until_now=True)] == []
    following = bridge.watch_flight_log("drone", after_log_seq=whole[-1].log_seq)
    newest = asyncio.ensure_future(anext(following))
    await bridge.return_lease(lease)
    assert (await asyncio.wait_for(newest, 5)).log_seq == whole[-1].log_seq + 1
    await bridge.close()


async def test_streams_end_when_the_bridge_does_and_the_vehicle_is_held(server: RpcServer, vehicle: ToyVehicle) -> None:
    bridge = await RemoteBridge.connect(f"127.0.0.1:{server.port}")
    telemetry = bridge.watch_telemetry("drone")
    await anext(telemetry)
    holds = vehicle.holds
    await server.drain()
    assert vehicle.holds > holds
    try:
        async with asyncio.timeout(5):
            async for _ in telemetry:
                pass
    except Unavailable:
        pass
    await bridge.close()
