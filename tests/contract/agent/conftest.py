"""The agent of this process, and the same behind a real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from agent_fakes import Reach, Rig

from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.protocol import Agent
from stillwing_agent.server import registration
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings


@asynccontextmanager
async def in_process(rig: Rig) -> AsyncIterator[Agent]:
    yield rig.agent
    await rig.agent.close()


@asynccontextmanager
async def over_the_wire(rig: Rig) -> AsyncIterator[Agent]:
    server = RpcServer([registration(rig.agent)], ServerSettings(drain_grace_s=1.0), on_drain=rig.agent.close)
    port = await server.start()
    await server.set_serving()
    remote = await RemoteAgent.connect(f"127.0.0.1:{port}")
    try:
        yield remote
    finally:
        await remote.close()
        await server.drain()


@pytest.fixture(params=[in_process, over_the_wire], ids=["in_process", "over_the_wire"])
def reach(request: pytest.FixtureRequest) -> Reach:
    return request.param
