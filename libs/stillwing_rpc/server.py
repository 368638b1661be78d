"""The one way to serve: options, health, reflection, interceptor, bind, drain in the right order.

It knows nothing of what is served. Health says NOT_SERVING from the start until `set_serving`, which a service calls
when its model is loaded and warm; `drain` first says NOT_SERVING again, then lets the service end what it holds, then
stops.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from stillwing_common.errors import InvalidInput, PortInUse
from stillwing_rpc.server_interceptor import ServerInterceptor
from stillwing_rpc.server_security import server_credentials, server_token
from stillwing_rpc.settings import ServerSettings

_KEEPALIVE_TIMEOUT_S = 10.0
_MAX_PING_STRIKES = 2
_MAX_METADATA_BYTES = 2 * 1024 * 1024
# What streams get to end by themselves once the service was told, before they are ended for it.
_STREAMS_END_S = 0.5

_log = structlog.get_logger("stillwing.rpc")


@dataclass(frozen=True, slots=True)
class Registration:
    """One service: its full name ("stillwing.vlm.v1.VlmService") and what adds its servicer to a server."""

    service: str
    add: Callable[[grpc.aio.Server], None]


def server_options(settings: ServerSettings) -> list[tuple[str, Any]]:
    """Channel arguments of a server."""
    return [
        # On, a second server binds the same port silently and takes half of the calls.
        ("grpc.so_reuseport", 0),
        # A probing window grows to megabytes: a slow reader of small messages then sees minutes-old state.
        ("grpc.http2.bdp_probe", int(settings.bdp_probe)),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        # What proxies and tracers put into a call's headers is no reason to refuse it, an emergency stop least of all.
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(_KEEPALIVE_TIMEOUT_S * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # The default floor of 300 s closes the connection of a client that pings through a long answer.
        ("grpc.http2.min_ping_interval_without_data_ms", round(settings.min_ping_interval_s * 1000)),
        ("grpc.http2.max_ping_strikes", _MAX_PING_STRIKES),
    ]


class RpcServer:
    """Serves the registrations. All methods run on the event loop that `start` ran on."""

    def __init__(
        self,
        registrations: Sequence[Registration],
        settings: ServerSettings,
        *,
        on_drain: Callable[[], Awaitable[None]] | None = None,
        deadline_required: Collection[str] = (),
    ) -> None:
        """`on_drain` ends what the service holds; `deadline_required` names methods ("/package.Service/Method")."""
        self._registrations = tuple(registrations)
        self._settings = settings
        self._on_drain = on_drain
        self._deadline_required = deadline_required
        self._server: grpc.aio.Server | None = None
        self._health = health.aio.HealthServicer()
        self._interceptor: ServerInterceptor | None = None
        self._draining: asyncio.Task[None] | None = None
        self._drain_asked = asyncio.Event()
        self._started = False
        self.port = 0

    def add(self, registration: Registration, *, on_drain: Callable[[], Awaitable[None]] | None = None) -> None:
        """One more service, before `start`; its `on_drain` replaces an earlier one."""
        self._registrations = (*self._registrations, registration)
        self._on_drain = on_drain or self._on_drain

    async def bind(self) -> int:
        """Take the port and answer nobody yet, for services that are long in loading; returns the port.

        Raises `PortInUse`, `InsecureBind`, and `InvalidInput` for an address or TLS file that cannot be used.
        """
        credentials = server_credentials(self._settings)
        token = server_token(self._settings)
        self._interceptor = ServerInterceptor(token=token, deadline_required=self._deadline_required)
        server = grpc.aio.server(interceptors=[self._interceptor], options=server_options(self._settings))
        address = f"{self._settings.host}:{self._settings.port}"
        try:
            self.port = (
                server.add_insecure_port(address)
                if credentials is None
                else server.add_secure_port(address, credentials)
            )
        except RuntimeError as error:
            await server.stop(None)
            raise _bind_error(self._settings.host, self._settings.port) from error
        self._server = server
        return self.port

    async def start(self) -> int:
        """Serve, not healthy yet, after binding where that has not been done; returns the port. Raises like `bind`."""
        if self._server is None:
            await self.bind()
        server = self._server
        assert server is not None
        for registration in self._registrations:
            registration.add(server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = [registration.service for registration in self._registrations]
        await self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)
        if self._settings.reflection:
            reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
        await server.start()
        self._started = True
        tls = self._settings.tls_cert_file is not None
        _log.info("rpc.listening", host=self._settings.host, port=self.port, tls=tls)
        return self.port

    async def set_serving(self) -> None:
        """Health SERVING, for each service and for the whole server."""
        await self._set_health(health_pb2.HealthCheckResponse.SERVING)
        _log.info(
            "rpc.serving", port=self.port, services=[registration.service for registration in self._registrations]
        )

    async def drain(self) -> None:
        """Health first, then the service, then streams still open, then the server; at most `drain_grace_s`.

        Calling it again waits for the same drain.
        """
        if self._draining is None:
            self._drain_asked.set()
            self._draining = asyncio.get_running_loop().create_task(self._drain())
        await asyncio.shield(self._draining)

    async def run(self) -> None:
        """Return once the server is drained, by whomever; being cancelled drains it first."""
        try:
            await self._drain_asked.wait()
        finally:
            await self.drain()

    async def _drain(self) -> None:
        grace_s = self._settings.drain_grace_s
        await self._health.enter_graceful_shutdown()
        if self._on_drain is not None:
            try:
                await asyncio.wait_for(self._on_drain(), grace_s)
            except TimeoutError:
                _log.warning("rpc.drain_slow", grace_s=grace_s)
            except Exception:  # a service that cannot end its sessions must not keep the server up
                _log.exception("rpc.drain_broke")
        if self._server is None or self._interceptor is None:
            return
        if not self._started:
            # A server that never ran keeps its port until it is collected.
            await self._server.start()
        stopping = asyncio.get_running_loop().create_task(self._server.stop(grace_s))
        if not await self._interceptor.wait_streams_ended(min(_STREAMS_END_S, grace_s)):
            self._interceptor.end_streams()
        await stopping
        _log.info("rpc.stopped", port=self.port)

    async def _set_health(self, status: Any) -> None:
        for name in ("", *(registration.service for registration in self._registrations)):
            await self._health.set(name, status)


def _bind_error(host: str, port: int) -> PortInUse | InvalidInput:
    """Why binding failed: grpc does not say, so the same bind is tried once more by hand."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE or getattr(error, "winerror", None) == 10048:
                return PortInUse(f"{host}:{port}", host=host, port=port)
            return InvalidInput(f"cannot listen on {host}:{port}: {error.strerror or error}", host=host, port=port)
    return PortInUse(f"{host}:{port}", host=host, port=port)
