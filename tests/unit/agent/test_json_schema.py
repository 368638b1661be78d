"""python -m pytest tests/unit/agent/test_json_schema.py

Values that do not fit their schema are named, with what they are and what would fit; nothing of the library gets out.
"""

import json
import math
import socket
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stillwing_agent.core.json_schema import NamedValues, Properties
from stillwing_agent.core.params import MissionParams
from stillwing_common.errors import BadParams, InvalidInput

PLAIN: Properties = {
    "direction": {"enum": ["left", "right"]},
    "distance_m": {"type": "number", "minimum": 0.1, "maximum": 5},
    "count": {"type": "integer", "minimum": 1, "maximum": 3},
    "words": {"type": "string", "maxLength": 5},
    "loud": {"type": "boolean"},
    "path": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 1}},
}
FITTING = {"direction": "left", "distance_m": 1, "count": 2, "words": "here", "loud": False, "path": [0.5]}
REQUIRED = NamedValues(PLAIN, required=True)


def test_what_fits_fits() -> None:
    assert REQUIRED.misfit(FITTING) is None
    assert NamedValues(PLAIN, required=False).misfit({}) is None


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("direction", "up", "direction is 'up': give one of left, right"),
        ("distance_m", 9, "distance_m is 9: give a number from 0.1 to 5"),
        ("distance_m", "far", "distance_m is 'far': give a number from 0.1 to 5"),
        ("distance_m", True, "distance_m is True: give a number from 0.1 to 5"),
        ("distance_m", math.nan, "distance_m is nan: give a number from 0.1 to 5"),
        ("distance_m", math.inf, "distance_m is inf: give a number from 0.1 to 5"),
        ("count", 1.5, "count is 1.5: give a whole number from 1 to 3"),
        ("words", "too long", "words is 'too long': give text of at most 5 characters"),
        ("words", "x" * 10_000, f"words is '{'x' * 79}…: give text of at most 5 characters"),
        ("loud", 1, "loud is 1: give true or false"),
        ("path", 3, f"path is 3: give what fits {json.dumps(PLAIN['path'])}"),
        ("path", [0.5, 7], "path/1 is 7: give a number from 0 to 1"),
    ],
)  # fmt: skip
def test_a_misfit_says_which_its_value_and_what_would_fit(name: str, value: object, problem: str) -> None:
    misfit = REQUIRED.misfit({**FITTING, name: value})
    assert misfit is not None
    assert (misfit.name, misfit.problem) == (name, problem)


def test_what_is_missing_or_unknown_is_named() -> None:
    missing = REQUIRED.misfit({name: value for name, value in FITTING.items() if name != "count"})
    assert missing is not None
    assert (missing.name, missing.problem) == ("count", "count is missing: give a whole number from 1 to 3")
    unknown = REQUIRED.misfit({**FITTING, "colour": "red"})
    assert unknown is not None
    assert unknown.name == "colour"
    assert unknown.problem.startswith("there is no 'colour'; known: count, direction,")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*PLAIN, "colour"]), JSON))
@example({"distance_m": 10**400})
@example({"count": -(10**400)})
@example({"path": [10**400]})
def test_whatever_is_given_the_answer_is_params_or_bad_params(values: dict[str, Any]) -> None:
    try:
        checked = MissionParams(PLAIN).checked(values)
    except BadParams as error:
        bad = error
    else:
        bad = None
    if bad is not None:
        assert bad.metadata["param"] in values
        assert bad.metadata["param"] in bad.detail
    else:
        assert set(checked) == set(PLAIN)
        assert values.get("count") is None or (isinstance(checked["count"], int) and 1 <= checked["count"] <= 3)
        assert "distance_m" not in values or 0.1 <= checked["distance_m"] <= 5


@pytest.mark.parametrize(
    "schema",
    [{"type": "figure"}, {"minimum": "low"}, {"pattern": "("}, {"enum": 3}],
)
def test_what_is_no_schema_is_refused_when_it_is_made(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="no JSON Schema at properties/x"):
        NamedValues({"x": schema}, required=True)


def test_nothing_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a schema was fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for schema in ({"$ref": "http://127.0.0.1:9/x.json"}, {"items": [{"$ref": "#/properties/y"}]}):
        with pytest.raises(InvalidInput, match="stands by itself"):
            NamedValues({"x": schema}, required=True)
    strange: Properties = {"x": {"type": "string", "format": "uri", "$id": "http://127.0.0.1:9/x.json"}}
    assert NamedValues(strange, required=True).misfit({"x": "y"}) is None
