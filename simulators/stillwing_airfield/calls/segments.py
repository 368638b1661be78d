"""Segmentation ids of the scene's objects: what colour each is drawn in. It knows no image."""

import re
from collections.abc import Callable

import numpy as np
import numpy.typing as npt


class Segments:
    """Ids by object, 1, 2, 3, … in the scene's order at first; 0 is what is no object.

    Names match without regard to case.
    """

    def __init__(self, names: Callable[[], tuple[str, ...]]) -> None:
        """`names` tells the objects by index, "" for none; their count never changes."""
        self._all_names = names
        self.reset()

    @property
    def _names(self) -> tuple[str, ...]:
        return self._all_names()

    def reset(self) -> None:
        """The ids of the start."""
        self._ids = np.array([*range(1, len(self._names) + 1), 0], np.int32) % 256

    @property
    def ids(self) -> npt.NDArray[np.int32]:
        """(n + 1,): by index of the object, and last (index -1) what is none."""
        return self._ids

    def id_of(self, name: str) -> int:
        """Id of an object, or -1 if there is none of that name."""
        for index, known in enumerate(self._names):
            if known and known.lower() == name.lower():
                return int(self._ids[index])
        return -1

    def matching(self, pattern: str) -> list[str]:
        """Names that the whole of a regular expression matches. Raises `re.error`."""
        expression = re.compile(pattern, re.IGNORECASE)
        return [name for name in self._names if name and expression.fullmatch(name)]

    def set_id(self, name: str, object_id: int, is_regex: bool) -> bool:
        """Give objects an id (0 to 255); whether any matched."""
        pattern = name if is_regex else re.escape(name)
        chosen = set(self.matching(pattern))
        ids = self._ids.copy()
        for index, known in enumerate(self._names):
            if known in chosen:
                ids[index] = object_id
        self._ids = ids
        return bool(chosen)
