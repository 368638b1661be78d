"""python -m pytest tests/unit/airfield/test_airfield_docs.py -q

What docs/airfield.md says is served is what is served, in each dialect, and what it says is not is not.
"""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from stillwing_airfield.dialects import Dialect
from stillwing_airfield.faults import FaultPlan
from stillwing_airfield.methods import Methods, Refused
from stillwing_airfield.scenes.base import scene_names
from stillwing_airfield.sim import Airfield
from stillwing_airfield.wire import Request, unknown_function

_PAGE = (Path(__file__).parents[3] / "docs" / "airfield.md").read_text(encoding="utf-8")


def table(heading: str) -> list[str]:
    """Rows of the table whose second column has that heading."""
    lines = _PAGE.splitlines()
    begin = lines.index(f"| | {heading} |") + 2
    rows = []
    for line in lines[begin:]:
        if not line.startswith("|"):
            break
        rows.append(line)
    return rows


def names(rows: list[str]) -> list[str]:
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


@pytest.fixture(params=list(Dialect))
def methods(request: pytest.FixtureRequest) -> Iterator[Methods]:
    with Airfield.of("meadow", 7) as airfield:
        made = Methods(airfield, request.param)
        yield made
        made.close()


def test_what_is_listed_is_served(methods: Methods, request: pytest.FixtureRequest) -> None:
    listed = names(table("served"))
    assert len(set(listed)) == len(listed)
    cosys_alone = {name for row in table("served") for name in re.findall(r"Cosys: `(\w+)`", row)}
    expected = set(listed) if request.node.callspec.params["methods"] is Dialect.COSYS else set(listed) - cosys_alone
    assert set(methods.names) == expected
    assert len(methods.names) >= 55


def test_what_is_listed_as_missing_gets_the_real_error(methods: Methods) -> None:
    missing = names(table("not served"))
    assert len(set(missing)) == len(missing)
    for name in missing:
        with pytest.raises(Refused) as told:
            methods.call(Request(1, name, [1, 2]))
        assert str(told.value) == unknown_function(name, 2)


def test_scenes_and_faults_are_told() -> None:
    assert all(f"| `{name}` |" in _PAGE for name in scene_names())
    assert all(f"| `{field.name.replace('_', '-')}" in _PAGE for field in fields(FaultPlan))


def test_the_example_runs() -> None:
    _, _, after = _PAGE.partition("```python\n")
    names: dict[str, object] = {}
    exec(after.partition("```")[0], names)
    assert set(names["shot"].images) == {"scene", "depth", "segmentation"}  # type: ignore[attr-defined]
