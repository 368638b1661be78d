"""A development authority with one server's and one client's certificate, and a token, as files.

For one owner's machines, not for an organisation: one server certificate serves every service, and one client
certificate every client. Keys and token are readable by their owner alone. It knows nothing of services and channels.
"""

import datetime
import ipaddress
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillwing_common.errors import AlreadyExists, InvalidInput, MissingExtra, NotFound
from stillwing_rpc.settings import ChannelSettings

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

DEFAULT_DAYS = 365
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_SKEW = datetime.timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """Where the files of one authority lie."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The authority's certificate: what both sides trust."""
        return self.folder / "ca.pem"

    @property
    def ca_key(self) -> Path:
        """The authority's key: whoever has it can make more."""
        return self.folder / "ca-key.pem"

    @property
    def server(self) -> Path:
        """The services' certificate."""
        return self.folder / "server.pem"

    @property
    def server_key(self) -> Path:
        """Its key."""
        return self.folder / "server-key.pem"

    @property
    def client(self) -> Path:
        """The clients' certificate."""
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        """Its key."""
        return self.folder / "client-key.pem"

    @property
    def token(self) -> Path:
        """The bearer token, one line."""
        return self.folder / "token"

    def read_token(self) -> str:
        """The bearer token; `NotFound` where there is none."""
        try:
            return self.token.read_text(encoding="ascii").strip()
        except OSError as error:
            raise NotFound(f"{self.token}: {error.strerror}; make it with: stillwing certs", path=self.token) from error

    def server_settings(self) -> dict[str, str]:
        """Settings of a service, by name, for mutual TLS and the token; `NotFound`."""
        return {
            "tls_cert_file": str(self.server),
            "tls_key_file": str(self.server_key),
            "tls_client_ca_file": str(self.ca),
            "token": self.read_token(),
        }

    def channel(self) -> ChannelSettings:
        """How a client that has this folder reaches services that were started with it; `NotFound`."""
        return ChannelSettings(
            tls_ca_file=self.ca, tls_cert_file=self.client, tls_key_file=self.client_key, token=self.read_token()
        )


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: the server's names and until when its and the client's certificate are valid."""

    files: CertificateFolder
    names: tuple[str, ...]
    valid_until: datetime.datetime


def make_certificates(
    folder: Path, names: Sequence[str] = (), *, days: int = DEFAULT_DAYS, renew: bool = False
) -> Made:
    """Make authority, server and client certificate and token; the server's names are `names` and those of loopback.

    `renew` keeps authority and token and makes the two certificates anew. Raises `AlreadyExists` where there is an
    authority already and `renew` was not said, `NotFound` where there is none to renew from, `InvalidInput`,
    `MissingExtra`.
    """
    _need_cryptography()
    if not 1 <= days <= 3650:
        raise InvalidInput("certificates are valid for 1 to 3650 days", field="days")
    every = tuple(dict.fromkeys((*LOOPBACK_NAMES, *(_checked(name) for name in names))))
    files = CertificateFolder(folder)
    until = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(days=days)
    try:
        if renew:
            authority = _load_authority(files)
        else:
            if files.ca.exists() or files.ca_key.exists():
                raise AlreadyExists(
                    f"{folder} holds an authority; make certificates anew with --renew, or choose another folder",
                    path=folder,
                )
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            authority = _make_authority(files, until)
            _write(files.token, secrets.token_urlsafe(32).encode() + b"\n", secret=True)
        # No certificate outlives the authority it is from.
        until = min(until, authority[0].not_valid_after_utc)
        _make_leaf(authority, files.server, files.server_key, "stillwing services", every, until)
        _make_leaf(authority, files.client, files.client_key, "stillwing client", (), until)
    except OSError as error:
        raise InvalidInput(f"{error.filename or folder}: {error.strerror}", path=folder) from error
    return Made(files, every, until)


def _need_cryptography() -> None:
    try:
        import cryptography  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "certificates are made by cryptography; run: pip install 'stillwing[certs]'",
            package="cryptography",
            extra="certs",
        ) from error


def _checked(name: str) -> str:
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


def _make_authority(
    files: CertificateFolder, until: datetime.datetime
) -> "tuple[x509.Certificate, ec.EllipticCurvePrivateKey]":
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"stillwing development authority {secrets.token_hex(4)}")
    certificate = (
        _builder(name, name, key, until)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(files.ca_key, _pem_key(key), secret=True)
    _write(files.ca, _pem(certificate))
    return certificate, key


def _load_authority(files: CertificateFolder) -> "tuple[x509.Certificate, ec.EllipticCurvePrivateKey]":
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    if not files.ca.exists() or not files.ca_key.exists():
        raise NotFound(f"{files.folder} holds no authority to renew from; make one with: stillwing certs")
    try:
        certificate = x509.load_pem_x509_certificate(files.ca.read_bytes())
        key = serialization.load_pem_private_key(files.ca_key.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"the authority in {files.folder} cannot be read: {error}", path=files.folder) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise InvalidInput(f"the authority in {files.folder} was not made by stillwing certs", path=files.folder)
    return certificate, key


def _make_leaf(
    authority: "tuple[x509.Certificate, ec.EllipticCurvePrivateKey]",
    file: Path,
    key_file: Path,
    common_name: str,
    names: Sequence[str],
    until: datetime.datetime,
) -> None:
    """A server's certificate where it has names, else a client's."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    issuer, issuer_key = authority
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    builder = (
        _builder(_name(common_name), issuer.subject, key, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
        )
    certificate = builder.sign(issuer_key, hashes.SHA256())
    _write(key_file, _pem_key(key), secret=True)
    _write(file, _pem(certificate))


def _builder(subject: Any, issuer: Any, key: Any, until: datetime.datetime) -> "x509.CertificateBuilder":
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime.now(datetime.UTC) - _SKEW)
        .not_valid_after(until)
    )


def _name(common_name: str) -> "x509.Name":
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> "x509.GeneralName":
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs: bool) -> "x509.KeyUsage":
    from cryptography import x509

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


def _pem(certificate: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _pem_key(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _write(path: Path, data: bytes, *, secret: bool = False) -> None:
    """Replace the file as a whole; a secret is never readable by others, not even for a moment."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if secret else 0o644), "wb") as file:
        file.write(data)
    fresh.replace(path)
