"""python -m pytest tests/rpc/rpc/test_rpc_security.py

Plaintext stays on this machine; elsewhere a certificate and a token are asked for and checked.
"""

import datetime
import ipaddress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stillwing.vlm.v1 import vlm_pb2
from stillwing_common import errors
from stillwing_rpc.channel import check_health, connect, open_channel
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.errors import domain_errors
from stillwing_rpc.security import host_of, is_loopback, token_matches
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings

SERVICE = "stillwing.vlm.v1.VlmService"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(certificate, key) files, signed by itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stillwing test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "robot.example", "192.168.1.5"])
async def test_other_addresses_need_tls_and_token(host: str, certificate: tuple[Path, Path]) -> None:
    with pytest.raises(errors.InsecureBind, match=host):
        await RpcServer([], ServerSettings(host=host)).start()
    with pytest.raises(errors.InsecureBind):
        await RpcServer([], ServerSettings(host=host, token="alone")).start()
    with pytest.raises(errors.InsecureBind, match="no token"):
        await RpcServer(
            [], ServerSettings(host=host, tls_cert_file=certificate[0], tls_key_file=certificate[1])
        ).start()


async def test_unusable_tls_settings_are_named(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="tls_key_file"):
        await RpcServer([], ServerSettings(tls_cert_file=certificate[0])).start()
    missing = tmp_path / "absent.pem"
    with pytest.raises(errors.InvalidInput, match=r"absent\.pem"):
        await RpcServer([], ServerSettings(tls_cert_file=missing, tls_key_file=certificate[1])).start()


async def test_address_that_is_not_ours_is_invalid(certificate: tuple[Path, Path]) -> None:
    settings = ServerSettings(
        host="203.0.113.7", tls_cert_file=certificate[0], tls_key_file=certificate[1], token="any"
    )
    with pytest.raises(errors.InvalidInput, match="cannot listen"):
        await RpcServer([], settings).start()


async def test_tls_and_token_end_to_end(certificate: tuple[Path, Path], start: Any, stub: Any) -> None:
    settings = ServerSettings(
        host="0.0.0.0", tls_cert_file=certificate[0], tls_key_file=certificate[1], token="the right one"
    )
    _, target = await start(settings=settings)
    async with stub(target, ChannelSettings(tls_ca_file=certificate[0], token="the right one")) as vlm:
        assert (await vlm.GetModel(vlm_pb2.GetModelRequest())).engine == "small"
    for token in (None, "a wrong one"):
        async with stub(target, ChannelSettings(tls_ca_file=certificate[0], token=token)) as vlm:
            with pytest.raises(errors.NotAuthenticated), domain_errors():
                await vlm.GetModel(vlm_pb2.GetModelRequest())
            call = vlm.Session()
            with pytest.raises(errors.NotAuthenticated), domain_errors():
                await call.read()
    with pytest.raises(errors.Unavailable):
        await connect(target, SERVICE, wait_s=0.5)


async def test_clients_can_be_asked_for_certificates(certificate: tuple[Path, Path], start: Any, stub: Any) -> None:
    settings = ServerSettings(
        tls_cert_file=certificate[0], tls_key_file=certificate[1], tls_client_ca_file=certificate[0]
    )
    _, target = await start(settings=settings)
    known = ChannelSettings(tls_ca_file=certificate[0], tls_cert_file=certificate[0], tls_key_file=certificate[1])
    async with stub(target, known) as vlm:
        await vlm.GetModel(vlm_pb2.GetModelRequest())
    with pytest.raises(errors.Unavailable):
        await connect(target, SERVICE, ChannelSettings(tls_ca_file=certificate[0]), wait_s=0.5)


async def test_token_on_loopback_is_checked_but_health_is_open(start: Any, stub: Any) -> None:
    _, target = await start(settings=ServerSettings(token="t0ken"))
    async with open_channel(target, SERVICE) as channel:
        assert await check_health(channel, SERVICE) == "SERVING"
    async with stub(target, ChannelSettings(token="t0ken")) as vlm:
        await vlm.GetModel(vlm_pb2.GetModelRequest())


async def test_token_never_leaves_in_plaintext() -> None:
    with pytest.raises(errors.InsecureChannel, match="robot:50061"):
        await connect("robot:50061", SERVICE, ChannelSettings(token="secret"))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *[(host, True) for host in ("127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost")],
        *[(host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "")],
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("target", "host"),
    [("127.0.0.1:1", "127.0.0.1"), ("[::1]:1", "[::1]"), ("dns:///robot:1", "robot"), ("robot", "robot")],
)
def test_host_of(target: str, host: str) -> None:
    assert host_of(target) == host


@pytest.mark.parametrize("given", [None, "", "abc", "Bearer", "Bearer ", "Basic abc", "Bearer abcd", "Bearer äbc"])
def test_wrong_authorization(given: str | None) -> None:
    assert not token_matches(given, "abc")
    assert token_matches("bearer abc", "abc")
