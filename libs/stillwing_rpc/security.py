"""How a caller proves itself: loopback rule, TLS files, bearer token. Servers ask by `server_security`."""

import hmac
import ipaddress

import grpc

from stillwing_common.errors import InsecureChannel, InvalidInput
from stillwing_rpc.certificate_checks import read_authority, read_certificate
from stillwing_rpc.channel_settings import ChannelSettings

AUTHORIZATION = "authorization"
_MAX_TOKEN_CHARS = 4096
"""gRPC takes 8 KiB of headers a call by default, and other headers want their share."""


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


def usable_token(token: str, setting: str) -> str:
    """The token, if a client can send it. Raises `InvalidInput` naming the setting, never repeating the token."""
    if not token.strip():
        raise InvalidInput(f"{setting} is empty; give it a token or leave it unset", field="token")
    if token != token.strip() or not token.isascii() or not token.isprintable() or len(token) > _MAX_TOKEN_CHARS:
        raise InvalidInput(
            f"{setting} cannot be sent: a token is at most {_MAX_TOKEN_CHARS} printable ASCII characters"
            " without white space at its ends",
            field="token",
        )
    return token


def channel_credentials(target: str, settings: ChannelSettings) -> grpc.ChannelCredentials | None:
    """TLS credentials, or None for plaintext.

    Raises `InsecureChannel` where a token would leave this machine so, and `InvalidInput` where a token or a file
    cannot be used.
    """
    if settings.token is not None:
        usable_token(settings.token, "token")
    if settings.tls_ca_file is None:
        if settings.token is not None and not is_loopback(host_of(target)):
            raise InsecureChannel(f"{target} is not loopback", target=target)
        return None
    own = None
    if settings.tls_cert_file is not None and settings.tls_key_file is not None:
        own = read_certificate(
            "tls_cert_file", settings.tls_cert_file, "tls_key_file", settings.tls_key_file, client=True
        )
    elif settings.tls_cert_file is not None or settings.tls_key_file is not None:
        raise InvalidInput("tls_cert_file and tls_key_file come together; only one was given", field="tls_cert_file")
    return grpc.ssl_channel_credentials(
        root_certificates=read_authority("tls_ca_file", settings.tls_ca_file),
        private_key=own.key if own else None,
        certificate_chain=own.chain if own else None,
    )


def token_matches(authorization: str | None, token: str) -> bool:
    """Whether an `authorization` header carries this bearer token; takes the same time for every wrong one."""
    scheme, _, credential = (authorization or "").partition(" ")
    return hmac.compare_digest(credential.encode(), token.encode()) and scheme.lower() == "bearer"
