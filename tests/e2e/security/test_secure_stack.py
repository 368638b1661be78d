"""python -m pytest tests/e2e/security/test_secure_stack.py -v

The whole stack with certificates and a token: who has them gets in everywhere, who lacks any of them nowhere, and
nothing listens or connects beyond loopback.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from stack_process import Stack, start_stack, stop_stack

from stillwing.agent.v1 import agent_pb2, agent_pb2_grpc
from stillwing.memory.v1 import memory_pb2, memory_pb2_grpc
from stillwing.vehicle.v1 import vehicle_pb2, vehicle_pb2_grpc
from stillwing.vlm.v1 import vlm_pb2, vlm_pb2_grpc
from stillwing_agent.client import RemoteAgent
from stillwing_agent.core.events import ThinkingFinished
from stillwing_agent.core.types import MissionRequest
from stillwing_cli.plan import SERVICES
from stillwing_common.errors import InvalidInput, NotAuthenticated, Unavailable
from stillwing_rpc.authority import make_certificates
from stillwing_rpc.certificates import CertificateFolder
from stillwing_rpc.channel import check_health, connect, open_channel
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.errors import domain_errors

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")
CALLS = {
    "sim_bridge": (vehicle_pb2_grpc.VehicleServiceStub, "ListVehicles", vehicle_pb2.ListVehiclesRequest()),
    "memory_bank": (memory_pb2_grpc.MemoryServiceStub, "GetBank", memory_pb2.GetBankRequest()),
    "vlm_engine": (vlm_pb2_grpc.VlmServiceStub, "GetModel", vlm_pb2.GetModelRequest()),
    "agent": (agent_pb2_grpc.AgentServiceStub, "GetAgent", agent_pb2.GetAgentRequest()),
}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # Not pytest's own folder: each further pytest closes that to other users, and the database runs as one.
    with tempfile.TemporaryDirectory(prefix="sw-") as folder:
        made = subprocess.run(
            [sys.executable, "-m", "stillwing_cli.main", "certs", "--json"], cwd=folder, capture_output=True, check=True
        )
        assert "127.0.0.1" in json.loads(made.stdout)["names"]
        stack = start_stack(Path(folder), "--certs", "certs")
        yield stack
        assert stop_stack(stack) == 0


@pytest.fixture(scope="module")
def good(stack: Stack) -> ChannelSettings:
    return CertificateFolder(stack.folder / "certs").channel()


async def call(stack: Stack, part: str, settings: ChannelSettings) -> None:
    stub, method, request = CALLS[part]
    channel = open_channel(stack.addresses[part], SERVICES[part], settings)
    async with channel:
        with domain_errors():
            await getattr(stub(channel), method)(request, timeout=5)


@pytest.mark.parametrize("part", CALLS)
async def test_all_three_proofs_are_needed(stack: Stack, good: ChannelSettings, part: str) -> None:
    await call(stack, part, good)
    for token in (None, "a wrong one"):
        with pytest.raises(NotAuthenticated):
            await call(stack, part, dataclasses.replace(good, token=token))
    no_certificate = dataclasses.replace(good, tls_cert_file=None, tls_key_file=None)
    for settings in (no_certificate, ChannelSettings()):
        with pytest.raises(Unavailable):
            await connect(stack.addresses[part], SERVICES[part], settings, wait_s=0.4)


@pytest.mark.parametrize("part", CALLS)
async def test_strangers_certificates_are_refused(
    stack: Stack, good: ChannelSettings, part: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stranger = make_certificates(tmp_path_factory.mktemp("stranger") / "certs").files
    theirs = dataclasses.replace(good, tls_cert_file=stranger.client, tls_key_file=stranger.client_key)
    impostor = dataclasses.replace(good, tls_ca_file=stranger.ca)  # the client trusts another authority
    for settings in (theirs, impostor):
        with pytest.raises(Unavailable):
            await connect(stack.addresses[part], SERVICES[part], settings, wait_s=0.4)


@pytest.mark.parametrize("part", CALLS)
async def test_a_servers_certificate_is_no_clients(stack: Stack, good: ChannelSettings, part: str) -> None:
    files = CertificateFolder(stack.folder / "certs")
    reversed_role = dataclasses.replace(good, tls_cert_file=files.server, tls_key_file=files.server_key)
    with pytest.raises(InvalidInput, match=r"tls_cert_file.*purpose"):
        await connect(stack.addresses[part], SERVICES[part], reversed_role)
    unchecked = grpc.ssl_channel_credentials(
        *(file.read_bytes() for file in (files.ca, files.server_key, files.server))
    )
    async with grpc.aio.secure_channel(stack.addresses[part], unchecked) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await check_health(channel, SERVICES[part])
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE


def test_the_command_line_finds_its_way(stack: Stack) -> None:
    told = stack.cli("status", "--json")
    assert {row["part"]: row["health"] for row in json.loads(told.stdout)["parts"]} == dict.fromkeys(
        ("airfield", *CALLS), "serving"
    )
    assert stack.cli("stop", "--json").returncode == 0
    assert stack.cli("stop", "--clear", "--json").returncode == 0


async def test_a_mission_reaches_every_service(stack: Stack, good: ChannelSettings) -> None:
    agent = await RemoteAgent.connect(stack.addresses["agent"], good)
    try:
        mission = await agent.start_mission(MissionRequest("req_secure", "Fly to the red beacon.", "drone", 60))
        async for event in agent.watch_mission(mission.mission_id):
            if isinstance(event.happening, ThinkingFinished):
                break  # it has a lease of the bridge and an answer of the engine
        else:
            pytest.fail("the mission ended without a thought")
        await agent.cancel_mission(mission.mission_id)
    finally:
        await agent.close()


def test_nothing_listens_or_connects_beyond_loopback(stack: Stack) -> None:
    run = json.loads((stack.folder / ".stillwing/run/stack.json").read_text())
    listening = set()
    for part, pid in run["pids"].items():
        for connection in psutil.Process(pid).net_connections(kind="inet"):
            assert connection.laddr.ip in LOOPBACK, (part, connection)
            if connection.status == psutil.CONN_LISTEN:
                listening.add(part)
            elif connection.raddr:
                assert connection.raddr.ip in LOOPBACK, (part, connection)
    assert listening == {"airfield", *CALLS}


def test_secrets_are_nowhere_in_the_logs(stack: Stack) -> None:
    token = CertificateFolder(stack.folder / "certs").read_token()
    logs: list[Path] = [*(stack.folder / ".stillwing/run/logs").iterdir(), stack.folder / "up.log"]
    assert len(logs) >= 6
    assert not [path for path in logs if token in path.read_text(encoding="utf-8", errors="replace")]
