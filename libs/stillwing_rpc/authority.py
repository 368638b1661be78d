"""Makes a development authority with one server's and one client's certificate, and a token, as files.

For one owner's machines, not for an organisation. Keys and token are readable by their owner alone. It knows nothing of
services and channels.
"""

import datetime
import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from stillwing_common.errors import AlreadyExists, InvalidInput, NotFound
from stillwing_rpc.certificates import DEFAULT_DAYS, CertificateFolder

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What was made: the server's names and until when its and the client's certificate are valid."""

    files: CertificateFolder
    names: tuple[str, ...]
    valid_until: datetime.datetime


class _Authority(NamedTuple):
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def make_certificates(
    folder: Path, names: Sequence[str] = (), *, days: int = DEFAULT_DAYS, renew: bool = False
) -> Certificates:
    """Make authority, server and client certificate and token; the server's names are `names` and those of loopback.

    `renew` keeps authority and token and makes the two certificates anew. Raises `AlreadyExists` where there is an
    authority already and `renew` was not said, `NotFound` where there is none to renew from, `InvalidInput`.
    """
    if not 1 <= days <= 3650:
        raise InvalidInput("certificates are valid for 1 to 3650 days", field="days")
    every = tuple(dict.fromkeys((*LOOPBACK_NAMES, *(_host(name) for name in names))))
    files = CertificateFolder(folder)
    until = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=days)
    try:
        _refuse_what_others_use(files)
        authority = _load_authority(files) if renew else _make_authority(files, until)
        if os.name == "posix":
            folder.chmod(0o700)  # one that was there already is closed to others, too
        # No certificate outlives the authority it is from.
        until = min(until, authority.certificate.not_valid_after_utc)
        _make_leaf(authority, files.server, files.server_key, "stillwing services", every, until)
        _make_leaf(authority, files.client, files.client_key, "stillwing client", (), until)
    except OSError as error:
        raise InvalidInput(f"{error.filename or folder}: {error.strerror}", path=folder) from error
    return Certificates(files, every, until)


def _refuse_what_others_use(files: CertificateFolder) -> None:
    """A folder is closed to others here: in `/etc/ssl` or a home folder that would break what is none of ours."""
    if not files.folder.exists():
        return
    strange = sorted(each.name for each in files.folder.iterdir() if each.name.removesuffix(".new") not in files.names)
    if strange:
        raise InvalidInput(
            f"{files.folder} holds {strange[0]}, which is none of ours; certificates want a folder of their own,"
            " and close it to others",
            path=files.folder,
        )


def _host(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        labels = name.rstrip(".").split(".")
        good = 0 < len(name) <= 253 and all(
            0 < len(label) <= 63 and label.isascii() and label.replace("-", "").isalnum() for label in labels
        )
        if not good:
            raise InvalidInput(f"{name!r} is neither a host name nor an address", field="names") from None
        return name


def _make_authority(files: CertificateFolder, until: datetime.datetime) -> _Authority:
    if files.ca.exists() or files.ca_key.exists():
        raise AlreadyExists(
            f"{files.folder} holds an authority; make certificates anew with --renew, or choose another folder",
            path=files.folder,
        )
    files.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"stillwing development authority {secrets.token_hex(4)}")
    certificate = (
        _builder(name, name, key.public_key(), until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(files.ca, certificate, files.ca_key, key)
    _write(files.token, secrets.token_urlsafe(32).encode() + b"\n", secret=True)
    return _Authority(certificate, key)


def _load_authority(files: CertificateFolder) -> _Authority:
    if not files.ca.exists() or not files.ca_key.exists():
        raise NotFound(f"{files.folder} holds no authority to renew from; make one with: stillwing certs")
    try:
        certificate = x509.load_pem_x509_certificate(files.ca.read_bytes())
        key = serialization.load_pem_private_key(files.ca_key.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"the authority in {files.folder} cannot be read: {error}", path=files.folder) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"the authority in {files.folder} was not made by stillwing certs", path=files.folder)
    return _Authority(certificate, key)


def _make_leaf(
    authority: _Authority, file: Path, key_file: Path, common_name: str, names: Sequence[str], until: datetime.datetime
) -> None:
    """A server's certificate where it has names, else a client's."""
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _builder(_name(common_name), authority.certificate.subject, key.public_key(), until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(issuer, critical=False)
    )
    if names:
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        builder = builder.add_extension(alternatives, critical=False)
    _write_pair(file, builder.sign(authority.key, hashes.SHA256()), key_file, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - _SKEW)
        .not_valid_after(until)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(f"CN={common_name}")


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_pair(file: Path, certificate: x509.Certificate, key_file: Path, key: ec.EllipticCurvePrivateKey) -> None:
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    _write(key_file, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain), secret=True)
    _write(file, certificate.public_bytes(pem))


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Replace the file as a whole; a secret is never readable by others, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644), "wb") as file:
        file.write(data)
    fresh.replace(path)
