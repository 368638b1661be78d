"""python -m pytest tests/rpc/agent/test_agent_rpc.py -v

AgentService on the wire: raw requests no client of ours would send, slow watchers, a server that goes away.
"""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from agent_fakes import Rig, make_rig
from fake_world import FORWARD, VEHICLE
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct

from stillwing.agent.v1 import agent_pb2, agent_pb2_grpc
from stillwing_agent.convert.events import event_from_wire
from stillwing_agent.convert.missions import SERVICE
from stillwing_agent.core.types import MissionState
from stillwing_agent.server import registration
from stillwing_common.errors import UnsetOneof
from stillwing_rpc.channel import connect
from stillwing_rpc.errors import from_rpc_error
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings


@pytest.fixture
def rig() -> Rig:
    rig = make_rig()
    rig.engine.past_end = FORWARD
    return rig


@pytest.fixture
async def server(rig: Rig) -> AsyncIterator[RpcServer]:
    server = RpcServer([registration(rig.agent)], ServerSettings(drain_grace_s=2.0), on_drain=rig.agent.close)
    await server.start()
    await server.set_serving()
    yield server
    await server.drain()


@pytest.fixture
async def stub(server: RpcServer) -> AsyncIterator["agent_pb2_grpc.AgentServiceAsyncStub"]:
    channel = await connect(f"127.0.0.1:{server.port}", SERVICE)
    yield agent_pb2_grpc.AgentServiceStub(channel)
    await channel.close()


def request(**changes: object) -> agent_pb2.StartMissionRequest:
    given = {"request_id": "r1", "goal": "Fly to the red beacon.", "vehicle_id": VEHICLE}
    return agent_pb2.StartMissionRequest(**(given | changes))


@pytest.mark.parametrize(
    ("bad", "code", "reason"),
    [
        (request(time_limit=Duration(seconds=-1)), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
        (request(time_limit=Duration()), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
        (request(goal=""), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
        (request(request_id=""), grpc.StatusCode.INVALID_ARGUMENT, "INVALID_INPUT"),
        (request(request_id="x" * 201), grpc.StatusCode.INVALID_ARGUMENT, "TEXT_TOO_LONG"),
        (request(vehicle_id="nobody"), grpc.StatusCode.NOT_FOUND, "UNKNOWN_VEHICLE"),
    ],
)
async def test_bad_requests_are_refused_with_a_reason(
    stub: "agent_pb2_grpc.AgentServiceAsyncStub",
    bad: agent_pb2.StartMissionRequest,
    code: grpc.StatusCode,
    reason: str,
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.StartMission(bad)
    assert refused.value.code() is code
    assert from_rpc_error(refused.value).reason == reason


async def test_params_that_do_not_fit_are_named(stub: "agent_pb2_grpc.AgentServiceAsyncStub") -> None:
    params = Struct()
    params.update({"max_decisions": [1, 2]})
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.StartMission(request(params=params))
    error = from_rpc_error(refused.value)
    assert error.reason == "BAD_PARAMS"
    assert error.metadata["param"] == "max_decisions"


async def test_two_starts_at_once_with_one_request_id_are_one_mission(
    stub: "agent_pb2_grpc.AgentServiceAsyncStub",
) -> None:
    answers = await asyncio.gather(*(stub.StartMission(request()) for _ in range(5)))
    assert len({answer.mission.mission_id for answer in answers}) == 1


async def test_a_slow_watcher_loses_nothing(rig: Rig, stub: "agent_pb2_grpc.AgentServiceAsyncStub") -> None:
    params = Struct()
    params.update({"max_decisions": 30})
    started = await stub.StartMission(request(params=params))
    call = stub.WatchMission(agent_pb2.WatchMissionRequest(mission_id=started.mission.mission_id))
    first = await call.read()
    await rig.agent._entry(started.mission.mission_id).record.ended()
    seen = [first.event_seq] + [message.event_seq async for message in call]
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) > 100


async def test_a_watcher_that_leaves_does_not_touch_the_mission(
    rig: Rig, stub: "agent_pb2_grpc.AgentServiceAsyncStub"
) -> None:
    started = await stub.StartMission(request())
    call = stub.WatchMission(agent_pb2.WatchMissionRequest(mission_id=started.mission.mission_id))
    await call.read()
    call.cancel()
    await asyncio.sleep(0.05)
    mission = await stub.GetMission(agent_pb2.GetMissionRequest(mission_id=started.mission.mission_id))
    assert mission.mission.state == agent_pb2.Mission.STATE_RUNNING


async def test_draining_cancels_missions_and_leaves_vehicles_holding(
    rig: Rig, server: RpcServer, stub: "agent_pb2_grpc.AgentServiceAsyncStub"
) -> None:
    started = await stub.StartMission(request())
    await server.drain()
    mission = await rig.agent.get_mission(started.mission.mission_id)
    assert mission.state is MissionState.CANCELLED
    assert rig.world.in_force is None


def test_an_event_of_a_version_to_come_is_refused_by_name() -> None:
    with pytest.raises(UnsetOneof):
        event_from_wire(agent_pb2.WatchMissionResponse(event_seq=1))
