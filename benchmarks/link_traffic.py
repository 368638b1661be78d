"""How many calls a second the bridge makes to the simulator, by what is flown: `python benchmarks/link_traffic.py`.

Starts airfield as a process; the bridge runs here, and its connection for motion and state is counted. Pictures have a
connection of their own and are not.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

from stillwing_bridge.core.bridge import BridgeSettings, LocalBridge
from stillwing_bridge.core.commands import Command, Land, SetVelocity, Step, Takeoff, Turn
from stillwing_bridge.core.types import Lease
from stillwing_bridge.core.vehicle import VehicleSpec
from stillwing_bridge.core.vehicles.airsim.cameras import AirSimCameras
from stillwing_bridge.core.vehicles.airsim.link import open_connection
from stillwing_bridge.core.vehicles.airsim.readings import Readings
from stillwing_bridge.core.vehicles.airsim.settings import AirSimSettings
from stillwing_bridge.core.vehicles.airsim.transport import Connection
from stillwing_bridge.core.vehicles.airsim.vehicle import AirSimVehicle
from stillwing_common.conditions import commit, hardware


class Counted:
    """A connection that counts its calls."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.calls = 0

    @property
    def alive(self) -> bool:
        """See `Connection`."""
        return self._connection.alive

    def submit(self, method: str, *params: object) -> Any:
        """See `Connection`."""
        self.calls += 1
        return self._connection.submit(method, *params)

    async def call(self, method: str, *params: object, timeout_s: float) -> Any:
        """See `Connection`."""
        self.calls += 1
        return await self._connection.call(method, *params, timeout_s=timeout_s)

    def close(self) -> None:
        """See `Connection`."""
        self._connection.close()


async def link_traffic(port: int) -> dict[str, float]:
    """Calls a second on the connection for motion and state, by what is flown."""
    settings = AirSimSettings(port=port)
    counted: list[Counted] = []

    async def opener(settings: AirSimSettings, name: str) -> Connection:
        counted.append(Counted(await open_connection(settings, name)))
        return counted[-1]

    readings = Readings(settings.battery_endurance_s)
    cameras = AirSimCameras(settings, readings)
    spec = VehicleSpec("drone", (await cameras.describe("front_center"),))
    vehicle = AirSimVehicle(settings, spec, readings, cameras, opener)
    await vehicle.connect()
    bridge = LocalBridge([vehicle], BridgeSettings())
    await bridge.start()
    lease = (await bridge.acquire_lease("drone", "benchmark")).lease
    rates: dict[str, float] = {}
    what: dict[str, Command | None] = {
        "takeoff": Takeoff(5), "held": None, "step": Step(forward_m=3), "turn": Turn(170),
        "velocity": SetVelocity(forward_m_s=0.5), "land": Land(),
    }  # fmt: skip
    for name, command in what.items():
        began_s, before = time.monotonic(), counted[-1].calls
        if command is None:
            await asyncio.sleep(2)
        else:
            await do(bridge, lease, command, 4 if name == "velocity" else 30)
        rates[name] = round((counted[-1].calls - before) / (time.monotonic() - began_s), 1)
    await bridge.close()
    return rates


async def do(bridge: LocalBridge, lease: Lease, command: Command, ttl_s: float = 30) -> None:
    """One command to its end."""
    frame_id = (await bridge.capture_frame("drone")).frame_id
    await bridge.wait_command(await bridge.command(lease, command, ttl_s=ttl_s, based_on_frame_id=frame_id), ttl_s)


def main() -> None:
    """Start, fly, count."""
    command = [sys.executable, "-m", "stillwing_airfield", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as airfield:
        try:
            assert airfield.stdout is not None
            listening = next(line for line in airfield.stdout if "listening on" in line)
            rates = asyncio.run(link_traffic(int(listening.rsplit(":", 1)[1])))
        finally:
            airfield.terminate()
    report = {"hardware": hardware(), "load": round(os.getloadavg()[0], 1), "commit": commit(), "calls_per_s": rates}
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
