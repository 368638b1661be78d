"""Errors of the command line itself; they cross no wire."""

from stillwing_common.errors import AlreadyExists, Unavailable


class PartFailed(Unavailable):
    """A part of the stack did not start or has ended."""

    reason = "PART_FAILED"


class AlreadyUp(AlreadyExists):
    """A stack of this folder is up already."""

    reason = "ALREADY_UP"
