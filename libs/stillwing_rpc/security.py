"""Who may listen where, and how a caller proves itself: loopback rule, TLS files, bearer token."""

import hmac
import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from stillwing_common.errors import InsecureBind, InsecureChannel, InvalidInput
from stillwing_rpc.channel_settings import ChannelSettings

if TYPE_CHECKING:
    from stillwing_rpc.settings import ServerSettings  # brings pydantic along, which clients need not wait for

AUTHORIZATION = "authorization"


def is_loopback(host: str) -> bool:
    """Whether `host`, an address or a name without a port, can only be reached from this machine."""
    bare = host.strip("[]")
    if bare == "localhost":
        return True
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return False


def host_of(target: str) -> str:
    """The host part of a gRPC target such as `127.0.0.1:50061`, `[::1]:50061` or `dns:///robot:50061`."""
    address = target.rpartition("/")[2]
    host, colon, port = address.rpartition(":")
    return host if colon and port.isdigit() else address


def server_credentials(settings: "ServerSettings") -> grpc.ServerCredentials | None:
    """TLS credentials, or None for plaintext.

    Raises `InsecureBind` where the address is not loopback and certificate, key or token is missing, and
    `InvalidInput` where a file cannot be read.
    """
    if (settings.tls_cert_file is None) != (settings.tls_key_file is None):
        raise InvalidInput("tls_cert_file and tls_key_file come together; only one was given", field="tls_cert_file")
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        if not is_loopback(settings.host):
            raise InsecureBind(f"{settings.host} is not loopback", host=settings.host)
        if settings.tls_client_ca_file is not None:
            raise InvalidInput("tls_client_ca_file needs tls_cert_file and tls_key_file", field="tls_client_ca_file")
        return None
    if settings.token is None and not is_loopback(settings.host):
        raise InsecureBind(f"{settings.host} is not loopback and no token is set", host=settings.host)
    authority = _read(settings.tls_client_ca_file) if settings.tls_client_ca_file else None
    return grpc.ssl_server_credentials(
        [(_read(settings.tls_key_file), _read(settings.tls_cert_file))],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def channel_credentials(target: str, settings: ChannelSettings) -> grpc.ChannelCredentials | None:
    """TLS credentials, or None for plaintext; raises `InsecureChannel` where a token would leave this machine so."""
    if settings.tls_ca_file is None:
        if settings.token is not None and not is_loopback(host_of(target)):
            raise InsecureChannel(f"{target} is not loopback", target=target)
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_read(settings.tls_ca_file),
        private_key=_read(settings.tls_key_file) if settings.tls_key_file else None,
        certificate_chain=_read(settings.tls_cert_file) if settings.tls_cert_file else None,
    )


def token_matches(authorization: str | None, token: str) -> bool:
    """Whether an `authorization` header carries this bearer token; takes the same time for every wrong one."""
    scheme, _, given = (authorization or "").partition(" ")
    return hmac.compare_digest(given.encode(), token.encode()) and scheme.lower() == "bearer"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}", path=path) from error
