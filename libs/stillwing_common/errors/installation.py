"""What is missing where a service was installed."""

from stillwing_common.errors.base import InvalidInput, WrongState


class UnknownBackend(InvalidInput):
    """No implementation has this name."""

    reason = "UNKNOWN_BACKEND"


class MissingExtra(WrongState):
    """A package that this needs is not installed."""

    reason = "MISSING_EXTRA"
