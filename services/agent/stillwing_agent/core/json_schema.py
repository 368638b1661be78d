"""Values by name held to a JSON Schema, checked by the library `jsonschema` and refused in words a person can act on.

It knows nothing of what the values are for.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend
from referencing import Registry

from stillwing_common.errors import InvalidInput

Properties = Mapping[str, Mapping[str, Any]]
"""JSON Schema of each value by its name."""

_MOST_SHOWN_CHARS = 80

# JSON has no NaN and no infinities; Python's floats do, and no limit refuses a NaN.
_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "number",
        lambda checker, value: (
            (isinstance(value, int) and not isinstance(value, bool))
            or (isinstance(value, float) and math.isfinite(value))
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Misfit:
    """The name of a value that is not as its schema says, and what is wrong with it and what would be right."""

    name: str
    problem: str


class NamedValues:
    """An object of these values and no others; `required`: all must be there but the `optional` ones. Compiled once."""

    def __init__(self, properties: Properties, *, required: bool, optional: Collection[str] = ()) -> None:
        """Raises InvalidInput for properties that are no JSON Schema, or that refer to one elsewhere."""
        self._properties = properties
        self._required = [name for name in properties if required and name not in optional]
        self.schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {name: dict(schema) for name, schema in properties.items()},
            "required": self._required,
            "additionalProperties": False,
        }
        if any(key in ("$ref", "$dynamicRef") for key in _keys(properties)):
            raise InvalidInput("the JSON Schema of a value stands by itself: write out what it refers to")
        try:
            _Validator.check_schema(self.schema)
        except SchemaError as error:
            where = "/".join(map(str, error.path))
            raise InvalidInput(f"no JSON Schema at {where}: {error.message}", where=where) from error
        # Without a way to retrieve, nothing is ever fetched.
        self._validator = _Validator(self.schema, registry=Registry())

    def misfit(self, values: Mapping[str, Any]) -> Misfit | None:
        """What is wrong with these values; None where they fit."""
        for name in values:
            if name not in self._properties:
                known = ", ".join(sorted(self._properties)) or "none"
                return Misfit(name, f"there is no {name!r}; known: {known}")
        error = best_match(self._validator.iter_errors(dict(values)))
        if error is None:
            return None
        if error.validator == "required":
            name = next(name for name in self._required if name not in values)
            return Misfit(name, f"{name} is missing: give {_wanted(self._properties[name])}")
        return self._of_a_value(error)

    def _of_a_value(self, error: ValidationError) -> Misfit:
        name = str(error.absolute_path[0])
        place = "/".join(map(str, error.absolute_path))
        shown = repr(error.instance)
        if len(shown) > _MOST_SHOWN_CHARS:
            shown = f"{shown[:_MOST_SHOWN_CHARS]}…"
        return Misfit(name, f"{place} is {shown}: give {_wanted(error.schema)}")


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield key
            yield from _keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _keys(inner)


def _wanted(schema: Any) -> str:
    """What a schema asks for, in words where it is a plain one."""
    if not isinstance(schema, Mapping):
        return "nothing here"
    if "enum" in schema:
        return f"one of {', '.join(map(str, schema['enum']))}"
    low, high = schema.get("minimum"), schema.get("maximum")
    limits = f" from {low} to {high}" if None not in (low, high) else ""
    match schema.get("type"):
        case "integer" if limits:
            return f"a whole number{limits}"
        case "number" if limits:
            return f"a number{limits}"
        case "boolean":
            return "true or false"
        case "string" if "maxLength" in schema:
            return f"text of at most {schema['maxLength']} characters"
    return f"what fits {json.dumps(schema)}"
