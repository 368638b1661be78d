"""Reading annotation files: JSON that others wrote, so that every fault names its place.

It knows nothing of any benchmark.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from stillwing_common.errors import InvalidInput, NotFound

T = TypeVar("T")


def load_json(path: Path) -> Any:
    """What a file holds. Raises NotFound, InvalidInput."""
    if not path.is_file():
        raise NotFound(str(path), path=path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error}", field="annotations") from error


def digest(paths: Sequence[Path]) -> str:
    """SHA-256 of the files' bytes, in order: which annotations a result belongs to."""
    found = hashlib.sha256()
    for path in paths:
        found.update(path.read_bytes())
    return found.hexdigest()


def wanted(entry: Any, name: str, kind: type[T] | tuple[type[T], ...], where: str) -> T:
    """`entry[name]`, which is of this kind. Raises InvalidInput."""
    value = entry.get(name) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InvalidInput(f"{where}: {name} is {value!r:.60}", field="annotations")
    return value


def texts(entry: Any, name: str, where: str) -> tuple[str, ...]:
    """`entry[name]`, two texts or more. Raises InvalidInput."""
    values = wanted(entry, name, list, where)
    if len(values) < 2 or not all(isinstance(value, str) and value for value in values):
        raise InvalidInput(f"{where}: {name} is to be two texts or more, not {values!r:.80}", field="annotations")
    return tuple(values)
