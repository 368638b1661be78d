"""The one-question agent: which of four moves? The model scores them, the most probable one is flown.

It knows nothing of tool-calling frameworks; hold-before-ask, refusals and events are the toolbox's and cockpit's.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from stillwing_agent.core.json_schema import Properties
from stillwing_agent.core.prompting.base import ProfileName
from stillwing_agent.core.prompting.prompts import CHOICES, choice_prompt
from stillwing_agent.core.tools.execution import Toolbox
from stillwing_agent.core.types import Claim


class ChoicePolicy:
    """Asks `choice_prompt` before every move and never offers a move that was just refused."""

    properties: ClassVar[Properties] = {}
    prompt_profile: ProfileName | None = ProfileName.COMPACT

    def __init__(self, params: Mapping[str, Any]) -> None:
        """It takes no params of its own."""

    async def fly(self, toolbox: Toolbox) -> Claim:
        """Until "stop" is chosen. Raises DecisionsUsedUp, and what ends a mission."""
        while True:
            options = [word for word, call in CHOICES.items() if toolbox.is_open(call)]
            prompt = choice_prompt(toolbox.goal, toolbox.refusal_reason)
            choice = await toolbox.cockpit.decide_choice(prompt, options)
            call = CHOICES[options[choice.best_index]]
            result = await toolbox.run(call["name"], call["arguments"])
            if call["name"] == "final_answer":
                return Claim(str(result.data["answer"]))
