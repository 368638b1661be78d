"""python -m pytest tests/e2e/bridge/test_bridge_half_open.py -v

A real half-open link: the author of a motion flies from a network of its own, over TLS, and its cable is cut, so that
it lives and not one packet more arrives. Needs Linux with iproute2 and the right to make network namespaces; where
there is none, the relay of `test_bridge_cut_off.py` plays the same.
"""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from bridge_field import ENV, FLYING_CLIENT, STILL_M_S, Pilot, end, looking, start, wait_for_line
from network_namespace import NetworkNamespace

from stillwing_bridge.client import RemoteBridge
from stillwing_bridge.core.commands import CommandState, Step
from stillwing_bridge.core.events import Held
from stillwing_rpc.authority import make_certificates
from stillwing_rpc.certificates import CertificateFolder

pytestmark = [pytest.mark.e2e, pytest.mark.serial, pytest.mark.timeout(240)]

# The bridge asks a silent peer after two seconds and gives it ten to answer; the rest is for a busy machine.
LET_GO_WITHIN_S = 40.0


@dataclass
class FarField:
    """A bridge before a simulator, and a network that reaches the bridge over one cable."""

    network: NetworkNamespace
    certificates: CertificateFolder
    simulator: str
    address: str
    bridge: subprocess.Popen[bytes]
    folder: Path

    @contextmanager
    def far_author(self) -> Iterator[subprocess.Popen[bytes]]:
        """A process in that network that takes off and then renews a sideways velocity five times a second."""
        command = self.network.within(sys.executable, "-c", FLYING_CLIENT, self.address, str(self.certificates.folder))
        with (self.folder / "author.log").open("wb") as log:
            author = subprocess.Popen(["ip", *command], stdout=subprocess.PIPE, stderr=log, env=ENV)
        assert author.stdout is not None
        try:
            yield author
        finally:
            end(author)
            author.stdout.close()

    def connections(self) -> int:
        """How many connections from the far network the bridge's process holds."""
        inet = psutil.Process(self.bridge.pid).net_connections(kind="inet")
        return sum(1 for one in inet if one.raddr and one.raddr.ip.endswith(self.network.far_address))


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarField]:
    folder = tmp_path_factory.mktemp("far")
    with NetworkNamespace() as network:
        certificates = make_certificates(folder / "certs", [network.near_address]).files
        settings = {**certificates.server_settings(), "host": network.near_address, "keepalive_s": "2"}
        environment = {f"STILLWING_BRIDGE_{name.upper()}": value for name, value in settings.items()}
        airfield = start("stillwing_airfield", "--seed", "3", "--port", "0", log=folder / "airfield.log")
        simulator = wait_for_line(folder / "airfield.log", "listening on").split()[-1]
        arguments = ("--simulator", simulator, "--port", "0", "--record", str(folder))
        bridge = start("stillwing_bridge", *arguments, log=folder / "bridge.log", environment=environment)
        try:
            port = wait_for_line(folder / "bridge.log", "rpc.serving").split("port=")[1].split()[0]
            yield FarField(network, certificates, simulator, f"{network.near_address}:{port}", bridge, folder)
        finally:
            end(bridge)
            end(airfield)


@pytest.fixture
async def pilot(field: FarField) -> AsyncIterator[Pilot]:
    bridge = await RemoteBridge.connect(field.address, field.certificates.channel(), wait_s=30)
    with looking(bridge, field.simulator) as pilot:
        await pilot.simulation.reset()
        yield pilot
    await bridge.close()


async def line_of(author: subprocess.Popen[bytes]) -> bytes:
    assert author.stdout is not None
    async with asyncio.timeout(90):
        return await asyncio.to_thread(author.stdout.readline)


async def flies_until_the_cable_is_cut(field: FarField, pilot: Pilot, author: subprocess.Popen[bytes]) -> None:
    assert await line_of(author) == b"moving\n"
    await pilot.moves()
    assert field.connections() == 1
    field.network.cut()
    assert await pilot.comes_to_rest()
    log = [entry.event async for entry in pilot.bridge.watch_flight_log("drone", until_now=True)]
    holds = [event for event in log if isinstance(event, Held)]
    assert holds[-1].cause == "watchdog"
    # Neither side was told: its process lives, and its connection still counts as one here.
    assert author.poll() is None
    assert field.connections() == 1


async def test_what_was_under_way_in_a_cut_cable_moves_nothing_when_it_arrives(field: FarField, pilot: Pilot) -> None:
    with field.far_author() as author:
        await flies_until_the_cable_is_cut(field, pilot, author)
        pilot.lease = (await pilot.bridge.take_lease("drone", "test", "it was cut off")).lease
        field.network.mend()
        still = True
        async with asyncio.timeout(60):
            while author.poll() is None:
                still = still and await pilot.speed_m_s() < STILL_M_S
                await pilot.bridge.retain_lease(pilot.lease)
                await asyncio.sleep(0.05)
    assert still
    assert "LeaseSuperseded" in (field.folder / "author.log").read_text(encoding="utf-8")
    assert (await pilot.do(Step(right_m=-0.5))).state is CommandState.SUCCEEDED


async def test_the_bridge_lets_go_of_a_half_open_link(field: FarField, pilot: Pilot) -> None:
    with field.far_author() as author:
        await flies_until_the_cable_is_cut(field, pilot, author)
        async with asyncio.timeout(LET_GO_WITHIN_S):
            while field.connections():
                assert await pilot.speed_m_s() < STILL_M_S
                await asyncio.sleep(0.1)
        assert author.poll() is None
    field.network.mend()
    pilot.lease = (await pilot.bridge.acquire_lease("drone", "test")).lease
    assert (await pilot.do(Step(right_m=-0.5))).state is CommandState.SUCCEEDED
