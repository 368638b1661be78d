"""What a client's calls carry: the request id, the token, and a deadline where none was set.

It knows nothing of any one service.
"""

from contextvars import ContextVar
from typing import Any

import grpc

from stillwing_common.ids import new_id
from stillwing_rpc.security import AUTHORIZATION

REQUEST_ID = "x-request-id"

current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
"""The request that a server is answering, so that the calls it makes meanwhile carry the same id; "" for none."""


class _ClientBase:
    """Adds to a call what every call carries."""

    def __init__(self, *, token: str | None, default_deadline_s: float) -> None:
        self._token = token
        self._default_deadline_s = default_deadline_s

    def details(self, details: grpc.aio.ClientCallDetails, *, unary: bool) -> grpc.aio.ClientCallDetails:
        """The call's details with request id, token and, for unary calls, a deadline."""
        metadata = grpc.aio.Metadata(*(details.metadata or ()))
        if metadata.get(REQUEST_ID) is None:
            metadata.add(REQUEST_ID, current_request_id.get() or new_id("req"))
        if self._token is not None and metadata.get(AUTHORIZATION) is None:
            metadata.add(AUTHORIZATION, f"Bearer {self._token}")
        timeout = details.timeout
        if unary and timeout is None:
            timeout = self._default_deadline_s
        return grpc.aio.ClientCallDetails(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready
        )


class _UnaryUnary(_ClientBase, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details, unary=True), request)


class _UnaryStream(_ClientBase, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await continuation(self.details(client_call_details, unary=False), request)


class _StreamUnary(_ClientBase, grpc.aio.StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self.details(client_call_details, unary=False), request_iterator)


class _StreamStream(_ClientBase, grpc.aio.StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await continuation(self.details(client_call_details, unary=False), request_iterator)


def client_interceptors(*, token: str | None, default_deadline_s: float) -> list[grpc.aio.ClientInterceptor]:
    """One interceptor for each shape of call; grpc takes a class for one shape only."""
    return [
        kind(token=token, default_deadline_s=default_deadline_s)
        for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)
    ]
