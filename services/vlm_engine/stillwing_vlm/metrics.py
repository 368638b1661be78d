"""The engine's figures for Prometheus: what happened, counted as it happens, and what is held, read at each scrape.

It knows nothing of sessions or models: the core tells it through `core.serving.observer`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from stillwing_common.errors import InsecureBind, InvalidInput, PortInUse
from stillwing_rpc.security import is_loopback
from stillwing_vlm.core.results import DoneReason
from stillwing_vlm.core.serving.observer import EngineLoad

_PREFIX = "stillwing_vlm"
_SCRAPE_TIMEOUT_S = 5.0
_FINE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_COARSE_S = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_HELD = {
    "sessions": "Open sessions.",
    "context_tokens": "Tokens in all trunks.",
    "cache_bytes": "Bytes of the device's memory that the sessions' caches hold.",
    "live_asks": "Asks under way: branches that are read or wait to be.",
    "watches": "Watch conditions that are set.",
    "waiting_requests": "Requests of all sessions that have not begun: the depth of the queue.",
    "waiting_frames": "Frames received and not yet in a trunk.",
    "waiting_frame_bytes": "Bytes of those frames.",
    "free_bytes": "Memory of the device that is free.",
}


class PrometheusObserver:
    """An `Observer` that keeps histograms and counters in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"{_PREFIX}_{name}", text, buckets=buckets, registry=self.registry)

        def counter(name: str, text: str, labels: tuple[str, ...] = ()) -> Counter:
            return Counter(f"{_PREFIX}_{name}", text, labels, registry=self.registry)

        self._append = histogram("append_seconds", "From a chunk's placing to its being in the trunk.", _COARSE_S)
        self._append_device = histogram("append_device_seconds", "Of that, work of the device.", _COARSE_S)
        self._first = histogram("first_token_seconds", "From an ask's placing to its first token.", _COARSE_S)
        self._token = histogram("token_seconds", "Between two tokens of an answer.", _FINE_S)
        self._step = histogram("step_seconds", "One decoding step of all answers together.", _FINE_S)
        self._branches = histogram("step_branches", "Branches in a step.", (1, 2, 4, 8, 16, 32, 64))
        self._frames = counter("frames_appended", "Frames put into trunks.")
        self._chunk_tokens = counter("tokens_appended", "Tokens of those frames' chunks.")
        self._evicted = counter("frames_evicted", "Frames that left a window.")
        self._dropped = counter("frames_dropped", "Frames that gave way to newer ones.")
        self._answers = counter("answers", "Answers, by why they ended.", ("reason",))
        self._readings = counter("watch_readings", "Readings of watch conditions.", ("changed",))
        self._refused = counter("refusals", "Requests and sessions that failed, by error reason.", ("reason",))

    def stepped(self, branches: int, device_s: float) -> None:
        """See `Observer`."""
        self._step.observe(device_s)
        self._branches.observe(branches)

    def chunk_appended(self, frames: int, tokens: int, elapsed_s: float, device_s: float) -> None:
        """See `Observer`."""
        self._append.observe(elapsed_s)
        self._append_device.observe(device_s)
        self._frames.inc(frames)
        self._chunk_tokens.inc(tokens)

    def frames_evicted(self, frames: int) -> None:
        """See `Observer`."""
        self._evicted.inc(frames)

    def frames_dropped(self, frames: int) -> None:
        """See `Observer`."""
        self._dropped.inc(frames)

    def first_token(self, elapsed_s: float) -> None:
        """See `Observer`."""
        self._first.observe(elapsed_s)

    def tokens(self, count: int, elapsed_s: float) -> None:
        """See `Observer`."""
        for _ in range(count):
            self._token.observe(elapsed_s / count)

    def answer_ended(self, reason: DoneReason) -> None:
        """See `Observer`."""
        self._answers.labels(reason.value).inc()

    def watch_evaluated(self, changed: bool) -> None:
        """See `Observer`."""
        self._readings.labels(str(changed).lower()).inc()

    def refused(self, reason: str) -> None:
        """See `Observer`."""
        self._refused.labels(reason).inc()


class HeldCollector(Collector):
    """What the engine holds, asked of it at each scrape."""

    def __init__(self, load: Callable[[], Awaitable[EngineLoad]], loop: asyncio.AbstractEventLoop) -> None:
        """`load` is awaited on `loop`, while the scrape waits on a thread of its own."""
        self._load = load
        self._loop = loop

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """Names alone, so that registering asks nothing of the engine."""
        return (GaugeMetricFamily(f"{_PREFIX}_{name}", text) for name, text in _HELD.items())

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Raises TimeoutError where the engine does not answer; the scrape then fails."""

        async def ask() -> EngineLoad:
            async with asyncio.timeout(_SCRAPE_TIMEOUT_S):
                return await self._load()

        load = asyncio.run_coroutine_threadsafe(ask(), self._loop).result(2 * _SCRAPE_TIMEOUT_S)
        for field in fields(load):
            yield GaugeMetricFamily(f"{_PREFIX}_{field.name}", _HELD[field.name], value=getattr(load, field.name))


class MetricsServer:
    """Serves a registry over HTTP on threads of its own until `stop`."""

    def __init__(
        self,
        registry: CollectorRegistry,
        port: int,
        host: str = "127.0.0.1",
        *,
        tls_cert_file: Path | None = None,
        tls_key_file: Path | None = None,
        tls_client_ca_file: Path | None = None,
    ) -> None:
        """Port 0 takes any free one. Anything but loopback needs TLS, and clients with a certificate.

        Raises InsecureBind, PortInUse, InvalidInput.
        """
        tls: dict[str, Any] = {}
        if not is_loopback(host):
            if None in (tls_cert_file, tls_key_file, tls_client_ca_file):
                raise InsecureBind(
                    f"metrics on {host} are not on loopback; a client certificate authority is needed too", host=host
                )
            tls = {
                "certfile": str(tls_cert_file),
                "keyfile": str(tls_key_file),
                "client_cafile": str(tls_client_ca_file),
                "client_auth_required": True,
            }
        try:
            self._server, self._thread = start_http_server(port, host, registry, **tls)
        except OSError as error:
            if isinstance(error, FileNotFoundError):
                raise InvalidInput(f"metrics: {error.filename}: {error.strerror}") from error
            raise PortInUse(f"metrics on {host}:{port}: {error.strerror}", host=host, port=port) from error
        self.port = int(self._server.server_port)

    def stop(self) -> None:
        """End the threads and free the port. Blocks."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
