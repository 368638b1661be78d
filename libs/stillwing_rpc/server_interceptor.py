"""What surrounds every call in a server: who calls and under which request id, whether it may, how its errors leave.

One interceptor binds request id, method and peer to the log, checks the bearer token and the deadline, turns domain
errors into statuses and anything else into INTERNAL_FAULT, written to the log in full. It knows nothing of any one
service.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import structlog

from stillwing_common.errors import (
    DeadlineRequired,
    InternalFault,
    NotAuthenticated,
    StillwingError,
    Unavailable,
    Unsupported,
)
from stillwing_common.ids import new_id
from stillwing_rpc.client_interceptors import REQUEST_ID, current_request_id
from stillwing_rpc.errors import Context, abort_with, current_service
from stillwing_rpc.security import AUTHORIZATION, token_matches

_MAX_REQUEST_ID_CHARS = 128
_INFRASTRUCTURE = "/grpc."
_NEEDS_NO_TOKEN = "/grpc.health.v1.Health/"  # probes of container runtimes carry none
# Longer than any deadline somebody means; grpc reports "none" as a very large number or None.
_NO_DEADLINE_S = 10 * 365 * 86400.0

_log = structlog.get_logger("stillwing.rpc")


def time_left_s(context: Context) -> float | None:
    """Seconds until the call's deadline, at least 0; None where the caller set none."""
    left = context.time_remaining()
    return None if left is None or left > _NO_DEADLINE_S else max(0.0, left)


class ServerInterceptor(grpc.aio.ServerInterceptor):
    """Binds, checks and maps, for all four shapes of call. Handlers are `async def` or async generators."""

    def __init__(self, *, token: str | None, deadline_required: Collection[str]) -> None:
        """`deadline_required` holds full method names, "/package.Service/Method"."""
        self._token = token
        self._deadline_required = frozenset(name if name.startswith("/") else f"/{name}" for name in deadline_required)
        self._streams: set[asyncio.Task[Any]] = set()
        self._ended: set[asyncio.Task[Any]] = set()

    async def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """Wrap the handler that grpc has found; where there is none, answer `Unsupported` in its place."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            if method.startswith(_INFRASTRUCTURE):
                return None
            return grpc.stream_stream_rpc_method_handler(self._streaming(_absent(method), method))
        shape = ("stream" if handler.request_streaming else "unary") + (
            "_stream" if handler.response_streaming else "_unary"
        )
        behaviour = getattr(handler, shape)
        wrapped = self._streaming(behaviour, method) if handler.response_streaming else self._unary(behaviour, method)
        make = getattr(grpc, f"{shape}_rpc_method_handler")
        return make(wrapped, handler.request_deserializer, handler.response_serializer)

    async def wait_streams_ended(self, timeout_s: float) -> bool:
        """Whether every streaming call has ended within the time."""
        if not self._streams:
            return True
        _, pending = await asyncio.wait(self._streams, timeout=timeout_s)
        return not pending

    def end_streams(self) -> None:
        """End every streaming call that is still open with UNAVAILABLE."""
        for task in list(self._streams):
            self._ended.add(task)
            task.cancel()

    def _unary(self, behaviour: Callable[..., Awaitable[Any]], method: str) -> Callable[..., Awaitable[Any]]:
        async def call(request: Any, context: Context) -> Any:
            async with self._guarded(method, context):
                return await behaviour(request, context)

        return call

    def _streaming(self, behaviour: Callable[..., Any], method: str) -> Callable[..., Awaitable[None]]:
        # Writes instead of yielding: a generator handed to grpc is only closed when collected once a client is gone,
        # and what the handler holds (a session's memory) must be freed at that moment.
        async def call(request: Any, context: Context) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._streams.add(task)
            try:
                async with self._guarded(method, context):
                    await self._forward(behaviour(request, context), context, task)
            finally:
                self._streams.discard(task)
                self._ended.discard(task)

        return call

    async def _forward(self, responses: Any, context: Context, task: asyncio.Task[Any]) -> None:
        try:
            if not hasattr(responses, "__aiter__"):
                await responses
                return
            async with aclosing(responses):
                async for response in responses:
                    try:
                        await context.write(response)
                    except (grpc.aio.InternalError, grpc.aio.UsageError):
                        _log.debug("rpc.reader_gone")
                        return
        except asyncio.CancelledError:
            if task not in self._ended:
                raise
            task.uncancel()
            raise Unavailable("the server is shutting down") from None

    @asynccontextmanager
    async def _guarded(self, method: str, context: Context) -> AsyncIterator[None]:
        service = method[1:].rpartition("/")[0]
        current_service.set(service)
        metadata = dict(context.invocation_metadata() or ())
        if method.startswith(_INFRASTRUCTURE):
            if not method.startswith(_NEEDS_NO_TOKEN) and not self._may_call(metadata):
                await abort_with(context, NotAuthenticated(), service=service)
            yield
            return
        request_id = _request_id(metadata)
        current_request_id.set(request_id)
        structlog.contextvars.bind_contextvars(request_id=request_id, method=method, peer=context.peer())
        began_s = time.monotonic()
        try:
            if not self._may_call(metadata):
                raise NotAuthenticated
            if method in self._deadline_required and time_left_s(context) is None:
                raise DeadlineRequired(method, method=method)
            yield
        except grpc.aio.AbortError:
            raise
        except NotImplementedError:  # what the generated base class of every servicer raises
            await abort_with(context, Unsupported(f"{method} is not served here", method=method), service=service)
        except StillwingError as error:
            _log.info("rpc.refused", reason=error.reason, error=str(error))
            await abort_with(context, error, service=service)
        except Exception:
            _log.exception("rpc.broke")
            fault = InternalFault(f"request id {request_id}", request_id=request_id)
            await abort_with(context, fault, service=service)
        else:
            _log.debug("rpc.done", elapsed_s=round(time.monotonic() - began_s, 6))

    def _may_call(self, metadata: dict[str, str | bytes]) -> bool:
        if self._token is None:
            return True
        header = metadata.get(AUTHORIZATION)
        return token_matches(header if isinstance(header, str) else None, self._token)


def _absent(method: str) -> Callable[[Any, Context], Awaitable[None]]:
    async def refuse(requests: Any, context: Context) -> None:
        raise Unsupported(f"{method} is not served here", method=method)

    return refuse


def _request_id(metadata: dict[str, str | bytes]) -> str:
    header = metadata.get(REQUEST_ID)
    if isinstance(header, str) and 0 < len(header) <= _MAX_REQUEST_ID_CHARS and header.isprintable():
        return header
    return new_id("req")
