"""python -m pytest tests/unit/docker/test_check_docker.py

The static check of docker/ passes as it stands and fails on each thing it promises to find.
"""

import importlib.util
import shutil
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_docker", ROOT / "scripts" / "check_docker.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "docker", tmp_path / "docker"))


def test_it_stands_as_it_is(check: ModuleType, folder: Path) -> None:
    assert check.faults(folder) == []


BREAKS = {
    "a target gone": ("Dockerfile", "AS sim_bridge", "AS bridge", "no target sim_bridge"),
    "root": ("Dockerfile", "USER 10001\nENV STILLWING_MEMORY", "ENV STILLWING_MEMORY", "memory_bank does not switch"),
    "bad shell": ("Dockerfile", "RUN useradd", "RUN cd /tmp\nRUN useradd", "DL3003"),
    "a version of its own": ("Dockerfile", "-c /constraints/all.txt torch", "torch==2.9.0", "does not say"),
    "no hashes": (
        "Dockerfile",
        "--require-hashes --no-deps -r /constraints/memory",
        "-r /constraints/memory",
        "does not say",
    ),
    "another extra": (
        "Dockerfile",
        "/constraints/bridge.txt",
        "/constraints/agent.txt",
        "sim_bridge installs ['agent']",
    ),
    "another probe": ("Dockerfile", '"127.0.0.1:50062"', '"127.0.0.1:50063"', "memory_bank and its image"),
    "a profile": ("compose.yaml", "profiles: [gpu]", "profiles: [cpu]", "vlm_engine_gpu has profiles"),
    "published": ("compose.yaml", "    image: stillwing/agent", "    ports: [50064]", "agent publishes ports"),
    "own network": ("compose.yaml", "network_mode: service:airfield", "network_mode: bridge", "namespace"),
    "health by tcp": ("compose.yaml", "stillwing_rpc.probe", "socket", "sim_bridge is not asked"),
    "wrong service": ("compose.yaml", "stillwing.vlm.v1.VlmService", "stillwing.vlm.v1.Vlm", "vlm_engine is not"),
    "killed early": ("compose.yaml", "stop_grace_period: 30s", "stop_grace_period: 3s", "before it has drained"),
    "too eager": ("compose.yaml", "memory_bank: { condition: service_healthy }", "", "until memory_bank is healthy"),
    "both engines": ("compose.yaml", "service_healthy, required: false", "service_healthy", "not in every profile"),
    "no such stage": ("compose.yaml", "target: agent", "target: pilot", "builds target pilot"),
    "no YAML": ("compose.yaml", "services:", "services: [", "while parsing"),
    "no default": (".env", "COMPOSE_PROFILES=cpu", "COMPOSE_PROFILES=gpu", "default profile"),
}


@pytest.mark.parametrize("what", BREAKS)
def test_it_fails_on(check: ModuleType, folder: Path, what: str) -> None:
    file, old, new, complaint = BREAKS[what]
    text = (folder / file).read_text()
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1))
    found = check.faults(folder)
    assert any(complaint in fault for fault in found), found
