"""One toy vehicle behind a bridge: the one of this process, and the same one behind the wire."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from bridge_toys import ToySimulation, ToyVehicle, toy_settings

from stillwing_bridge.client import RemoteBridge, RemoteSimulation
from stillwing_bridge.core.bridge import LocalBridge
from stillwing_bridge.core.commands import CommandState, Takeoff
from stillwing_bridge.core.protocol import Bridge, Simulation
from stillwing_bridge.core.types import Lease
from stillwing_bridge.server import DEADLINE_REQUIRED, registrations
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings


@dataclass
class Rig:
    """What a test flies with."""

    vehicle: ToyVehicle
    bridge: Bridge
    simulation: Simulation
    local: LocalBridge

    async def lease(self) -> Lease:
        return (await self.bridge.acquire_lease("drone", "test")).lease

    async def frame_id(self) -> str:
        return (await self.bridge.capture_frame("drone")).frame_id

    async def take_off(self) -> Lease:
        lease = await self.lease()
        command_id = await self.bridge.command(lease, Takeoff(), ttl_s=10)
        assert (await self.bridge.wait_command(command_id, 10)).state is CommandState.SUCCEEDED
        return lease


@pytest.fixture(params=["local", "remote"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    vehicle = ToyVehicle()
    local = LocalBridge([vehicle], toy_settings())
    simulation = ToySimulation(vehicle, local)
    await local.start()
    if request.param == "local":
        yield Rig(vehicle, local, simulation, local)
        await local.close()
        return
    server = RpcServer(
        registrations(local, simulation), ServerSettings(), on_drain=local.close, deadline_required=DEADLINE_REQUIRED
    )
    port = await server.start()
    await server.set_serving()
    remote = await RemoteBridge.connect(f"127.0.0.1:{port}")
    yield Rig(vehicle, remote, RemoteSimulation(remote.channel), local)
    await remote.close()
    await server.drain()
