"""Settings of a channel: plain values, which whoever opens it chooses. They are read from no environment."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
KEEPALIVE_S = 30.0


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """How a client reaches a server. A token without `tls_ca_file` is sent to loopback only."""

    tls_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    token: str | None = None
    default_deadline_s: float = 10.0
    max_message_bytes: int = MAX_MESSAGE_BYTES
    keepalive_s: float = KEEPALIVE_S
    bdp_probe: bool = False
    max_attempts: int = 4
    also_services: Sequence[str] = ()
    """Full names of further services called over the same channel, so that their reads are retried too."""
