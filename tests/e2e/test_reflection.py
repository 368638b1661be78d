"""People look at services with buf curl and grpcurl. Run: python -m pytest tests/e2e/test_reflection.py -v"""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from google.rpc import error_details_pb2
from stack_process import Stack

pytestmark = pytest.mark.e2e

BUF = str(Path(sys.executable).with_name("buf"))

CALLS = [
    ("sim_bridge", "stillwing.vehicle.v1.VehicleService", "ListVehicles", "vehicles"),
    ("sim_bridge", "stillwing.vehicle.v1.LeaseService", "GetLease", None),
    ("sim_bridge", "stillwing.sim.v1.SimService", "GetWorld", "simulator"),
    ("vlm_engine", "stillwing.vlm.v1.VlmService", "GetModel", "engine"),
    ("vlm_engine", "stillwing.vlm.v1.VlmService", "ListSessions", None),
    ("memory_bank", "stillwing.memory.v1.MemoryService", "GetBank", "storeVersion"),
    ("agent", "stillwing.agent.v1.AgentService", "GetAgent", "implementation"),
]


def _curl(address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *arguments[:-1]]
    return subprocess.run(
        [*command, f"http://{address}{arguments[-1]}"], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(("part", "service", "method", "member"), CALLS)
def test_each_service_is_listed_and_called_without_proto_files(
    stack: Stack, part: str, service: str, method: str, member: str | None
) -> None:
    listed = _curl(stack.addresses[part], "--list-methods", "")
    assert f"{service}/{method}" in listed.stdout, listed.stderr
    body = json.dumps({"vehicleId": _first_vehicle(stack)} if method == "GetLease" else {})
    called = _curl(stack.addresses[part], "-d", body, f"/{service}/{method}")
    assert called.returncode == 0, called.stderr
    answer = json.loads(called.stdout)
    assert member is None or answer[member]


def test_an_error_carries_its_documented_reason(stack: Stack) -> None:
    called = _curl(
        stack.addresses["agent"], "-d", '{"missionId": "mis_none"}', "/stillwing.agent.v1.AgentService/GetMission"
    )
    assert called.returncode != 0
    told = json.loads(called.stderr)
    assert told["code"] == "not_found"
    # buf leaves details packed; grpcurl knows the message and prints it.
    packed = told["details"][0]["value"]
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    assert (info.reason, info.domain) == ("UNKNOWN_MISSION", "agent.stillwing")


def _first_vehicle(stack: Stack) -> str:
    called = _curl(stack.addresses["sim_bridge"], "-d", "{}", "/stillwing.vehicle.v1.VehicleService/ListVehicles")
    vehicle_id = json.loads(called.stdout)["vehicles"][0]["vehicleId"]
    assert isinstance(vehicle_id, str)
    return vehicle_id
