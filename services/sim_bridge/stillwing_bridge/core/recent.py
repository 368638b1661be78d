"""A dictionary that remembers only the newest entries, for answers and statuses of a service without an end."""

from collections import OrderedDict
from typing import Generic, TypeVar

V = TypeVar("V")


class Recent(Generic[V]):
    """Keeps the newest `capacity` values by key; the empty key is never kept."""

    def __init__(self, capacity: int = 1024) -> None:
        self._capacity = capacity
        self._values: OrderedDict[str, V] = OrderedDict()

    def put(self, key: str, value: V) -> None:
        """Keep or replace `value`; the oldest entry makes room."""
        if not key:
            return
        self._values[key] = value
        while len(self._values) > self._capacity:
            self._values.popitem(last=False)

    def get(self, key: str) -> V | None:
        """The value kept under `key`, None if there is none (any more)."""
        return self._values.get(key)

    def __len__(self) -> int:
        return len(self._values)
