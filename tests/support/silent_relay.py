"""A TCP relay that can stop carrying while every connection stays open: a half-open link without privileges."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


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
                far = socket.create_connection(self._target, timeout=5)
            except OSError:
                return
            far.settimeout(None)
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._carrying.wait()
                if self._closing:
                    return
                sink.sendall(data)
