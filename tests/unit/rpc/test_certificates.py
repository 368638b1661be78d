"""python -m pytest tests/unit/rpc/test_certificates.py

What `stillwing certs` makes: who it is for, how long it is valid, and who may read it.
"""

import datetime
import os
import stat
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from stillwing_common.errors import AlreadyExists, InvalidInput, NotFound
from stillwing_rpc.authority import make_certificates
from stillwing_rpc.certificates import CertificateFolder


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    return make_certificates(tmp_path_factory.mktemp("made") / "certs", ["robot.local", "10.0.0.7"], days=30).files


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_names_and_purposes(files: CertificateFolder) -> None:
    server, client = load(files.server), load(files.client)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "robot.local"]
    assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.7"]
    purposes = [list(each.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) for each in (server, client)]
    assert purposes == [[ExtendedKeyUsageOID.SERVER_AUTH], [ExtendedKeyUsageOID.CLIENT_AUTH]]
    for each in (server, client):
        each.verify_directly_issued_by(load(files.ca))
        assert not each.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_validity(files: CertificateFolder) -> None:
    now = datetime.datetime.now(datetime.UTC)
    for path in (files.ca, files.server, files.client):
        certificate = load(path)
        assert certificate.not_valid_before_utc < now
        assert abs(certificate.not_valid_after_utc - now - datetime.timedelta(days=30)) < datetime.timedelta(minutes=5)


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")
def test_secrets_are_for_their_owner_alone(files: CertificateFolder) -> None:
    for path in (files.ca_key, files.server_key, files.client_key, files.token):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
    assert stat.S_IMODE(os.stat(files.folder).st_mode) == 0o700
    assert len(files.read_token()) >= 40


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")
def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    for renew in (False, True):
        tmp_path.chmod(0o755)
        make_certificates(tmp_path, renew=renew)
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32", reason="file modes are POSIX")
@pytest.mark.parametrize("renew", [False, True])
def test_a_folder_that_others_use_is_left_alone(tmp_path: Path, renew: bool) -> None:
    if renew:
        make_certificates(tmp_path)
    (tmp_path / "passwd").touch()
    tmp_path.chmod(0o755)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match="holds passwd, which is none of ours"):
        make_certificates(tmp_path, renew=renew)
    assert sorted(tmp_path.iterdir()) == before
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize("token", [b"\xff\xfe", "geheïm".encode()])
def test_a_token_that_is_no_text_is_told(tmp_path: Path, token: bytes) -> None:
    files = make_certificates(tmp_path).files
    files.token.write_bytes(token)
    with pytest.raises(InvalidInput, match="holds no token"):
        files.channel()


def test_keys_belong_to_their_certificates(files: CertificateFolder) -> None:
    for certificate, key in ((files.server, files.server_key), (files.client, files.client_key)):
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        assert private.public_key() == load(certificate).public_key()


def test_an_authority_is_never_replaced_unasked(files: CertificateFolder) -> None:
    before = files.ca.read_bytes()
    with pytest.raises(AlreadyExists, match="--renew"):
        make_certificates(files.folder)
    assert files.ca.read_bytes() == before


def test_renewing_keeps_authority_and_token(tmp_path: Path) -> None:
    files = make_certificates(tmp_path / "certs", days=10).files
    before = {path: path.read_bytes() for path in (files.ca, files.ca_key, files.token, files.server, files.client)}
    made = make_certificates(files.folder, ["robot.local"], days=100, renew=True)
    kept = {path for path, data in before.items() if path.read_bytes() == data}
    assert kept == {files.ca, files.ca_key, files.token}
    assert made.valid_until == load(files.ca).not_valid_after_utc, "nothing outlives its authority"
    load(files.server).verify_directly_issued_by(load(files.ca))


@pytest.mark.parametrize("name", ["", "two words", "a..b", "x" * 64 + ".local", "*.local"])
def test_names_that_are_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="neither"):
        make_certificates(tmp_path / "certs", [name])
    assert not (tmp_path / "certs").exists()


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="stillwing certs"):
        CertificateFolder(tmp_path).channel()
    with pytest.raises(NotFound, match="no authority"):
        make_certificates(tmp_path, renew=True)
    with pytest.raises(InvalidInput, match="days"):
        make_certificates(tmp_path / "certs", days=0)
