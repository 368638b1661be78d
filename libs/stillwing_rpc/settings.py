"""Settings that every server has, from the environment. A service subclasses them and gives its own prefix.

It knows nothing of any one service.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from stillwing_rpc.channel_settings import KEEPALIVE_S, MAX_MESSAGE_BYTES


class ServerSettings(BaseSettings):
    """How a service listens, logs and ends. Read from the environment under the subclass's `env_prefix`.

    >>> class VlmSettings(ServerSettings):
    ...     model_config = SettingsConfigDict(env_prefix="STILLWING_VLM_")
    """

    model_config = SettingsConfigDict(env_prefix="STILLWING_", extra="ignore")

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; anything but loopback needs TLS and a token."
    )
    port: int = Field(default=0, ge=0, le=65535, description="Port to listen on; 0 takes any free one.")
    tls_cert_file: Path | None = Field(default=None, description="PEM certificate of this server.")
    tls_key_file: Path | None = Field(default=None, description="PEM key of that certificate.")
    tls_client_ca_file: Path | None = Field(
        default=None, description="PEM authority that clients' certificates must be from."
    )
    token: SecretStr | None = Field(
        default=None, description="Bearer token every call must carry; health checks need none."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    log_format: Literal["console", "json"] = Field(default="console", description="Lines for people or for programs.")
    drain_grace_s: float = Field(default=5.0, ge=0, description="Longest wait for calls under way when told to end.")
    max_message_bytes: int = Field(default=MAX_MESSAGE_BYTES, gt=0, description="Longest message taken or sent.")
    keepalive_s: float = Field(
        default=KEEPALIVE_S, gt=0, description="Silence after which a peer is asked if it is there."
    )
    min_ping_interval_s: float = Field(
        default=10.0, gt=0, description="Clients that ask more often are cut off; below any client's keepalive_s."
    )
    bdp_probe: bool = Field(
        default=False,
        description="Let flow-control windows grow: faster over far links, but slow readers see old frames.",
    )
    reflection: bool = Field(default=True, description="Let tools such as grpcurl list the services.")
