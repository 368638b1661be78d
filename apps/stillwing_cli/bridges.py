"""Where bridges may listen, as far as this folder, this environment and the user know, and how they may be reached.

For an emergency stop, which asks all of them: the state file counts whether its supervisor lives or not, and whatever
can still be read of it. It connects with nothing.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from stillwing_cli import state
from stillwing_cli.plan import BRIDGE, LOOPBACK
from stillwing_common.errors import StillwingError
from stillwing_common.told_text import told_text
from stillwing_rpc.certificates import CertificateFolder
from stillwing_rpc.channel_settings import ChannelSettings


def bridge_address(text: str) -> str:
    """What gRPC dials for "host", "host:port", "::1", "[::1]:port" or a URL of these; a port is the default one."""
    text = told_text(text, 300)
    address = text.rpartition("//")[2].rstrip("/")
    host, colon, port = address.rpartition(":")
    if address.startswith("["):
        return address if address.rpartition("]")[2] else f"{address}:{_default_port()}"
    if colon and ":" in host:
        return f"[{address}]:{_default_port()}"  # an IPv6 address without brackets has no port
    return address if colon and port else f"{address.rstrip(':')}:{_default_port()}"


def known_bridges(named: str) -> tuple[str, ...]:
    """Every address that can be known, each once: `named` by the user, the state file's, its processes', the default.

    All of them, because nobody who stops in an emergency has to know which one is right.
    """
    return tuple(dict.fromkeys(_known(named)))


def _known(named: str) -> Iterator[str]:
    if named:
        yield bridge_address(named)
    last = state.known_state()
    if last is not None and last.ports.get(BRIDGE):
        yield last.address(BRIDGE)
    for port in _ports_of_processes():
        yield f"{LOOPBACK}:{port}"
    host = os.environ.get("STILLWING_BRIDGE_HOST", "")
    if host and host not in ("0.0.0.0", "::", "[::]"):
        yield bridge_address(host)
    yield f"{LOOPBACK}:{_default_port()}"
    yield f"[::1]:{_default_port()}"


def known_channels() -> tuple[ChannelSettings, ...]:
    """Every way in which such a bridge may let this user in: with certificates that are known, a token, or plainly."""
    last = state.known_state()
    ways = []
    for folder in dict.fromkeys((last.choices.certs if last else "", os.environ.get("STILLWING_CERTS", ""))):
        try:
            if folder:
                ways.append(CertificateFolder(Path(folder)).channel())
        except (StillwingError, ValueError):
            continue  # they are gone; without them a bridge on this machine may answer all the same
    token = os.environ.get("STILLWING_BRIDGE_TOKEN", "")
    return (*ways, *([ChannelSettings(token=token)] if token else []), ChannelSettings())


def _default_port() -> int:
    port = os.environ.get("STILLWING_BRIDGE_PORT", "")
    return int(port) if port.isascii() and port.isdigit() and int(port) else state.default_state().ports[BRIDGE]


def _ports_of_processes() -> Iterator[str]:
    """Of the bridges among the stack's processes, by their environment: known before the state file is written."""
    try:
        pids = state.PID_FILE.read_text(encoding="ascii", errors="ignore").split()
    except OSError:
        return
    for pid in pids:
        process = Path("/proc") / pid
        try:
            if b"stillwing_bridge" not in (process / "cmdline").read_bytes():
                continue
            words = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        for word in words:
            name, _, value = word.partition(b"=")
            if name == b"STILLWING_BRIDGE_PORT" and value.isdigit():
                yield value.decode()
