"""What decides in a mission: a policy, found by name in the entry-point group `stillwing.agents`.

This module knows none of them, and nothing of models or vehicles.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from stillwing_agent.core.json_schema import Properties
from stillwing_agent.core.params import MISSION_PROPERTIES
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.tools.execution import Toolbox
from stillwing_agent.core.types import Claim
from stillwing_common.registry import Registry


class Policy(Protocol):
    """Flies one mission with the toolbox it is given. Made anew for each mission, from checked params.

    Cancelling `fly` ends all it started before it returns.
    """

    properties: ClassVar[Properties]
    """JSON Schema of each param it takes beside those of every mission."""
    prompt_profile: ProfileName | None
    """How its model is spoken to; COMPACT where it words its own questions, None as the agent's settings say."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        """`params` as `checked_params` returns them."""

    async def fly(self, toolbox: Toolbox) -> Claim:
        """Decide and act until `toolbox.goal` is met, or cannot be. Raises what ends the mission otherwise.

        Called again for each further instruction; what the toolbox raises when one breaks in is let through.
        """


POLICIES = Registry(
    "agent",
    {
        "tool_calling": "stillwing_agent.core.agents.tool_calling:ToolCallingPolicy",
        "choice": "stillwing_agent.core.agents.choice:ChoicePolicy",
    },
    extra="agent",
    group="stillwing.agents",
)


def all_properties(policy: type[Policy]) -> Properties:
    """JSON Schema of every param a mission of this policy takes."""
    return {**MISSION_PROPERTIES, **policy.properties}
