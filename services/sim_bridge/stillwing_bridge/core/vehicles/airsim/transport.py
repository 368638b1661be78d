"""msgpack-rpc over one socket, as AirSim's server speaks it. Knows framing, deadlines and failures, and no method.

One reader thread a connection; calls may be made from any thread and any number at once, replies come in any order. The
death of the server fails every pending call at once. A call that missed its deadline leaves the connection usable; its
late reply is dropped. On the wire a request is [0, id, method, params] and a response [1, id, error, result].
"""

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import msgpack

from stillwing_common.errors import LinkLost, SimulatorError

_MAX_REPLY_BYTES = 1 << 28
# Lists are made at the length they announce, before anything of them has come: no picture has more values than this.
_MAX_ARRAY = 1 << 24
_MAX_MAP = 1 << 10
_RECEIVE_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of the server."""

    call_id: int
    error: Any
    result: Any


class ReplyStream:
    """Bytes in, replies out, whatever the pieces they arrive in."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            max_buffer_size=_MAX_REPLY_BYTES,
            max_array_len=_MAX_ARRAY,
            max_map_len=_MAX_MAP,
        )

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Replies that are complete now. Raises `ValueError` for what is no msgpack-rpc."""
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                yield _reply(message)
        except (msgpack.UnpackException, TypeError, RecursionError, MemoryError) as error:
            raise ValueError(str(error) or type(error).__name__) from error


def _reply(message: object) -> Reply:
    match message:
        case [1, int(call_id), error, result]:
            return Reply(call_id, error, result)
    raise ValueError(f"no response: {str(message)[:80]}")


class Connection(Protocol):
    """An open connection; `Transport` is one over a socket."""

    @property
    def alive(self) -> bool:
        """Whether calls can still be made."""

    def submit(self, method: str, *params: object) -> Future[Any]:
        """Send a call now; its future gets the result."""

    async def call(self, method: str, *params: object, timeout_s: float) -> Any:
        """Call and wait for the result."""

    def close(self) -> None:
        """Close the connection."""


class Transport:
    """One open connection. Not reusable once closed or lost: open another."""

    def __init__(self, connection: socket.socket, name: str) -> None:
        self._connection = connection
        self._name = name
        self._packer = msgpack.Packer(use_bin_type=True)
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._pending: dict[int, tuple[str, Future[Any]]] = {}
        self._loss: LinkLost | None = None
        self._reader = threading.Thread(target=self._read, name=f"airsim-{name}", daemon=True)
        self._reader.start()

    @classmethod
    def open(cls, host: str, port: int, *, timeout_s: float, name: str) -> "Transport":
        """Connect; `LinkLost` if nobody listens or the connection takes longer than `timeout_s`. Blocks."""
        try:
            connection = socket.create_connection((host, port), timeout=timeout_s)
        except OSError as error:
            raise LinkLost(f"{host}:{port}: {error}", address=f"{host}:{port}") from error
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(connection, name)

    @property
    def alive(self) -> bool:
        """Whether calls can still be made."""
        return self._loss is None

    def submit(self, method: str, *params: object) -> Future[Any]:
        """Send a call now; its future gets the result, `SimulatorError`, or `LinkLost`. Any thread."""
        future: Future[Any] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._loss is not None:
                future.set_exception(self._loss)
                return future
            call_id = next(self._ids) & 0xFFFFFFFF
            self._pending[call_id] = (method, future)
            try:
                self._connection.sendall(self._packer.pack([0, call_id, method, list(params)]))
            except OSError as error:
                del self._pending[call_id]
                future.set_exception(LinkLost(f"{self._name} connection: {error}"))
        return future

    async def call(self, method: str, *params: object, timeout_s: float) -> Any:
        """Call and wait for the result; `LinkLost` when `timeout_s` has passed."""
        future = self.submit(method, *params)
        try:
            # Not wait_for: before Python 3.12 it forgets a cancellation that comes together with the result.
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise LinkLost(f"{method} got no answer within {timeout_s:g} s", method=method) from None
        finally:
            if not future.done():
                self._forget(future)

    def close(self) -> None:
        """Close the connection; pending calls fail with `LinkLost`. Any thread."""
        self._lose(LinkLost(f"{self._name} connection was closed"))

    def _forget(self, future: Future[Any]) -> None:
        with self._lock:
            for call_id, (_, pending) in self._pending.items():
                if pending is future:
                    del self._pending[call_id]
                    return

    def _lose(self, loss: LinkLost) -> None:
        with self._lock:
            if self._loss is None:
                self._loss = loss
            pending, self._pending = self._pending, {}
        with contextlib.suppress(OSError):  # it may not be connected any more, which is what is wanted
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        for _, future in pending.values():
            future.set_exception(self._loss)

    def _read(self) -> None:
        replies = ReplyStream()
        loss = LinkLost(f"the simulator closed the {self._name} connection")
        try:
            while chunk := self._connection.recv(_RECEIVE_BYTES):
                for reply in replies.feed(chunk):
                    self._settle(reply)
        except OSError as error:
            loss = LinkLost(f"{self._name} connection: {error}")
        except ValueError as error:
            loss = LinkLost(f"{self._name} connection: not msgpack-rpc: {error}")
        self._lose(loss)

    def _settle(self, reply: Reply) -> None:
        with self._lock:
            method, future = self._pending.pop(reply.call_id, ("", None))
        if future is None:
            return  # its deadline has passed
        if reply.error is not None:
            future.set_exception(SimulatorError(f"{method}: {reply.error}", method=method, error=reply.error))
        else:
            future.set_result(reply.result)
