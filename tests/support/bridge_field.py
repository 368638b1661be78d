"""A simulator with a bridge before it, as processes, and a caller who sees the truth: for end-to-end tests."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from stillwing_bridge.client import RemoteBridge, RemoteSimulation
from stillwing_bridge.core.commands import Command, CommandState, CommandStatus, Takeoff
from stillwing_bridge.core.types import PROMISED_STILL_S, STILL_M_S, Lease
from stillwing_bridge.core.vehicles.airsim.transport import Transport

# These tests fly sideways for long, which no camera sees.
ENV = os.environ | {"OMP_NUM_THREADS": "1", "STILLWING_BRIDGE_MAX_UNSEEN_STEP_M": "10"}

FLYING_CLIENT = """
import asyncio, dataclasses, pathlib, sys
from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import SetVelocity, Takeoff
from stillwing_rpc.certificates import CertificateFolder
from stillwing_rpc.channel_settings import ChannelSettings

async def main():
    settings = CertificateFolder(pathlib.Path(sys.argv[2])).channel() if sys.argv[2:] else ChannelSettings()
    patient = dataclasses.replace(settings, default_deadline_s=60)
    bridge = await RemoteBridge.connect(sys.argv[1], patient)
    lease = (await bridge.acquire_lease("drone", "doomed")).lease
    await bridge.wait_command(await bridge.command(lease, Takeoff(), ttl_s=30), 30)
    frame = await bridge.capture_frame("drone")
    while True:
        await bridge.command(lease, SetVelocity(right_m_s=0.5), ttl_s=5, based_on_frame_id=frame.frame_id)
        print("moving", flush=True)
        await asyncio.sleep(0.2)

asyncio.run(main())
"""


def start(
    module: str, *arguments: str, log: Path, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=file, stderr=file, env=ENV | dict(environment or {})
        )


def start_client(address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", FLYING_CLIENT, address], stdout=subprocess.PIPE, env=ENV)


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(10)


def wait_for_line(log: Path, text: str, timeout_s: float = 60) -> str:
    until_s = time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
            if text in line:
                return line
        time.sleep(0.1)
    pytest.fail(f"no {text!r} in {log}:\n" + log.read_text(encoding="utf-8")[-3000:])


@dataclass
class Field:
    """A simulator with a bridge before it."""

    folder: Path
    simulator: str
    bridge: subprocess.Popen[bytes]
    airfield: subprocess.Popen[bytes]
    address: str = ""
    starts: int = 1

    def start_bridge(self, environment: Mapping[str, str] | None = None) -> None:
        self.starts += 1
        log = self.folder / f"bridge{self.starts}.log"
        arguments = ("--simulator", self.simulator, "--port", "0", "--record", str(self.folder))
        self.bridge = start("stillwing_bridge", *arguments, log=log, environment=environment)
        self.address = "127.0.0.1:" + wait_for_line(log, "rpc.serving").split("port=")[1].split()[0]


@contextmanager
def running_field(folder: Path) -> Iterator[Field]:
    """Both processes, up; ended with the block."""
    airfield_log = folder / "airfield.log"
    airfield = start("stillwing_airfield", "--seed", "3", "--port", "0", log=airfield_log)
    simulator = wait_for_line(airfield_log, "listening on").split()[-1]
    field = Field(folder, simulator, airfield, airfield)
    field.start_bridge()
    try:
        yield field
    finally:
        end(field.bridge)
        end(airfield)


@dataclass
class Pilot:
    """A caller of the bridge, and a look at the truth that does not pass through it."""

    bridge: RemoteBridge
    simulation: RemoteSimulation
    truth: Transport
    lease: Lease | None = None

    async def do(self, command: Command, ttl_s: float = 20) -> CommandStatus:
        assert self.lease is not None
        frame_id = (await self.bridge.capture_frame("drone")).frame_id
        command_id = await self.bridge.command(self.lease, command, ttl_s=ttl_s, based_on_frame_id=frame_id)
        return await self.bridge.wait_command(command_id, ttl_s + 5)

    async def take_off(self) -> Lease:
        await self.simulation.reset()
        self.lease = (await self.bridge.acquire_lease("drone", "test")).lease
        status = await self.do(Takeoff(), 30)
        assert status.state is CommandState.SUCCEEDED, status
        return self.lease

    async def speed_m_s(self) -> float:
        kinematics = await self.truth.call("simGetGroundTruthKinematics", "", timeout_s=2)
        velocity = kinematics["linear_velocity"]
        return sum(velocity[axis] ** 2 for axis in ("x_val", "y_val", "z_val")) ** 0.5

    async def comes_to_rest(self, within_s: float = PROMISED_STILL_S) -> bool:
        """Whether it is still for half a second on end; a vehicle that turns back is still for an instant only."""
        until_s = time.monotonic() + within_s
        still_since_s = time.monotonic()
        while time.monotonic() - still_since_s < 0.5:
            if await self.speed_m_s() > STILL_M_S:
                still_since_s = time.monotonic()
                if still_since_s > until_s:
                    return False
            await asyncio.sleep(0.05)
        return True

    async def moves(self, within_s: float = 10) -> None:
        until_s = time.monotonic() + within_s
        while await self.speed_m_s() < 0.3:
            assert time.monotonic() < until_s, "it never moved"
            await asyncio.sleep(0.05)


@contextmanager
def looking(bridge: RemoteBridge, simulator: str) -> Iterator[Pilot]:
    """A pilot whose truth comes straight from the simulator."""
    host, port = simulator.split(":")
    truth = Transport.open(host, int(port), timeout_s=5, name="truth")
    try:
        yield Pilot(bridge, RemoteSimulation(bridge.channel), truth)
    finally:
        truth.close()
