"""Domain errors to gRPC status and back: the one table, and nothing else that decides a status code.

An error crosses the wire as a `google.rpc.Status` with one `google.rpc.ErrorInfo` (reason, domain "<area>.stillwing",
metadata), in a call's trailers or inside a stream, and becomes the same class again on the other side.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from stillwing_common import errors
from stillwing_common.errors import StillwingError, error_classes

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"  # as text, because it is generic in the stubs only

STATUS_OF_KIND: dict[type[StillwingError], grpc.StatusCode] = {
    errors.InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.WrongState: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Superseded: grpc.StatusCode.ABORTED,
    errors.Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotPermitted: grpc.StatusCode.PERMISSION_DENIED,
    errors.NotAuthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Unsupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.Expired: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.InternalFault: grpc.StatusCode.INTERNAL,
}

# Codes that only gRPC itself or a stranger's server sends; ours come from the table above.
_KIND_OF_FOREIGN_STATUS: dict[grpc.StatusCode, type[StillwingError]] = {
    grpc.StatusCode.OUT_OF_RANGE: errors.InvalidInput,
    grpc.StatusCode.CANCELLED: errors.Unavailable,
    grpc.StatusCode.UNKNOWN: errors.InternalFault,
    grpc.StatusCode.DATA_LOSS: errors.InternalFault,
}
_KIND_OF_STATUS = {code: kind for kind, code in STATUS_OF_KIND.items()} | _KIND_OF_FOREIGN_STATUS
_CODE_OF_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}

# A status travels in one header block of at most 8 KiB: its message percent-encoded, three bytes for one, and all of it
# again in base64. What is cut here is whole in the server's log.
_MAX_MESSAGE_BYTES = 1000
_MAX_VALUE_BYTES = 160
_MAX_VALUES = 12

# What grpc.aio says in place of the server's status where a send fails because the server has ended the stream.
_BROKEN_WHILE_SENDING = "Internal error from Core"

_DETAILS_KEY = "grpc-status-details-bin"

current_service: ContextVar[str] = ContextVar("current_service", default="")
"""Full name of the service whose handler runs here; the server interceptor sets it, `to_status` names its area."""


def kind_of(error: StillwingError | type[StillwingError]) -> type[StillwingError]:
    """The direct child of `StillwingError` that this error is or descends from."""
    cls = error if isinstance(error, type) else type(error)
    return next((kind for kind in STATUS_OF_KIND if issubclass(cls, kind)), errors.InternalFault)


def status_code(error: StillwingError | type[StillwingError]) -> grpc.StatusCode:
    """The gRPC status code of an error or an error class."""
    return STATUS_OF_KIND[kind_of(error)]


def domain_of(service: str) -> str:
    """ErrorInfo's domain for a full service name: "stillwing.vlm.v1.VlmService" → "vlm.stillwing"."""
    parts = service.split(".")
    return f"{parts[1]}.stillwing" if len(parts) > 2 and parts[0] == "stillwing" else "stillwing"


def to_status(error: StillwingError, *, service: str | None = None) -> status_pb2.Status:
    """The error as a status with one ErrorInfo; texts too long for a header are cut.

    `service` is the full name of the service that answers; inside a handler it is known already.
    """
    status = status_pb2.Status(code=status_code(error).value[0], message=_cut(str(error), _MAX_MESSAGE_BYTES))
    info = error_details_pb2.ErrorInfo(
        reason=error.reason, domain=domain_of(current_service.get() if service is None else service)
    )
    for key, value in list(error.metadata.items())[:_MAX_VALUES]:
        info.metadata[key] = _cut(value, _MAX_VALUE_BYTES)
    status.details.add().Pack(info)
    return status


def from_status(status: status_pb2.Status) -> StillwingError:
    """The error a status stands for: the same class by its reason, else the kind of its code."""
    kind = _KIND_OF_STATUS.get(_CODE_OF_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN), errors.InternalFault)
    info = error_details_pb2.ErrorInfo()
    for packed in status.details:
        if packed.Is(info.DESCRIPTOR) and packed.Unpack(info):
            cls = error_classes().get(info.reason, kind)
            metadata = dict(info.metadata)
            if cls is kind and info.reason != kind.reason:
                metadata["reason"] = info.reason
            return cls(_detail(status.message, cls), **metadata)
    return kind(status.message)


def from_rpc_error(error: grpc.aio.AioRpcError) -> StillwingError:
    """The domain error inside a failed call; without details, the kind of its code with the transport's words."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            return from_status(status_pb2.Status.FromString(value))
    if error.code() is grpc.StatusCode.INTERNAL and error.details() == _BROKEN_WHILE_SENDING:
        return errors.Unavailable("the stream was ended by the other side while sending", status=error.code().name)
    kind = _KIND_OF_STATUS.get(error.code(), errors.InternalFault)
    return kind(error.details() or error.code().name.lower(), status=error.code().name)


@contextmanager
def domain_errors() -> Iterator[None]:
    """For clients: a failed call inside the block is raised as the domain error it stands for."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error) from error


@contextmanager
def sendable_values() -> Iterator[None]:
    """For clients: what no message can hold (a lone surrogate, a number out of its field's range) is InvalidInput.

    Around the making of a request alone: an answer that cannot be read is no fault of the caller's.
    """
    try:
        yield
    except (ValueError, TypeError, OverflowError) as error:
        raise errors.InvalidInput(f"this cannot be sent: {error}") from error


async def abort_with(context: Context, error: StillwingError, *, service: str | None = None) -> None:
    """End the call with the error's status. Interceptors call this; handlers raise instead."""
    await context.abort_with_status(rpc_status.to_status(to_status(error, service=service)))


def _detail(message: str, cls: type[StillwingError]) -> str:
    sentence = cls.sentence()
    if message.startswith(f"{sentence}: "):
        return message[len(sentence) + 2 :]
    return "" if message == f"{sentence}." else message


def _cut(text: str, most_bytes: int) -> str:
    # A lone surrogate, as from a file name, is no text for protobuf.
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most_bytes:
        return raw.decode()
    return raw[: most_bytes - len("…".encode())].decode("utf-8", "ignore") + "…"
