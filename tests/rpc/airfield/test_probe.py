"""The health check of containers. Run: python -m pytest tests/rpc/airfield/test_probe.py -v"""

import socket
import threading

import pytest

from stillwing_airfield import probe


def test_a_simulator_answers(port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["probe", f"127.0.0.1:{port}"])
    assert probe.main() == 0
    assert capsys.readouterr().out == f"127.0.0.1:{port} answers\n"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xc1" * 9, b"\x94\x01\x01\xc0\xc2"])
def test_what_listens_and_is_no_simulator_fails(answer: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"

        def serve() -> None:
            link, _ = listener.accept()
            with link:
                link.recv(100)
                link.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        fault = probe.probe(address)
        thread.join()
    assert fault is not None and fault.startswith(address)


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1:1", "\0:1", "é" * 99 + ":1"]
)
def test_an_address_where_nobody_listens_fails_in_one_line(
    address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["probe", address])
    assert probe.main() == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_its_usage_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["probe"])
    assert probe.main() == 2
    assert "usage" in capsys.readouterr().err
