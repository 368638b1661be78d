"""Checks a mission's params against a small JSON Schema: one flat object of numbers, integers, booleans and words.

It knows nothing of what the params mean.
"""

import json
from collections.abc import Mapping
from typing import Any

from stillwing_common.errors import BadParams

Properties = Mapping[str, Mapping[str, Any]]

MISSION_PROPERTIES: Properties = {
    "max_decisions": {
        "type": "integer",
        "minimum": 1,
        "maximum": 2000,
        "default": 200,
        "description": "Give up after this many decisions.",
    },
}
"""Params every policy takes."""


def schema_text(properties: Properties) -> str:
    """The JSON Schema of an object with these properties and no others."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }
    return json.dumps(schema)


def checked_params(properties: Properties, params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` with whole numbers as int and defaults filled in.

    Raises BadParams, whose metadata name the param, for one that is unknown, of the wrong type or out of range.
    """
    for name in params:
        if name not in properties:
            raise BadParams(f"there is no {name!r}; known: {', '.join(sorted(properties)) or 'none'}", param=name)
    return {
        name: _checked(name, schema, params[name]) if name in params else schema.get("default")
        for name, schema in properties.items()
    }


def _checked(name: str, schema: Mapping[str, Any], value: Any) -> Any:
    kind = schema["type"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "integer": is_number and float(value).is_integer() if is_number else False,
        "number": is_number,
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
    }[kind]
    if not fits:
        raise BadParams(f"{name} is {'an' if kind == 'integer' else 'a'} {kind}", param=name)
    if kind == "integer":
        value = int(value)
    if is_number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        raise BadParams(f"{name} is from {schema.get('minimum')} to {schema.get('maximum')}", param=name)
    if "enum" in schema and value not in schema["enum"]:
        raise BadParams(f"{name} is one of {', '.join(map(str, schema['enum']))}", param=name)
    return value
