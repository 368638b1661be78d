"""What the whole stack consists of: five processes, their ports, their settings and what each waits for.

It starts nothing; `supervisor` does.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stillwing_common.errors import InvalidInput, PortInUse
from stillwing_rpc.certificates import CertificateFolder
from stillwing_rpc.channel_settings import ChannelSettings

AIRFIELD = "airfield"
BRIDGE = "sim_bridge"
MEMORY = "memory_bank"
ENGINE = "vlm_engine"
AGENT = "agent"

DEFAULT_PORTS = {AIRFIELD: 41451, BRIDGE: 50061, MEMORY: 50062, ENGINE: 50063, AGENT: 50064}
SERVICES = {
    BRIDGE: "stillwing.vehicle.v1.VehicleService",
    MEMORY: "stillwing.memory.v1.MemoryService",
    ENGINE: "stillwing.vlm.v1.VlmService",
    AGENT: "stillwing.agent.v1.AgentService",
}
"""Full name of the service by which each part's health is asked; airfield has none and answers a ping instead."""

RESTARTED = (MEMORY, ENGINE, AGENT)
"""Parts that are started again when they die; without bridge or simulator there is no vehicle to hold."""

PROFILES = {"auto": "auto", "cpu": "cpu", "gpu": "cuda"}
"""Device of the engine for each profile."""

LOOPBACK = "127.0.0.1"

EXPORTS_FOLDER = Path(".stillwing/run/exports")
"""Where the engine keeps sessions that outlive it, unless the environment says where."""

_EXPORTS_SETTING = "STILLWING_VLM_EXPORTS_DIR"


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user may choose of a stack. `simulator` "" means airfield; else the address of an AirSim server.

    `certs` "" means plaintext on loopback; else the folder of `stillwing certs` that all parts use. `endpoint` "" means
    an engine of this machine; else the url of a model that answers behind it, of which `model` is the name.
    """

    scene: str = "meadow"
    seed: int = 3
    model: str = ""
    agent: str = "tool_calling"
    profile: str = "auto"
    simulator: str = ""
    log_level: str = "info"
    certs: str = ""
    endpoint: str = ""

    def __post_init__(self) -> None:
        if self.endpoint and not self.model:
            raise InvalidInput("an endpoint needs the name of its model: add --model NAME", endpoint=self.endpoint)
        if self.profile not in PROFILES:
            raise InvalidInput(f"profile is one of {', '.join(PROFILES)}, not {self.profile!r}", profile=self.profile)


@dataclass(frozen=True, slots=True)
class Part:
    """One process: `after` names the parts that must be ready first; `service` "" means it is pinged, not asked.

    `restarts`: it may be started again when it dies, because the vehicle holds without it.
    """

    name: str
    argv: tuple[str, ...]
    port: int
    env: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    service: str = ""
    channel: ChannelSettings = field(default_factory=ChannelSettings)
    restarts: bool = False

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"{LOOPBACK}:{self.port}"


def channel_of(choices: Choices) -> ChannelSettings:
    """How this stack's services are reached; `NotFound` where there are no certificates in the folder."""
    return CertificateFolder(Path(choices.certs)).channel() if choices.certs else ChannelSettings()


def free_ports(names: tuple[str, ...]) -> dict[str, int]:
    """A free port of this machine for each name, all different."""
    sockets = {name: socket.socket(socket.AF_INET, socket.SOCK_STREAM) for name in names}
    try:
        for each in sockets.values():
            each.bind((LOOPBACK, 0))
        return {name: each.getsockname()[1] for name, each in sockets.items()}
    finally:
        for each in sockets.values():
            each.close()


def refuse_taken_ports(parts: tuple[Part, ...]) -> None:
    """Raise `PortInUse` for the first part whose port somebody has."""
    for part in parts:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: a port whose last connection is only just closed is free.
            if sys.platform != "win32":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, part.port))
            except OSError as error:
                raise PortInUse(
                    f"{part.port}, which {part.name} needs; or run with --ports auto", port=part.port, part=part.name
                ) from error


def make_parts(
    choices: Choices, ports: Mapping[str, int], operator_token: str = "", stop_file: Path | None = None
) -> tuple[Part, ...]:
    """The processes of a stack in the order in which they are started.

    The token clears emergency stops, and the file keeps them from one run to the next.
    """
    simulator = choices.simulator or f"{LOOPBACK}:{ports[AIRFIELD]}"
    airfield = Part(
        AIRFIELD,
        _python(
            "stillwing_airfield", "--scene", choices.scene, "--seed", str(choices.seed), "--port", str(ports[AIRFIELD])
        ),
        ports[AIRFIELD],
    )
    first = () if choices.simulator else (AIRFIELD,)
    bridge_env = {"AIRSIM_ADDRESS": simulator, "OPERATOR_TOKEN": operator_token}
    if stop_file is not None:
        bridge_env["STOP_FILE"] = str(stop_file)
    bridge = _service(BRIDGE, "stillwing_bridge", "BRIDGE", ports, choices, first, **bridge_env)
    memory = _service(MEMORY, "stillwing_memory", "MEMORY", ports, choices, first)
    engine = _engine(ports, choices, first)
    peers = CertificateFolder(Path(choices.certs))
    peer_env = (
        {
            "PEER_TLS_CA_FILE": str(peers.ca),
            "PEER_TLS_CERT_FILE": str(peers.client),
            "PEER_TLS_KEY_FILE": str(peers.client_key),
            "PEER_TOKEN": peers.read_token(),
        }
        if choices.certs
        else {}
    )
    agent = _service(
        AGENT,
        "stillwing_agent",
        "AGENT",
        ports,
        choices,
        (BRIDGE, MEMORY, ENGINE),
        AGENT=choices.agent,
        BRIDGE_ADDRESS=f"{LOOPBACK}:{ports[BRIDGE]}",
        MEMORY_ADDRESS=f"{LOOPBACK}:{ports[MEMORY]}",
        ENGINE_ADDRESS=f"{LOOPBACK}:{ports[ENGINE]}",
        **peer_env,
    )
    services = (bridge, memory, engine, agent)
    return services if choices.simulator else (airfield, *services)


def _engine(ports: Mapping[str, int], choices: Choices, after: tuple[str, ...]) -> Part:
    """The engine of this machine, or the one before an endpoint, whose key it takes from the environment."""
    if choices.endpoint:
        asked = {"URL": choices.endpoint, "MODEL": choices.model}
        return _service(ENGINE, "stillwing_vlm.endpoint", "ENDPOINT", ports, choices, after, **asked)
    more = {"MODEL": choices.model} if choices.model else {}
    if _EXPORTS_SETTING not in os.environ:
        more["EXPORTS_DIR"] = str(EXPORTS_FOLDER)
    return _service(ENGINE, "stillwing_vlm", "VLM", ports, choices, after, DEVICE=PROFILES[choices.profile], **more)


def _service(
    name: str,
    module: str,
    area: str,
    ports: Mapping[str, int],
    choices: Choices,
    after: tuple[str, ...],
    **settings: str,
) -> Part:
    settings = {"PORT": str(ports[name]), "LOG_LEVEL": choices.log_level, **_tls(choices), **settings}
    env = {f"STILLWING_{area}_{key}": value for key, value in settings.items()}
    return Part(name, _python(module), ports[name], env, after, SERVICES[name], channel_of(choices), name in RESTARTED)


def _tls(choices: Choices) -> dict[str, str]:
    """Settings of a server with the certificates of the stack: mutual TLS and a token."""
    if not choices.certs:
        return {}
    settings = CertificateFolder(Path(choices.certs)).server_settings()
    return {name.upper(): value for name, value in settings.items()}


def _python(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)
