"""The domain's exception tree. It knows nothing of gRPC: `stillwing_rpc.errors` holds the one table to status codes.

An error class is a public sentence (the first line of its docstring), a `reason` that never changes or moves, and
metadata given as keywords when it is raised. The direct children of `StillwingError` say what kind of failure it is:

StillwingError
├── InvalidInput         the request itself is wrong; sending it again cannot help
├── NotFound             it names something that is not here
├── AlreadyExists        it would make something that is here already
├── WrongState           right request, wrong moment (FAILED_PRECONDITION)
├── Superseded           somebody or something newer has taken over (ABORTED)
├── Exhausted            a limit is reached; less or later may work
├── NotPermitted         the caller may not do this
├── NotAuthenticated     the caller did not say who it is
├── Unsupported          this implementation cannot do it
├── Expired              too late
├── Unavailable          a part that is needed does not answer; trying again may help
└── InternalFault        our mistake; the log has the rest
"""

from typing import ClassVar

_BY_REASON: dict[str, type["StillwingError"]] = {}


class StillwingError(Exception):
    """Something went wrong."""

    reason: ClassVar[str] = "UNKNOWN"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str = "", /, **metadata: object) -> None:
        """`detail` continues the public sentence; `metadata` values are made text, for programs to read."""
        self.detail = detail
        self.metadata: dict[str, str] = {key: str(value) for key, value in metadata.items()}
        super().__init__(detail)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        reason = cls.__dict__.get("reason")
        if reason is None:
            raise TypeError(f"{cls.__name__} has no reason of its own")
        if reason in _BY_REASON and _BY_REASON[reason].__qualname__ != cls.__qualname__:
            raise TypeError(f"reason {reason} belongs to {_BY_REASON[reason].__name__} already")
        _BY_REASON[reason] = cls

    @classmethod
    def sentence(cls) -> str:
        """The public sentence: the first line of the docstring, without its full stop."""
        lines = (cls.__doc__ or "").strip().splitlines()
        return lines[0].rstrip(".") if lines else cls.__name__

    def __str__(self) -> str:
        return f"{self.sentence()}: {self.detail}" if self.detail else f"{self.sentence()}."


def error_classes() -> dict[str, type[StillwingError]]:
    """Every error class by reason, in order of definition."""
    return dict(_BY_REASON)


class InvalidInput(StillwingError):
    """The request is not valid."""

    reason = "INVALID_INPUT"


class NotFound(StillwingError):
    """What the request names does not exist."""

    reason = "NOT_FOUND"


class AlreadyExists(StillwingError):
    """What the request would make exists already."""

    reason = "ALREADY_EXISTS"


class WrongState(StillwingError):
    """The request does not fit the present state."""

    reason = "WRONG_STATE"


class Superseded(StillwingError):
    """Something newer took over."""

    reason = "SUPERSEDED"


class Exhausted(StillwingError):
    """A limit is reached."""

    reason = "EXHAUSTED"
    retryable = True


class NotPermitted(StillwingError):
    """The caller may not do this."""

    reason = "NOT_PERMITTED"


class NotAuthenticated(StillwingError):
    """The caller did not prove who it is; send `authorization: Bearer <token>`."""

    reason = "NOT_AUTHENTICATED"


class Unsupported(StillwingError):
    """This implementation cannot do that."""

    reason = "UNSUPPORTED"


class Expired(StillwingError):
    """The time for it has passed."""

    reason = "EXPIRED"


class Unavailable(StillwingError):
    """A part that is needed does not answer."""

    reason = "UNAVAILABLE"
    retryable = True


class InternalFault(StillwingError):
    """Something broke inside the service; its log has the rest under this request id."""

    reason = "INTERNAL_FAULT"
