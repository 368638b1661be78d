"""Opens files that somebody else made, and says in one sentence where that cannot be done."""

from pathlib import Path
from typing import BinaryIO

from stillwing_common.errors import InvalidInput


def open_file(path: Path) -> BinaryIO:
    """A file to read from; `InvalidInput` where it is none, may not be read, or would wait for somebody, as a pipe."""
    try:
        if not path.is_file():
            raise InvalidInput(f"{path} is no file", path=path)
        return path.open("rb")
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read: {why(error)}", path=path) from error


def why(error: Exception) -> str:
    """What went wrong, without the name of the file, which whoever tells it has said."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)
