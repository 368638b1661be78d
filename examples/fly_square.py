"""Fly a square of 2 m through a running bridge: `python examples/fly_square.py [127.0.0.1:50061]`.

Every side is a motion of its own, based on a picture taken just before it, and ends in a hold.
"""

import asyncio
import sys

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import Command, Land, Step, Takeoff, Turn
from stillwing_bridge.core.types import Lease
from stillwing_common.errors import StillwingError


async def do(bridge: RemoteBridge, lease: Lease, command: Command) -> None:
    """Fly one command to its end and say how it ended."""
    frame = await bridge.capture_frame(lease.vehicle_id)
    command_id = await bridge.command(lease, command, ttl_s=30, based_on_frame_id=frame.frame_id)
    status = await bridge.wait_command(command_id, 35)
    print(f"{command}: {status.state.value}")


async def main(address: str) -> None:
    """Take off, fly, land whatever happens."""
    bridge = await RemoteBridge.connect(address)
    vehicle = (await bridge.list_vehicles())[0]
    lease = (await bridge.acquire_lease(vehicle.vehicle_id, "fly_square")).lease
    try:
        await do(bridge, lease, Takeoff(altitude_m=8))  # above the trees of the meadow
        for _ in range(4):
            await do(bridge, lease, Step(forward_m=2))
            await do(bridge, lease, Turn(90))
    finally:
        await do(bridge, lease, Land())
        await bridge.return_lease(lease)
        await bridge.close()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50061"))
    except StillwingError as error:
        sys.exit(f"fly_square: {error}")
