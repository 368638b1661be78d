"""Which worker of pytest-xdist takes which tests, and when: a module is one worker's, and so is a shared server.

End-to-end tests mostly wait and the others mostly compute, so the two are taken in turn.
"""

from itertools import groupby
from pathlib import Path

import pytest

SHARED = ("stack", "postgres")
"""Session fixtures that are dear: all modules that use one belong to one worker."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give every module its group, and bring the groups into the order in which workers take them."""
    groups: dict[str, list[pytest.Item]] = {}
    for path, tests in groupby(items, key=lambda item: item.path):
        module = list(tests)
        groups.setdefault(_group(path, module), []).extend(module)
    items[:] = [item for name in _in_turn(groups) for item in groups[name]]
    for name, module in groups.items():
        for item in module:
            item.add_marker(pytest.mark.xdist_group(name))


def _group(path: Path, module: list[pytest.Item]) -> str:
    used = {name for item in module for name in getattr(item, "fixturenames", ())}
    return next((name for name in SHARED if name in used), path.stem)


def _in_turn(groups: dict[str, list[pytest.Item]]) -> list[str]:
    """Names of groups: those with end-to-end tests spread evenly, from the start on, among the others."""
    waiting = [name for name, tests in groups.items() if any("e2e" in item.path.parts for item in tests)]
    others = [name for name in groups if name not in waiting]
    places = {name: place / len(waiting) for place, name in enumerate(waiting)}
    places |= {name: (place + 0.5) / len(others) for place, name in enumerate(others)}
    return sorted(groups, key=places.__getitem__)
