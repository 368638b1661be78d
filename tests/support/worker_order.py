"""Which worker of pytest-xdist takes which tests, and when: a module is one worker's, and so is a shared server.

End-to-end tests mostly wait and the others mostly compute, so the two are taken in turn; the last ones are short.
"""

from collections.abc import Sequence
from itertools import groupby

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

SHARED = {
    "tests/contract/memory/": "the database server",
    "tests/e2e/test_first_flight.py": "the stack",
    "tests/e2e/test_readme.py": "the stack",
    "tests/e2e/test_reflection.py": "the stack",
}
"""Whose tests share a fixture of the session that is dear: those with one name belong to one worker."""

SPREAD = 0.7
"""The part of a run over which end-to-end tests are spread, from its beginning on."""


class GroupScheduling(LoadScopeScheduling):
    """Hands out whole groups. (pytest-xdist 3.8 loses its own marks of groups with pytest 9.2.)"""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling | None:
    """For `--dist loadgroup`."""
    return GroupScheduling(config, log) if config.getoption("dist") == "loadgroup" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the groups into the order in which workers take them."""
    groups: dict[str, list[pytest.Item]] = {}
    for name, tests in groupby(items, key=lambda item: group_of(item.nodeid)):
        groups.setdefault(name, []).extend(tests)
    waiting = [name for name, tests in groups.items() if any("e2e" in item.path.parts for item in tests)]
    computing = [name for name in groups if name not in waiting]
    items[:] = [item for name in in_turn(waiting, computing) for item in groups[name]]


def group_of(node_id: str) -> str:
    """The name of a test's group."""
    path = node_id.partition("::")[0]
    return next((name for prefix, name in SHARED.items() if path.startswith(prefix)), path)


def in_turn(waiting: Sequence[str], computing: Sequence[str]) -> list[str]:
    """Names of groups as they are taken, each kind in its own order."""
    places = {name: SPREAD * number / len(waiting) for number, name in enumerate(waiting)}
    places |= {name: number / len(computing) for number, name in enumerate(computing)}
    return sorted(places, key=places.__getitem__)
