"""Packages that only some installations have: imported where they are needed, and named where they are missing."""

from collections.abc import Iterator
from contextlib import contextmanager

from stillwing_common.errors import MissingExtra


@contextmanager
def needs_extra(extra: str, what: str) -> Iterator[None]:
    """Have an import inside the block that fails raise `MissingExtra`, with the command that fixes it.

    `what` needs the package: "videos", "attention 'triton'". A module of ours that is missing is a fault and stays one.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = error.name or ""
        if package.startswith("stillwing"):
            raise
        raise MissingExtra(
            f"{what}: {package} is not installed; run: pip install 'stillwing[{extra}]'", package=package, extra=extra
        ) from error
