"""python -m pytest tests/rpc/rpc/test_rpc_sendable.py

What no request can mean is refused by the client itself: here nobody is there to be sent anything.
"""

import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.types import MissionRequest
from stillwing_bridge.client import RemoteBridge, RemoteSimulation
from stillwing_bridge.core.commands import GoTo, Takeoff
from stillwing_bridge.core.types import Lease, StopLevel
from stillwing_common.errors import InvalidInput, Unavailable
from stillwing_common.types import PositionNed
from stillwing_rpc.channel import connect, open_channel
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_vlm.client import RemoteEngine
from stillwing_vlm.core.requests import SessionConfig

SERVICE = "stillwing.vehicle.v1.VehicleService"
LEASE = Lease("drone", "epoch_1", 1)
HALF = "\ud83d"


@pytest.fixture
async def nobody() -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a port where nobody listens."""
    channel = open_channel("127.0.0.1:9", SERVICE, ChannelSettings(max_attempts=1, default_deadline_s=2.0))
    yield channel
    await channel.close()


REFUSED: dict[str, Callable[[Any], Any]] = {
    "half a surrogate pair as vehicle": lambda channel: RemoteBridge(channel).get_lease(HALF),
    "a takeoff's ttl that is no number": lambda channel: RemoteBridge(channel).command(
        LEASE, Takeoff(2.0), ttl_s=math.nan
    ),
    "an endless ttl": lambda channel: RemoteBridge(channel).command(LEASE, Takeoff(2.0), ttl_s=math.inf),
    "a negative ttl": lambda channel: RemoteBridge(channel).command(LEASE, Takeoff(2.0), ttl_s=-1.0),
    "a height that is no number": lambda channel: RemoteBridge(channel).command(LEASE, Takeoff(math.nan)),
    "a place that is none": lambda channel: RemoteBridge(channel).command(
        LEASE, GoTo(PositionNed(math.inf, 0, 0), 1.0)
    ),
    "a sequence beyond its field": lambda channel: RemoteBridge(channel).retain_lease(Lease("drone", "e", 2**70)),
    "a negative sequence": lambda channel: RemoteBridge(channel).retain_lease(Lease("drone", "e", -1)),
    "an endless wait": lambda channel: RemoteBridge(channel).wait_command("cmd_1", math.inf),
    "a wait that is no number": lambda channel: RemoteBridge(channel).wait_command("cmd_1", math.nan),
    "a time of thinking that is none": lambda channel: RemoteBridge(channel).begin_thinking(LEASE, math.nan),
    "a step backwards": lambda channel: RemoteSimulation(channel).step(-1.0),
    "half a surrogate pair as object": lambda channel: RemoteSimulation(channel).object_ground_truth(HALF),
    "half a surrogate pair as mission": lambda channel: RemoteAgent(channel).get_mission(HALF),
    "half a surrogate pair as goal": lambda channel: RemoteAgent(channel).start_mission(
        MissionRequest(goal=HALF, vehicle_id="drone", request_id="r1")
    ),
    "a negative page": lambda channel: RemoteAgent(channel).list_missions(-1),
    "half a surrogate pair as session": lambda channel: RemoteEngine(channel).get_session(HALF),
    "half a surrogate pair as label": lambda channel: RemoteEngine(channel).open_session(SessionConfig(label=HALF)),
    "a budget beyond its field": lambda channel: RemoteEngine(channel).open_session(SessionConfig("", 2**40)),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_it_is_invalid_input_before_anything_is_sent(nobody: grpc.aio.Channel, what: str) -> None:
    with pytest.raises(InvalidInput):
        await REFUSED[what](nobody)


async def test_what_can_be_meant_is_sent(nobody: grpc.aio.Channel) -> None:
    with pytest.raises(Unavailable):
        await RemoteBridge(nobody).get_lease("drone")
    with pytest.raises(Unavailable):
        await RemoteBridge(nobody).emergency_stop("drone", StopLevel.HOLD, HALF + "\0" * 2000)


@pytest.mark.parametrize("wait_s", [math.nan, math.inf, -1.0])
async def test_nobody_is_waited_for_without_an_end(wait_s: float) -> None:
    with pytest.raises(InvalidInput):
        await connect("127.0.0.1:9", SERVICE, wait_s=wait_s)


async def test_an_address_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInput):
        await connect(HALF, SERVICE, wait_s=0.1)
