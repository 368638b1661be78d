"""What an agent is tried on: airfield, the bridge and the engine with the pilot, and a witness where the engine was.

The agent is told two addresses, as of any stack, and cannot tell the difference.
"""

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from stillwing.vlm.v1 import vlm_pb2_grpc
from stillwing_bridge.client import RemoteBridge
from stillwing_cli.asks_seen import AsksSeen, FlightSeen, WitnessedEngine
from stillwing_cli.part_process import Say
from stillwing_cli.plan import (
    AIRFIELD,
    BRIDGE,
    DEFAULT_PORTS,
    ENGINE,
    LOOPBACK,
    SERVICES,
    Choices,
    free_ports,
    make_parts,
    refuse_taken_ports,
)
from stillwing_cli.stack import LOG_FOLDER
from stillwing_cli.state import the_only_stack
from stillwing_cli.supervisor import Supervisor
from stillwing_common.errors import InvalidInput
from stillwing_rpc.channel import connect
from stillwing_rpc.server import Registration, RpcServer
from stillwing_rpc.settings import ServerSettings

_VEHICLE = "drone"


@dataclass(frozen=True, slots=True)
class Ground:
    """Where bridge and engine are for the agent, and what is seen of it."""

    bridge_address: str
    engine_address: str
    flight: FlightSeen
    asks: AsksSeen


@asynccontextmanager
async def agent_ground(ports: str, say: Say) -> AsyncIterator[Ground]:
    """Three processes and the witness, up until the block ends; `ports` is "default" or "auto".

    Raises AlreadyUp, PortInUse, PartFailed, InvalidInput.
    """
    if ports not in ("default", "auto"):
        raise InvalidInput(f"ports is default or auto, not {ports!r}", ports=ports)
    names = (AIRFIELD, BRIDGE, ENGINE)
    numbers: Mapping[str, int] = free_ports(names) if ports == "auto" else DEFAULT_PORTS
    hidden = {**DEFAULT_PORTS, **numbers, ENGINE: free_ports((ENGINE,))[ENGINE]}
    made = make_parts(Choices(log_level="warning"), hidden, secrets.token_urlsafe(16))
    parts = tuple(part for part in made if part.name in names)
    with the_only_stack():
        refuse_taken_ports(parts)
        supervisor = Supervisor(parts, say, LOG_FOLDER)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(supervisor.stop)
            await supervisor.start()
            address = {part.name: part.address for part in parts}
            bridge = await RemoteBridge.connect(address[BRIDGE])
            stack.push_async_callback(bridge.close)
            channel = await connect(address[ENGINE], SERVICES[ENGINE])
            stack.push_async_callback(channel.close)
            flight = FlightSeen(bridge, _VEHICLE)
            witness = WitnessedEngine(channel, flight)
            port = await stack.enter_async_context(_served(witness, numbers[ENGINE]))
            yield Ground(address[BRIDGE], f"{LOOPBACK}:{port}", flight, witness.seen)


@asynccontextmanager
async def _served(witness: WitnessedEngine, port: int) -> AsyncIterator[int]:
    registration = Registration(
        SERVICES[ENGINE], lambda server: vlm_pb2_grpc.add_VlmServiceServicer_to_server(witness, server)
    )
    server = RpcServer([registration], ServerSettings(port=port, drain_grace_s=1.0, log_level="warning"))
    try:
        await server.start()
        await server.set_serving()
        yield server.port
    finally:
        await server.drain()
