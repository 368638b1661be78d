"""Tools that users write as smolagents' `Tool`, found by name in the entry-point group `stillwing.tools`.

A tool says by its attribute `effect` what it does: "read", "motion" or "irreversible". Only those that are named are
loaded: an installed package flies nothing by being there.
"""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from smolagents import Tool

from stillwing_agent.core.prompting.native_tools import ToolLimits, native_tools
from stillwing_agent.core.prompting.prompts import ToolSpec
from stillwing_agent.core.tools.own_tools import Effect, OwnTool
from stillwing_bridge.core.types import Limits
from stillwing_common.errors import InvalidInput
from stillwing_common.registry import Registry

OWN_TOOLS = Registry("tool", {}, extra="agent", group="stillwing.tools")
_TYPES = frozenset({"string", "integer", "number", "boolean"})
_KEYS = ("description", "enum", "minimum", "maximum", "multipleOf", "maxLength", "pattern")
_LONGEST_TEXT = 300


def load_own_tools(names: Sequence[str]) -> tuple[OwnTool, ...]:
    """The tools of these names. Raises UnknownBackend, and InvalidInput for what is no tool or says no effect."""
    tools = tuple(own_tool(name, OWN_TOOLS.load(name)) for name in names)
    called = [tool.spec.name for tool in tools]
    if len(set(called)) != len(called):
        raise InvalidInput(f"two tools are called alike: {', '.join(sorted(called))}", field="tools")
    return tools


def own_tool(name: str, loaded: Any) -> OwnTool:
    """A `Tool`, or the class of one, as the mission takes it. Raises InvalidInput."""
    try:
        tool = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise InvalidInput(f"the tool {name!r} cannot be made: {type(error).__name__}: {error}", tool=name) from error
    if not isinstance(tool, Tool):
        raise InvalidInput(f"the tool {name!r} is no smolagents.Tool", tool=name)
    effects = {effect.value: effect for effect in Effect}
    effect = effects.get(str(getattr(tool, "effect", "")))
    if effect is None:
        raise InvalidInput(f"the tool {name!r} says no effect: set it to one of {', '.join(effects)}", tool=name)
    if tool.name in {built_in.name for built_in in native_tools(ToolLimits(Limits()))}:
        raise InvalidInput(f"every mission has a tool {tool.name!r} already", tool=name)
    arguments = {each: _schema(name, each, tool.inputs[each]) for each in tool.inputs}
    optional = frozenset(each for each, given in tool.inputs.items() if given.get("nullable"))

    def forward(values: Mapping[str, Any]) -> Any:
        return tool(**values)

    return OwnTool(ToolSpec(tool.name, tool.description, arguments, optional), effect, forward)


def _schema(name: str, argument: str, given: Mapping[str, Any]) -> dict[str, Any]:
    kind = given["type"]
    if kind not in _TYPES:
        known = ", ".join(sorted(_TYPES))
        raise InvalidInput(f"{argument} of the tool {name!r} is {kind}; a model can be asked for {known}", tool=name)
    schema = {"type": kind, **{key: copy.deepcopy(given[key]) for key in _KEYS if key in given}}
    # An answer could run out of tokens before the end of a text or of a number.
    if kind == "string" and "enum" not in schema:
        schema.setdefault("maxLength", _LONGEST_TEXT)
    if kind == "number":
        schema.setdefault("multipleOf", 0.01)
    return schema
