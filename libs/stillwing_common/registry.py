"""Implementations by name, imported only when asked for, third parties by entry point. It knows no implementation."""

import importlib
from importlib.metadata import entry_points
from typing import Any

from stillwing_common.errors import UnknownBackend
from stillwing_common.extras import needs_extra


class Registry:
    """Names to `module:attribute` targets; `group` is the entry-point group that adds to them."""

    def __init__(self, what: str, targets: dict[str, str], *, extra: str, group: str | None = None) -> None:
        self._what = what
        self._targets = dict(targets)
        self._extra = extra
        self._group = group

    def names(self) -> list[str]:
        """Every known name, sorted."""
        extensions = {entry.name for entry in entry_points(group=self._group)} if self._group else set()
        return sorted(extensions | set(self._targets))

    def load(self, name: str) -> Any:
        """The object registered as `name`.

        Raises `UnknownBackend` for a name that is not registered and `MissingExtra` (with the command that fixes it)
        where a package it imports is not installed.
        """
        target = self._targets.get(name)
        if target is None and self._group:
            target = next((entry.value for entry in entry_points(group=self._group) if entry.name == name), None)
        if target is None:
            raise UnknownBackend(f"no {self._what} is called {name!r}; known: {', '.join(self.names())}", name=name)
        module, _, attribute = target.partition(":")
        with needs_extra(self._extra, f"{self._what} {name!r}"):
            return getattr(importlib.import_module(module), attribute)
