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
from stillwing_rpc.authority import make_certificates
from stillwing_rpc.channel import check_health, connect, open_channel
from stillwing_rpc.channel_settings import ChannelSettings
from stillwing_rpc.errors import domain_errors
from stillwing_rpc.security import host_of, is_loopback, token_matches
from stillwing_rpc.server import RpcServer
from stillwing_rpc.settings import ServerSettings

SERVICE = "stillwing.vlm.v1.VlmService"


Files = tuple[Path, Path]


def write_certificate(folder: Path, *, valid_hours: tuple[int, int] = (-1, 1)) -> Files:
    """(certificate, key) files, signed by itself, for 127.0.0.1, valid from and until so many hours from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stillwing test")])
    now = datetime.datetime.now(datetime.UTC)
    begin, end = (now + datetime.timedelta(hours=hours) for hours in valid_hours)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """(certificate, key) files that are valid now."""
    return write_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "robot.example", "192.168.1.5"])
async def test_other_addresses_need_tls_and_token(host: str, certificate: Files) -> None:
    with pytest.raises(errors.InsecureBind, match=host):
        await RpcServer([], ServerSettings(host=host)).start()
    with pytest.raises(errors.InsecureBind):
        await RpcServer([], ServerSettings(host=host, token="alone")).start()
    with pytest.raises(errors.InsecureBind, match="no token"):
        await RpcServer(
            [], ServerSettings(host=host, tls_cert_file=certificate[0], tls_key_file=certificate[1])
        ).start()


async def test_unusable_tls_settings_are_named(certificate: Files, tmp_path: Path) -> None:
    with pytest.raises(errors.InvalidInput, match="tls_key_file"):
        await RpcServer([], ServerSettings(tls_cert_file=certificate[0])).start()
    missing = tmp_path / "absent.pem"
    with pytest.raises(errors.InvalidInput, match=r"absent\.pem"):
        await RpcServer([], ServerSettings(tls_cert_file=missing, tls_key_file=certificate[1])).start()


@pytest.mark.parametrize("token", ["", " ", "\t\n"])
async def test_a_blank_token_switches_nothing_off(token: str, certificate: Files) -> None:
    files = {"tls_cert_file": certificate[0], "tls_key_file": certificate[1]}
    with pytest.raises(errors.InsecureBind, match="STILLWING_TOKEN is empty"):
        await RpcServer([], ServerSettings(host="0.0.0.0", token=token, **files)).start()
    with pytest.raises(errors.InvalidInput, match="STILLWING_TOKEN is empty"):
        await RpcServer([], ServerSettings(token=token)).start()
    with pytest.raises(errors.InvalidInput, match="token is empty"):
        open_channel("127.0.0.1:1", SERVICE, ChannelSettings(token=token))


@pytest.mark.parametrize("token", ["two\nlines", "caf\xe9", "ends \n", " begins", "nul\0", "\U0001f511", "x" * 4097])
async def test_a_token_that_no_client_can_send_is_refused_unrepeated(token: str) -> None:
    with pytest.raises(errors.InvalidInput, match="STILLWING_TOKEN cannot be sent") as refusal:
        await RpcServer([], ServerSettings(token=token)).start()
    assert token not in str(refusal.value)
    with pytest.raises(errors.InvalidInput, match="token cannot be sent"):
        open_channel("127.0.0.1:1", SERVICE, ChannelSettings(token=token))


@pytest.mark.parametrize(
    ("valid_hours", "reason"), [((-3, -1), "expired"), ((1, 3), "not yet valid")], ids=["expired", "early"]
)
async def test_a_certificate_out_of_its_time_is_refused(
    valid_hours: tuple[int, int], reason: str, tmp_path: Path
) -> None:
    files = write_certificate(tmp_path, valid_hours=valid_hours)
    with pytest.raises(errors.InvalidInput, match=f"tls_cert_file.*{reason}"):
        await RpcServer([], ServerSettings(tls_cert_file=files[0], tls_key_file=files[1])).start()


async def test_a_clients_certificate_serves_clients_and_no_server(tmp_path: Path) -> None:
    folder = make_certificates(tmp_path / "certs", days=1).files
    own = {"tls_cert_file": folder.client, "tls_key_file": folder.client_key}
    await open_channel("127.0.0.1:1", SERVICE, ChannelSettings(tls_ca_file=folder.ca, **own)).close()
    with pytest.raises(errors.InvalidInput, match=r"tls_cert_file.*purpose"):
        await RpcServer([], ServerSettings(**own)).start()


async def test_an_expired_authority_is_refused(certificate: Files, tmp_path: Path) -> None:
    expired, _ = write_certificate(tmp_path, valid_hours=(-3, -1))
    own = {"tls_cert_file": certificate[0], "tls_key_file": certificate[1]}
    with pytest.raises(errors.InvalidInput, match=r"tls_client_ca_file.*expired"):
        await RpcServer([], ServerSettings(tls_client_ca_file=expired, **own)).start()
    with pytest.raises(errors.InvalidInput, match=r"tls_ca_file.*expired"):
        open_channel("127.0.0.1:1", SERVICE, ChannelSettings(tls_ca_file=expired))


async def test_files_that_do_not_fit_are_refused_by_name(certificate: Files, tmp_path: Path) -> None:
    _, other_key = write_certificate(tmp_path)
    garbage, encrypted = tmp_path / "garbage.pem", tmp_path / "encrypted.pem"
    garbage.write_bytes(b"\xff\0 no PEM at all")
    encrypted.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    cases: dict[str, tuple[Path, Path, str]] = {
        "wrong key": (certificate[0], other_key, "tls_key_file.*not the key"),
        "no certificate": (garbage, certificate[1], "tls_cert_file.*no PEM certificate"),
        "no key": (certificate[0], garbage, "tls_key_file.*no PEM key"),
        "a key that asks for a password": (certificate[0], encrypted, "tls_key_file.*encrypted"),
        "a folder": (tmp_path, certificate[1], "tls_cert_file.*directory"),
    }
    for certificate_file, key_file, reason in cases.values():
        own = {"tls_cert_file": certificate_file, "tls_key_file": key_file}
        with pytest.raises(errors.InvalidInput, match=reason):
            await RpcServer([], ServerSettings(**own)).start()
        with pytest.raises(errors.InvalidInput, match=reason):
            open_channel("127.0.0.1:1", SERVICE, ChannelSettings(tls_ca_file=certificate[0], **own))
    with pytest.raises(errors.InvalidInput, match=r"tls_ca_file.*no PEM certificate"):
        open_channel("127.0.0.1:1", SERVICE, ChannelSettings(tls_ca_file=garbage))


async def test_address_that_is_not_ours_is_invalid(certificate: Files) -> None:
    settings = ServerSettings(
        host="203.0.113.7", tls_cert_file=certificate[0], tls_key_file=certificate[1], token="any"
    )
    with pytest.raises(errors.InvalidInput, match="cannot listen"):
        await RpcServer([], settings).start()


async def test_tls_and_token_end_to_end(certificate: Files, start: Any, stub: Any) -> None:
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


async def test_clients_can_be_asked_for_certificates(certificate: Files, start: Any, stub: Any) -> None:
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
