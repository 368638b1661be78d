"""Who may listen where: loopback in plaintext, anything else with a certificate, its key and a token."""

import grpc

from stillwing_common.errors import InsecureBind, InvalidInput
from stillwing_rpc.certificate_checks import read_authority, read_certificate
from stillwing_rpc.security import is_loopback, usable_token
from stillwing_rpc.settings import ServerSettings


def server_credentials(settings: "ServerSettings") -> grpc.ServerCredentials | None:
    """TLS credentials, or None for plaintext.

    Raises `InsecureBind` where the address is not loopback and certificate, key or token is missing, and
    `InvalidInput`, naming the setting, where one cannot be used.
    """
    loopback = is_loopback(settings.host)
    token = server_token(settings)
    if (settings.tls_cert_file is None) != (settings.tls_key_file is None):
        raise InvalidInput("tls_cert_file and tls_key_file come together; only one was given", field="tls_cert_file")
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        if not loopback:
            raise InsecureBind(f"{settings.host} is not loopback", host=settings.host)
        if settings.tls_client_ca_file is not None:
            raise InvalidInput("tls_client_ca_file needs tls_cert_file and tls_key_file", field="tls_client_ca_file")
        return None
    if token is None and not loopback:
        raise InsecureBind(f"{settings.host} is not loopback and no token is set", host=settings.host)
    own = read_certificate("tls_cert_file", settings.tls_cert_file, "tls_key_file", settings.tls_key_file)
    authority = settings.tls_client_ca_file
    return grpc.ssl_server_credentials(
        [(own.key, own.chain)],
        root_certificates=read_authority("tls_client_ca_file", authority) if authority else None,
        require_client_auth=authority is not None,
    )


def server_token(settings: ServerSettings) -> str | None:
    """The token that every call must carry; None where none is set.

    Raises `InsecureBind` where it is blank and the address is not loopback, and `InvalidInput` where no client can
    send it: who sets a token wants one asked for.
    """
    if settings.token is None:
        return None
    token = settings.token.get_secret_value()
    setting = f"{settings.model_config.get('env_prefix', '')}TOKEN"
    if not token.strip() and not is_loopback(settings.host):
        raise InsecureBind(f"{settings.host} is not loopback and {setting} is empty", host=settings.host, field="token")
    return usable_token(token, setting)
