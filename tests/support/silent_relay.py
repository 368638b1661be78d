"""TCP relays: one that can stop carrying while every connection stays open, and one that tells another time."""

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import msgpack


class SilentRelay:
    """Listens on a port of its own and passes bytes to and from `target` ("host:port") until it falls silent."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._carrying = threading.Event()
        self._carrying.set()
        self._closing = False
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def fall_silent(self) -> None:
        """From now on nothing arrives on either side, and nobody is told."""
        self._carrying.clear()

    def carry_on(self) -> None:
        """From now on bytes arrive again, those of meanwhile first."""
        self._carrying.set()

    def close(self) -> None:
        """End every connection."""
        self._closing = True
        self._carrying.set()
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._sockets.clear()

    def _accept(self) -> None:
        while not self._closing:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target, timeout=5)
            except OSError:
                near.close()
                return
            far.settimeout(None)
            self._sockets += [near, far]
            if self._closing:
                self.close()
                return
            for source, sink, change in ((near, far, bytes), (far, near, self._returned())):
                threading.Thread(target=self._carry, args=(source, sink, change), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._carrying.wait()
                if self._closing:
                    return
                sink.sendall(change(data))

    def _returned(self) -> Callable[[bytes], bytes]:
        """What becomes of the bytes that one connection brings back."""
        return bytes


class SkewedRelay(SilentRelay):
    """Stands before a simulator and moves every time it tells by `skew_s`, from one answer to the next."""

    skew_s = 0.0

    def _returned(self) -> Callable[[bytes], bytes]:
        unpacker = msgpack.Unpacker(strict_map_key=False, unicode_errors="surrogateescape", max_buffer_size=1 << 28)

        def changed(data: bytes) -> bytes:
            unpacker.feed(data)
            moved = (_moved(message, int(self.skew_s * 1e9)) for message in unpacker)
            return b"".join(msgpack.packb(message, unicode_errors="surrogateescape") for message in moved)

        return changed


def _moved(value: Any, by_ns: int) -> Any:
    if isinstance(value, dict):
        return {
            key: part + by_ns if key in ("timestamp", "time_stamp") and part else _moved(part, by_ns)
            for key, part in value.items()
        }
    return [_moved(part, by_ns) for part in value] if isinstance(value, list) else value
