"""Certificates, keys and authorities read from PEM files, and refused at the start where no peer could use them.

gRPC takes whatever it is given and fails at the first handshake, in words of OpenSSL's; so each file is tried here
before anything listens or connects. It knows nothing of settings but their names, and nothing of gRPC.
"""

import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from stillwing_common.errors import InvalidInput

_HANDSHAKE_TURNS = 8


@dataclass(frozen=True, slots=True)
class Certificate:
    """A chain and the key of its first certificate, as PEM."""

    chain: bytes
    key: bytes


def read_certificate(
    chain_setting: str, chain_file: Path, key_setting: str, key_file: Path, *, client: bool = False
) -> Certificate:
    """A chain with its key, of a server or of a client.

    Raises `InvalidInput`, naming setting and file: unreadable, no PEM, encrypted, not of that key, expired, not yet
    valid, not made for that end.
    """
    chain, key = _read(chain_setting, chain_file), _read(key_setting, key_file)
    try:
        judge = _judge(chain, ssl.PROTOCOL_TLS_SERVER if client else ssl.PROTOCOL_TLS_CLIENT)
    except (ssl.SSLError, ValueError):  # ValueError: nothing in it is text
        raise _unusable(chain_setting, chain_file, "it holds no PEM certificate") from None
    own = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if client else ssl.PROTOCOL_TLS_SERVER)
    own.check_hostname, own.verify_mode = False, ssl.CERT_NONE
    try:
        own.load_cert_chain(chain_file, key_file, password=_no_password)
    except _Encrypted:
        raise _unusable(key_setting, key_file, "the key is encrypted; a service cannot ask for its password") from None
    except ssl.SSLError as error:
        reason = "it is not the key of the certificate" if "MISMATCH" in str(error) else "it holds no PEM key"
        raise _unusable(key_setting, key_file, reason) from error
    if client:
        judge.load_cert_chain(chain_file, key_file)  # a server has to show something; this one shows the same
    fault = _handshake_fault(judge, own) if client else _handshake_fault(own, judge)
    if fault is not None:
        raise _unusable(chain_setting, chain_file, fault)
    return Certificate(chain, key)


def read_authority(setting: str, file: Path) -> bytes:
    """An authority's PEM. Raises `InvalidInput`, naming setting and file: unreadable, no PEM, all expired."""
    data = _read(setting, file)
    try:
        context = _judge(data, ssl.PROTOCOL_TLS_CLIENT)
    except (ssl.SSLError, ValueError):  # ValueError: nothing in it is text
        raise _unusable(setting, file, "it holds no PEM certificate") from None
    ends = [ssl.cert_time_to_seconds(str(each["notAfter"])) for each in context.get_ca_certs()]
    if ends and max(ends) < time.time():
        raise _unusable(setting, file, "the certificate has expired")
    return data


class _Encrypted(Exception):
    pass


def _no_password() -> str:
    raise _Encrypted


def _judge(pem: bytes, end: int) -> ssl.SSLContext:
    """An end that asks the other for a certificate and trusts what is in `pem`."""
    context = ssl.SSLContext(end)
    context.check_hostname, context.verify_mode = False, ssl.CERT_REQUIRED
    # The chain's own first certificate is trusted, so that what is judged is its dates and its form alone.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem.decode("ascii", "ignore"))
    return context


def _handshake_fault(server: ssl.SSLContext, client: ssl.SSLContext) -> str | None:
    """Why an end that trusts the certificate would still refuse it; None where it would not."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)]
    for _ in range(_HANDSHAKE_TURNS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                return f"{error.verify_message}"
            except ssl.SSLError as error:
                return f"no handshake is possible with it ({error.reason})"
    return None


def _read(setting: str, file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unusable(setting, file, error.strerror or type(error).__name__) from error


def _unusable(setting: str, file: Path, reason: str) -> InvalidInput:
    return InvalidInput(f"{setting}: {file}: {reason}", field=setting, path=file)
