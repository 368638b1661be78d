"""What a mission's params may be: those that every policy takes, and the check of all against their JSON Schema.

It knows nothing of what the params mean to a policy.
"""

import json
from collections.abc import Mapping
from typing import Any

from stillwing_agent.core.json_schema import NamedValues, Properties
from stillwing_common.errors import BadParams

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


class MissionParams:
    """The params of one policy's missions, by the JSON Schema of each."""

    def __init__(self, properties: Properties) -> None:
        """Raises InvalidInput for properties that are no JSON Schema."""
        self._properties = properties
        self._values = NamedValues(properties, required=False)

    @property
    def schema_text(self) -> str:
        """JSON Schema of an object with these params and no others."""
        return json.dumps(self._values.schema)

    def checked(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """`params` with whole numbers as int and defaults filled in.

        Raises BadParams, whose metadata name the param, for one that is unknown, of the wrong type or out of range.
        """
        misfit = self._values.misfit(params)
        if misfit is not None:
            raise BadParams(misfit.problem, param=misfit.name)
        # The wire has floats alone.
        return {
            name: int(params[name])
            if schema.get("type") == "integer" and name in params
            else params.get(name, schema.get("default"))
            for name, schema in self._properties.items()
        }
