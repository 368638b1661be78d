"""A server of AirSim's wire: any number of connections, answers as they come ready, in whatever order.

As in the real one, a motion outlives the connection that asked for it, and whoever connects may command. It knows no
particular call.
"""

import asyncio
import errno
import logging
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from stillwing_airfield import wire
from stillwing_airfield.dialects import Dialect
from stillwing_airfield.faults import ConnectionDropped, Faults
from stillwing_airfield.methods import Methods, Refused
from stillwing_airfield.sim import Airfield
from stillwing_common.errors import PortInUse, Unavailable

DEFAULT_PORT = 41451
_log = logging.getLogger("airfield")
# A client that sends without reading answers is no longer served beyond this many calls or bytes.
_MOST_UNANSWERED = 64
_MOST_UNREAD_BYTES = 1 << 25


class CannotListen(Unavailable):
    """The address cannot be listened on."""

    reason = "CANNOT_LISTEN"


class AirfieldServer:
    """Serves one live simulator on one port. Create and use it on one event loop."""

    def __init__(self, airfield: Airfield, dialect: Dialect = Dialect.MS, faults: Faults | None = None) -> None:
        """`airfield` is started by `start` and left to the caller to close."""
        self._airfield = airfield
        self._methods = Methods(airfield, dialect, faults)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str = "127.0.0.1", port: int = DEFAULT_PORT) -> int:
        """Start the simulator and listen; port 0 takes any free one. Returns the port.

        Raises `PortInUse` and `CannotListen`.
        """
        loop = asyncio.get_running_loop()
        try:
            # Without reuse_port a second server on the same port is an error instead of a lottery.
            self._server = await loop.create_server(self._connection, host, port, reuse_address=True, backlog=64)
        except (OSError, UnicodeError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                raise PortInUse(f"{host}:{port}", host=host, port=port) from error
            why = getattr(error, "strerror", None) or error
            raise CannotListen(f"{host!r}, port {port}: {why}", host=host, port=port) from error
        self._airfield.start()
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    def _connection(self) -> asyncio.Protocol:
        return _Connection(self._methods, self._connections)

    async def close(self) -> None:
        """Stop listening, drop the connections, wait for images being encoded."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drop()
        if self._server is not None:
            await self._server.wait_closed()
        await asyncio.get_running_loop().run_in_executor(None, self._methods.close)


class _Connection(asyncio.Protocol):
    """One client: requests in, answers out; asyncio sets TCP_NODELAY on every socket."""

    def __init__(self, methods: Methods, connections: "set[_Connection]") -> None:
        self._methods = methods
        self._connections = connections
        self._stream = wire.RequestStream()
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[wire.Request] = deque()
        self._unanswered = 0
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_MOST_UNREAD_BYTES)
        self._peer = transport.get_extra_info("peername")
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._waiting.extend(self._stream.feed(data))
        except wire.ProtocolViolation as violation:
            _log.warning("closing the connection of %s: %s", self._peer, violation)
            self._transport.abort()
        self._pump()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._pump()

    def drop(self) -> None:
        """Close at once."""
        self._transport.abort()

    def _pump(self) -> None:
        """Serve what waits as far as the limits allow; read on only when nothing waits."""
        while self._waiting and not self._full and self._unanswered < _MOST_UNANSWERED:
            self._serve(self._waiting.popleft())
        if self._transport.is_closing():
            return
        if self._waiting:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _serve(self, request: wire.Request) -> None:
        try:
            result = self._methods.call(request)
        except ConnectionDropped as dropped:
            _log.warning("dropping the connection of %s: %s", self._peer, dropped)
            self._waiting.clear()
            self._transport.abort()
            return
        except Refused as refused:
            self._answer(request, str(refused), None)
            return
        if isinstance(result, Future):
            self._unanswered += 1
            result.add_done_callback(lambda done: self._when_done(request, done))
        else:
            self._answer(request, None, result)

    def _when_done(self, request: wire.Request, done: "Future[Any]") -> None:
        """On whatever thread ended the call.

        Packing happens here, off the event loop: a depth image takes a millisecond.
        """
        error = done.exception()
        explained = None if error is None else self._methods.explain(request, error)
        packed = self._packed(request, explained, None if error else done.result())
        with suppress(RuntimeError):  # the loop is closed: a motion outlived the server, and nobody waits for it
            self._loop.call_soon_threadsafe(self._finish, packed)

    def _finish(self, packed: bytes | None) -> None:
        self._unanswered -= 1
        self._write(packed)
        self._pump()

    def _answer(self, request: wire.Request, error: str | None, result: Any) -> None:
        self._write(self._packed(request, error, result))

    @staticmethod
    def _packed(request: wire.Request, error: str | None, result: Any) -> bytes | None:
        return None if request.message_id is None else wire.pack_answer(request.message_id, error, result)

    def _write(self, packed: bytes | None) -> None:
        if packed is not None and not self._transport.is_closing():
            self._transport.write(packed)


@contextmanager
def serving(
    airfield: Airfield,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    dialect: Dialect = Dialect.MS,
    faults: Faults | None = None,
) -> Iterator[int]:
    """Serve `airfield` on a thread of its own and yield the port; afterwards the simulator is closed too.

    Raises what `AirfieldServer.start` raises.
    """
    ready: Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        server = AirfieldServer(airfield, dialect, faults)
        stop = asyncio.Event()
        try:
            ready.set_result((await server.start(host, port), asyncio.get_running_loop(), stop))
            await stop.wait()
        except Exception as error:
            if ready.done():
                raise
            ready.set_exception(error)
        finally:
            await server.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="airfield-server", daemon=True)
    thread.start()
    try:
        bound, loop, stop = ready.result()
    except BaseException:
        thread.join()
        airfield.close()
        raise
    try:
        yield bound
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        airfield.close()
